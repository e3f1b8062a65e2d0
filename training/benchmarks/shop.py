"""A table of events as a shop of its own for as long as it takes, and a network trained there.

Next: ``next_actions.py``, ``retention.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import polars as pl
from safetensors.torch import load_file

from feature_repo import publish
from feature_repo.ingest import ingest
from feature_repo.merging import merge
from feature_repo.scratch import scratch
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training.benchmarks.asked import Asked, run_of
from training.datasets.batches import Dataset
from training.datasets.rows import Reads, build
from training.loop import train
from training.network import Network, load_state, prepare
from training.run import Calendar, Run
from training.tasks import TASKS
from training.track import PlainRuntime


@contextmanager
def shop_of(
    events: pl.DataFrame, items: pl.DataFrame | None, task: str, asked: Asked, share: float = 1.0
) -> Iterator[tuple[Run, Dataset]]:
    """A run of `task` alone and its dataset, in a shop that is gone afterwards.

    Parameters
    ----------
    share
        Of the training examples that an epoch draws.

    Raises
    ------
    ValueError
        When the events span too little time for training, validation and test.
    """
    first, last = events["event_at"].min(), events["event_at"].max()
    assert isinstance(first, int), "a table has rows"
    assert isinstance(last, int), "a table has rows"
    calendar = Calendar.from_span(first, last, asked.horizon_days)
    run = run_of(task, asked, share=share, calendar=calendar)
    with scratch(Settings()) as shop:
        _fill(shop, events, items, last + 1)
        yield run, Dataset(build(run, calendar, {task: TASKS[task]}, shop, _without_text(run)))


def _fill(shop: Settings, events: pl.DataFrame, items: pl.DataFrame | None, now: int) -> None:
    """Events, categories of `items` if there are any, and feature rows."""
    warehouse = Warehouse(shop.warehouse)
    ingest(warehouse, events, source="table", now=now)
    if items is not None and len(items):
        merge(warehouse, "item_id", items, precedence=0)
    publish.rollup(warehouse, shop)


def _without_text(run: Run) -> Reads:
    """The table tells no texts: no text encoder is loaded for them."""

    def blank(texts: Sequence[str]) -> np.ndarray:
        return np.zeros((len(texts), run.model.text_width), dtype=np.float32)

    return Reads(text_encoder=lambda name, seed: ("none", blank))


def trained(run: Run, dataset: Dataset, place: Path) -> Network:
    """The network of the best epoch; its history lies in `place`."""
    train(run, dataset.folder, place, PlainRuntime(place / "checkpoint"))
    network = prepare(run, dataset)
    load_state(network, load_file(place / "checkpoint" / "best.safetensors"))
    return network
