"""Events and features become a dataset folder: the one place that asks for point-in-time rows.

The tasks say whom to ask about and when (``spine.py``); the feature store answers as of those
moments; ``guard.py`` refuses answers that know the future; ``encode.py`` makes arrays of them, with
a vocabulary and normalisers fitted on training rows. All of it goes by chunks of rows
(``spool.py``), so that memory holds no more than one of them. The folder is named by a fingerprint
of all it was made from, and made once; who needs it meanwhile waits for it. Next: ``spool.py``,
then ``batches.py``.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from feature_repo import retrieval
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training.datasets import spine
from training.datasets.catalogue import fit_items, item_spine, items_by_week
from training.datasets.categories import Categories, fingerprint
from training.datasets.encode import WORDS, EncodeSpec
from training.datasets.frozen import Encode, encoder_of, text_vectors
from training.datasets.guard import check_labels, check_times
from training.datasets.lineage import Run, lineage, sizes
from training.datasets.normalise import Normaliser
from training.datasets.split import label_array, write_split
from training.datasets.spool import Ask, Spool
from training.datasets.words import Texts
from training.folders import alone

BUILD_LIMIT_S = 6 * 3600.0
"""How long one process waits for another that builds the same dataset."""


class Asks(NamedTuple):
    """The feature store as building asks it."""

    users: Ask
    items: Ask


@dataclass(frozen=True, kw_only=True, slots=True)
class Reads:
    """What building asks of the feature store and the text encoder; a test may answer itself."""

    point_in_time: Callable[[pl.DataFrame, str, Settings], pl.DataFrame] = retrieval.point_in_time
    schema_hash: Callable[[Sequence[str], Settings], str] = retrieval.schema_hash
    text_encoder: Callable[[str, int], tuple[str, Encode[str]]] = encoder_of


def build(
    run: Run,
    calendar: spine.Calendar,
    tasks: Mapping[str, spine.Asks],
    settings: Settings,
    reads: Reads | None = None,
) -> Path:
    """The dataset folder of `run` on `calendar`, made now unless an equal one is there.

    Parameters
    ----------
    tasks
        The run's tasks by name, in its order.

    Raises
    ------
    FutureLeak
        When a feature row holds what was not known at its moment.
    ValueError
        When there is no training example, or the features lag behind the events.
    """
    reads = reads or Reads()
    warehouse = Warehouse(settings.warehouse)
    versions = {
        "schema_hash": reads.schema_hash([run.service, run.item_service], settings),
        "text_encoder": reads.text_encoder(run.text_encoder, run.seed)[0],
        "categories": fingerprint(warehouse.items()),
    }
    made_from = versions | lineage(run, calendar, tasks, settings, warehouse)
    name = hashlib.sha256(json.dumps(made_from, sort_keys=True).encode()).hexdigest()[:16]
    folder = settings.home.resolve() / "datasets" / name
    folder.parent.mkdir(parents=True, exist_ok=True)
    busy = f"another process has been building {folder} for {BUILD_LIMIT_S / 3600:.0f} hours"
    with alone(folder.with_suffix(".lock"), wait_s=BUILD_LIMIT_S, otherwise=busy):
        if (folder / "meta.json").exists():
            return folder
        partial = folder.with_suffix(".partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            meta = _make(partial, run, calendar, tasks, settings, reads, warehouse)
            meta |= {"fingerprint": name, "lineage": made_from}
            (partial / "meta.json").write_text(json.dumps(meta))
            partial.rename(folder)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
    return folder


def _make(
    folder: Path,
    run: Run,
    calendar: spine.Calendar,
    tasks: Mapping[str, spine.Asks],
    settings: Settings,
    reads: Reads,
    warehouse: Warehouse,
) -> dict[str, Any]:
    """Fill `folder`; what ``meta.json`` says of it."""

    def ask(service: str, rows: pl.DataFrame) -> pl.DataFrame:
        key = "user_id" if "user_id" in rows.columns else "item_id"
        frame = reads.point_in_time(rows.select(key, "event_timestamp"), service, settings)
        check_times(frame, key)
        return frame

    events = warehouse.events(known_before=calendar.window("test")[1])
    categories = Categories.fit(warehouse.items(), events, before=calendar.window("train")[1])
    events = categories.told(events)
    spines = {split: spine.build(tasks, events, calendar, split) for split in spine.SPLITS}
    asks = Asks(partial(_users, partial(ask, run.service)), partial(ask, run.item_service))
    meta = _write(folder, run, calendar, tasks, spines, _item_ids(events), asks)
    ids = json.loads((folder / "items.json").read_text())
    meta |= {"categories": categories.to_dict(ids)}
    shutil.rmtree(folder / "spool")
    return meta | _write_texts(folder, run, settings, reads)


def _item_ids(events: pl.DataFrame) -> list[str]:
    """Every item that any event names, in order; whether it existed is asked week by week."""
    return events["item_id"].drop_nulls().unique().sort().to_list()


def _write(
    folder: Path,
    run: Run,
    calendar: spine.Calendar,
    tasks: Mapping[str, spine.Asks],
    spines: Mapping[spine.Split, pl.DataFrame],
    item_ids: Sequence[str],
    ask: Asks,
) -> dict[str, Any]:
    """Ask for users and items, encode and save them; what ``meta.json`` says of it."""
    if spines["train"].is_empty():
        raise ValueError(
            f"no task ({', '.join(tasks)}) has an example that closed before the training cut; "
            "bring older events, or shorten horizon_days"
        )
    heads, labels = [h for task in tasks.values() for h in task.heads], spine.label_names(tasks)
    weeks = sorted({week for rows in spines.values() for week in rows["week_at"]})
    train = Spool(folder / "spool" / "train", spines["train"], ask.users)
    vocabulary = _vocabulary(train, run.model.max_history)
    ids = [*vocabulary, *sorted(set(item_ids) - set(vocabulary))]
    catalogue = Spool(folder / "spool" / "items", item_spine(ids, weeks), ask.items)
    spec = EncodeSpec(
        vocabulary=tuple(vocabulary),
        user=Normaliser.fit(train.scalars, map(train.column, train.scalars)),
        item=fit_items(catalogue, before=calendar.window("train")[1]),
        history_length=run.model.max_history,
    )
    names = spec.user.names
    check_labels(map(train.column, names), names, label_array(train.rows, heads), heads)
    items = items_by_week(catalogue, ids, spec)
    items.save(folder)
    counts, dropped, texts = {}, {}, Texts(items.texts)
    for split, rows in spines.items():
        asked = train
        if split != "train":
            asked = Spool(folder / "spool" / split, rows, ask.users, like=train)
        found = write_split(folder / split, asked, spec, items, weeks, labels, texts)
        counts[split] = found.pop("written")
        dropped[split] = found
    (folder / "texts.json").write_text(json.dumps(list(texts)))
    told = {"counts": counts, "dropped": dropped, "has_words": WORDS in train.schema}
    return sizes(run, calendar, tasks, spec, items, weeks) | told


def _users(ask: Ask, rows: pl.DataFrame) -> pl.DataFrame:
    """Features of the shoppers of `rows`, who all did something before."""
    frame = ask(rows)
    num_blank = int((frame["history_at"].list.len().fill_null(0) == 0).sum())
    if num_blank:
        raise ValueError(
            f"the feature store knows no behaviour of {num_blank} of {len(frame)} shoppers before "
            "their moments, and the warehouse does; run `python -m feature_repo rollup`"
        )
    return frame


def _vocabulary(train: Spool, length: int) -> list[str]:
    """Items in the histories and targets of training rows."""
    known = {*train.rows["targets"].explode().drop_nulls().unique()}
    for _, frame in train.chunks():
        known |= {*frame["history_item"].list.tail(length).explode().drop_nulls().unique()}
    return sorted(known - {""})


def _write_texts(folder: Path, run: Run, settings: Settings, reads: Reads) -> dict[str, Any]:
    """Vectors of all texts of items and messages in `folder`."""
    texts = json.loads((folder / "texts.json").read_text())
    encoder, encode = reads.text_encoder(run.text_encoder, run.seed)
    vectors = text_vectors(texts, encoder, settings.home / "cache" / "text", encode)
    if vectors.shape[1] != run.model.text_width:
        raise ValueError(
            f"text_encoder {run.text_encoder!r} gives vectors {vectors.shape[1]} wide, and "
            f"model.text_width is {run.model.text_width}; set them equal"
        )
    np.save(folder / "text_vectors.npy", vectors)
    return {"text_encoder": run.text_encoder, "num_texts": len(texts)}
