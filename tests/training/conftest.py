"""A dataset folder made from a list of orders, without warehouse or feature store."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from training.tasks import TASKS

DAY = 86_400_000_000
WEEK = 7 * DAY
PURCHASE = 4
TEXT_WIDTH = 384
USER_NAMES = (
    *("recency_days_purchase", "num_orders", "spend"),
    *("tenure_days_purchase", "num_days_with_purchase"),
)
ITEM_NAMES = ("num_purchases_30d", "num_purchases_90d")
RETENTION = TASKS["retention"].heads
HEADS = {"next_item": [], "retention": list(RETENTION)}
Order = tuple[str, int, tuple[int, ...]]
"""User, day, items (1 .. num_items)."""


class Maker:
    """Turns orders into the arrays of a dataset: what was known strictly before each moment."""

    def __init__(self, orders: Sequence[Order], num_items: int, horizon_days: int) -> None:
        self.orders = sorted(orders, key=lambda order: (order[1], order[0]))
        self.num_items, self.horizon_days = num_items, horizon_days
        self.by_user: dict[str, list[Order]] = {}
        for order in self.orders:
            self.by_user.setdefault(order[0], []).append(order)

    def before(self, user: str, day: int) -> list[Order]:
        return [order for order in self.by_user[user] if order[1] < day]

    def next_item(self, first: int, end: int) -> list[dict]:
        asked = [o for o in self.orders if first <= o[1] < end and self.before(o[0], o[1])]
        return [self.row(0, user, day, items, {}) for user, day, items in asked]

    def retention(self, days: Sequence[int]) -> list[dict]:
        rows = []
        for day in days:
            for user in sorted({order[0] for order in self.orders if order[1] < day}):
                ahead = [o[1] - day for o in self.by_user[user] if o[1] >= day]
                wait = min(ahead, default=self.horizon_days)
                rows.append(self.row(1, user, day, (), self.labels(wait)))
        return rows

    def labels(self, wait: int) -> dict[str, float]:
        """What a wait of so many days says of each head; no window is open."""
        soon, later, late = (wait >= self.horizon_days * k // 3 for k in (1, 2, 3))
        # Whoever buys within the horizon comes by, sends nothing back and spends 10.
        others = {"visit_30d": not soon, "return_90d": late, "spend_90d": 0 if late else 10}
        left = {"leave_30d": soon, "leave_60d": later, "leave_90d": late, "purchase_30d": not soon}
        return {head: float(true) for head, true in (left | others).items()}

    def row(self, task: int, user: str, day: int, items: tuple[int, ...], label: dict) -> dict:
        past = self.before(user, day)
        lines = [(item, past_day) for _, past_day, bought in past for item in bought]
        days = sorted({past_day for _, past_day, _ in past})
        scalars = [day - days[-1], len(past), float(len(lines)), day - days[0], len(days)]
        return {
            "task": task,
            "user": user,
            "day": day,
            "items": items,
            "label": [label.get(head, np.nan) for head in RETENTION],
            "lines": lines,
            "scalars": scalars,
        }

    def sold(self, before: int, days: int) -> np.ndarray:
        """Purchases (num_items + 1,) of each item in the `days` before the day `before`."""
        window = [o for o in self.orders if before - days <= o[1] < before]
        counts = Counter(item for _, _, items in window for item in items)
        return np.array([counts[item] for item in range(self.num_items + 1)], dtype=float)


def save(folder: Path, splits: dict[str, list[dict]], maker: Maker, meta: dict) -> None:
    """Write the dataset folder of `splits`."""
    from training.datasets.catalogue import ItemsByWeek
    from training.datasets.encode import EncodeSpec
    from training.datasets.normalise import Normaliser

    weeks = sorted({row["day"] // 7 for rows in splits.values() for row in rows})
    sold = np.stack(
        [np.stack([maker.sold(7 * week, days) for days in (30, 90)], axis=1) for week in weeks]
    )
    ever = np.stack([maker.sold(7 * week, 10_000) for week in weeks]) > 0
    user = Normaliser.fit(USER_NAMES, np.array([row["scalars"] for row in splits["train"]]).T)
    item = Normaliser.fit(ITEM_NAMES, sold.reshape(-1, 2).T)
    spec = EncodeSpec(
        vocabulary=tuple(f"item-{i}" for i in range(1, maker.num_items + 1)),
        user=user,
        item=item,
        history_length=200,
    )
    folder.mkdir(parents=True, exist_ok=True)
    ItemsByWeek(
        ids=("", *spec.vocabulary),
        exists=ever,
        scalars=np.stack(
            [item.apply(np.where(e[:, None], s, np.nan)) for e, s in zip(ever, sold, strict=True)]
        ),
        text=np.zeros(ever.shape, np.int32),
        texts=("a thing",),
    ).save(folder)
    for name, rows in splits.items():
        examples(rows, ever, weeks, user).save(folder / name)
    sizes = {"spec": spec.to_dict(), "num_items": maker.num_items + 1, "weeks": weeks}
    sizes |= {"num_vocabulary": sizes["num_items"], "num_kinds": 11}
    sizes |= {"num_scalars": 2 * len(USER_NAMES), "num_item_scalars": 2 * len(ITEM_NAMES)}
    np.save(folder / "text_vectors.npy", np.ones((1, TEXT_WIDTH), np.float32))
    sizes |= {
        "tasks": list(HEADS),
        "heads": HEADS,
        "amounts": {"next_item": [], "retention": list(TASKS["retention"].amounts)},
        "counts": {s: len(r) for s, r in splits.items()},
    }
    (folder / "meta.json").write_text(json.dumps(sizes | meta))


def examples(rows: list[dict], ever: np.ndarray, weeks: list[int], user):
    """The arrays of one split; targets that did not exist at the week's start are dropped."""
    from training.datasets.examples import Examples
    from training.datasets.histories import Histories

    week = np.array([weeks.index(row["day"] // 7) for row in rows])
    left = [[i for i in row["items"] if ever[w, i]] for row, w in zip(rows, week, strict=True)]
    kept = [n for n, row in enumerate(rows) if left[n] or not row["items"]]
    rows, left, week = [rows[n] for n in kept], [left[n] for n in kept], week[kept]
    lines = [line for row in rows for line in row["lines"]]
    return Examples(
        task=np.array([row["task"] for row in rows]),
        week=week,
        user=np.array([row["user"] for row in rows]),
        asked_at=np.array([row["day"] for row in rows]) * DAY,
        weight=np.ones(len(rows), np.float32),
        scalars=user.apply(np.array([row["scalars"] for row in rows], dtype=float)),
        label=np.array([row["label"] for row in rows], np.float32).reshape(-1, len(RETENTION)),
        target=np.array([item for items in left for item in items], dtype=np.int64),
        target_offsets=np.cumsum([0, *map(len, left)]),
        num_bought=np.array([len(row["items"]) for row in rows]),
        history=Histories(
            item=np.array([item for item, _ in lines], np.int32),
            kind=np.full(len(lines), PURCHASE, np.int8),
            quantity=np.ones(len(lines), np.float32),
            amount=np.ones(len(lines), np.float32),
            at=np.array([day for _, day in lines], np.int64) * DAY,
            offsets=np.cumsum([0, *(len(row["lines"]) for row in rows)]),
        ),
    )


@pytest.fixture(scope="session")
def make_dataset(tmp_path_factory) -> Callable:
    """A function from orders to an open ``Dataset``."""
    from training.datasets.batches import Dataset

    def make(
        orders: Sequence[Order], *, num_items: int, train_end: int, valid_end: int, end: int
    ) -> Dataset:
        horizon_days = min(valid_end - train_end, end - valid_end)
        maker = Maker(orders, num_items, horizon_days)
        snapshots = range(train_end - horizon_days, 7, -7)
        splits = {
            "train": maker.next_item(0, train_end) + maker.retention(snapshots),
            "valid": maker.next_item(train_end, valid_end) + maker.retention([train_end]),
            "test": maker.next_item(valid_end, end) + maker.retention([valid_end]),
        }
        windows = {"train": [None, train_end], "valid": [train_end, valid_end]}
        windows |= {"test": [valid_end, end]}
        calendar = {
            name: [bound if bound is None else bound * DAY for bound in window]
            for name, window in windows.items()
        }
        folder = tmp_path_factory.mktemp("dataset")
        meta = {"calendar": calendar, "horizon_days": horizon_days, "dropped": {}}
        save(folder, splits, maker, meta | {"lineage": {"num_events": len(orders)}})
        return Dataset(folder)

    return make
