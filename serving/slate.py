"""Which items of a ranking are shown in which order: best first, or drawn with known chances.

Next: ``routes/recommend.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from serving.catalogue import Floats
from serving.decide import generator
from serving.predictor import best
from training.bundle import Bundle
from training.policies.slate import Slate

GREEDY = "greedy"
Ints = NDArray[np.int64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Ordering:
    """How lists are made, and what the ledger calls it."""

    slate: Slate | None = None
    """None: best first, which costs nothing."""
    name: str = GREEDY


@dataclass(frozen=True, slots=True, kw_only=True)
class Drawn:
    """Catalogue rows of the candidates, the shown first, each with its chance as logged."""

    rows: Ints
    chances: list[float]
    num_shown: int

    @property
    def shown(self) -> Ints:
        """Rows of what is shown, in order."""
        return self.rows[: self.num_shown]

    def logged(self, item_ids: Sequence[str], values: Sequence[float]) -> dict[str, float]:
        """Item to its value, for the ledger: the order is that of the list."""
        names = (item_ids[row] for row in self.rows.tolist())
        return dict(zip(names, values, strict=True))


def draw(
    scores: Floats, item_ids: Sequence[str], num: int, ordering: Ordering, decision_id: str
) -> Drawn:
    """A list of `num` of the rows whose `scores` (I,) are finite, by the decision's own id."""
    slate = ordering.slate
    if slate is None:
        rows = best(scores, num)
        return Drawn(rows=rows, chances=[1.0] * len(rows), num_shown=num)
    rows = best(scores, max(num, slate.num_candidates))
    if not len(rows):
        return Drawn(rows=rows, chances=[], num_shown=num)
    names = [item_ids[row] for row in rows.tolist()]
    order, chances = slate.draw(scores[rows], names, num, generator(decision_id))
    return Drawn(rows=rows[order], chances=chances.tolist(), num_shown=num)


def open_ordering(folder: Path | None, temperature: float | None) -> Ordering:
    """What the settings ask for: a learnt slate, chance, both or neither.

    Raises
    ------
    ValueError
        When the folder holds no bundle of a slate.
    """
    if folder is None:
        if not temperature:
            return Ordering()
        return Ordering(slate=Slate(temperature=temperature), name=f"{Slate.name}:{temperature:g}")
    bundle = Bundle.load(folder)
    if bundle.manifest.get("policy") != Slate.name:
        raise ValueError(f"{folder} is no bundle of a slate; `python -m serving slate` writes one")
    slate, name = Slate.from_dict(bundle.manifest["settings"]), f"{Slate.name}:{bundle.version}"
    if temperature is None:
        return Ordering(slate=slate, name=name)
    return Ordering(
        slate=replace(slate, temperature=temperature), name=f"{name} temperature={temperature:g}"
    )
