"""What a dataset was made from, and what it holds: its name and its ``meta.json``.

Equal lineages give equal datasets, so a folder named by its lineage is made once.
Next: ``rows.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from feature_repo.events import KIND_CODES
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training.datasets import spine
from training.datasets.catalogue import ItemsByWeek
from training.datasets.encode import EncodeSpec

FORMAT = 2
"""Raise it when the folder's layout changes, so that no old folder is taken for a new one."""


class Model(Protocol):
    """What a dataset depends on of ``training.run.ModelConfig``."""

    @property
    def max_history(self) -> int:
        """Behaviours kept of each shopper."""

    @property
    def text_width(self) -> int:
        """Width of the text encoder's vectors."""


class Run(Protocol):
    """What a dataset depends on of ``training.run.Run``."""

    @property
    def service(self) -> str:
        """Feature service of shoppers."""

    @property
    def item_service(self) -> str:
        """Feature service of items."""

    @property
    def text_encoder(self) -> str:
        """Name of the text encoder."""

    @property
    def seed(self) -> int:
        """Matters here for a random text encoder only."""

    @property
    def model(self) -> Model:
        """Shape of the network."""


def lineage(
    run: Run,
    calendar: spine.Calendar,
    tasks: Mapping[str, spine.Asks],
    settings: Settings,
    warehouse: Warehouse,
) -> dict[str, Any]:
    """All that a dataset follows from, beside the versions of features and text encoder."""
    span = warehouse.span()
    state = sorted(settings.offline_path.rglob("*.parquet"))
    return {
        "format": FORMAT,
        "calendar": {split: calendar.window(split) for split in spine.SPLITS},
        "horizon_days": calendar.horizon_days,
        "snapshot_every_days": calendar.snapshot_every_days,
        "tasks": {name: list(task.heads) for name, task in tasks.items()},
        "told": {name: task.told for name, task in tasks.items() if task.told},
        "services": [run.service, run.item_service],
        "history_length": min(run.model.max_history, settings.history_length),
        "num_events": warehouse.counts()["events"],
        "span": span and list(span),
        "state": {path.name: path.stat().st_size for path in state},
    }


def sizes(
    run: Run,
    calendar: spine.Calendar,
    tasks: Mapping[str, spine.Asks],
    spec: EncodeSpec,
    items: ItemsByWeek,
    weeks: Sequence[int],
) -> dict[str, Any]:
    """What a reader of the folder must know: names, sizes, weeks and the encoding."""
    return {
        "tasks": list(tasks),
        "heads": {name: list(task.heads) for name, task in tasks.items()},
        "amounts": {name: list(task.amounts) for name, task in tasks.items()},
        "labels": {name: list(task.labels) for name, task in tasks.items()},
        "service": run.service,
        "item_service": run.item_service,
        "calendar": {split: calendar.window(split) for split in spine.SPLITS},
        "horizon_days": calendar.horizon_days,
        "weeks": list(weeks),
        "spec": spec.to_dict(),
        "num_items": len(items.ids),
        "num_item_texts": len(items.texts),
        "num_vocabulary": len(spec.vocabulary) + 1,
        "num_kinds": len(KIND_CODES) + 1,
        "num_scalars": len(spec.user.output_names),
        "num_item_scalars": len(spec.item.output_names),
    }
