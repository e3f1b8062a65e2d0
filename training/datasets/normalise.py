"""Scalars of many sizes become inputs of one size, with a flag for what is unknown.

Fitted on training rows only; the numbers travel in the bundle. Next: ``encode.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

CLIP = 8.0
"""Normalised values are cut at this many standard deviations."""

Floats = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Normaliser:
    """Scalars of many sizes to inputs near the unit scale, unknown ones flagged.

    x becomes (sign(x) log(1 + abs x) - mean) / deviation; unknown becomes 0. The output holds the
    values of all `names`, then their flags: 1 where unknown.
    """

    names: tuple[str, ...]
    means: tuple[float, ...]
    deviations: tuple[float, ...]

    @classmethod
    def fit(cls, names: Sequence[str], columns: Iterable[NDArray[np.float64]]) -> Self:
        """Fit on the `columns` of all `names`, which are looked at one after the other.

        NaN stands for unknown; a constant column keeps deviation 1.
        """
        means, deviations = [], []
        for column in columns:
            logs = _signed_log(column[~np.isnan(column)])
            means.append(float(logs.mean()) if len(logs) else 0.0)
            square = float(((logs - means[-1]) ** 2).mean()) if len(logs) else 0.0
            deviations.append(square**0.5 if square > 1e-12 else 1.0)
        return cls(names=tuple(names), means=tuple(means), deviations=tuple(deviations))

    def apply(self, values: NDArray[np.float64]) -> Floats:
        """Normalised values and flags ``(n, 2 names)`` of `values` ``(n, names)``."""
        scaled = (_signed_log(values) - np.array(self.means)) / np.array(self.deviations)
        unknown = np.isnan(scaled)
        cut = np.where(unknown, 0.0, np.clip(scaled, -CLIP, CLIP))
        return np.concatenate([cut, unknown], axis=1, dtype=np.float32)

    @property
    def output_names(self) -> tuple[str, ...]:
        """Names of the columns that ``apply`` gives."""
        return (*self.names, *(f"{name}_missing" for name in self.names))

    def to_dict(self) -> dict[str, list[Any]]:
        """Plain lists, for JSON."""
        return {
            "names": list(self.names),
            "means": list(self.means),
            "deviations": list(self.deviations),
        }

    @classmethod
    def from_dict(cls, plain: Mapping[str, Sequence[Any]]) -> Self:
        """What ``to_dict`` gave."""
        return cls(**{name: tuple(values) for name, values in plain.items()})


def _signed_log(values: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.sign(values) * np.log1p(np.abs(values))
