"""What the learning policies read: named numbers about a shopper, in units of their spread.

Next: ``bandit.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
NUMERIC = frozenset({"Float64", "Float32", "Int64", "Int32", "Bool"})
"""Types of features that a policy can read."""
Scores = Mapping[str, NDArray[np.floating]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Scaled:
    """Names of inputs, with the mean and the spread that each had in the log."""

    names: tuple[str, ...] = ()
    centres: tuple[float, ...] = ()
    scales: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.centres) == len(self.scales):
            raise ValueError("the scaling of a policy does not fit its inputs; fit it again")

    @classmethod
    def of(cls, names: Sequence[str], values: Floats) -> Self:
        """The scaling of a log's `values` (n, inputs)."""
        known = np.isfinite(values)
        num = np.maximum(known.sum(axis=0), 1)
        clean = np.where(known, values, 0.0)
        centres = clean.sum(axis=0) / num
        spread = np.sqrt((np.where(known, values - centres, 0.0) ** 2).sum(axis=0) / num)
        scales = np.where(spread > 0, spread, 1.0)
        return cls(
            names=tuple(names), centres=tuple(centres.tolist()), scales=tuple(scales.tolist())
        )

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` gave, also by way of JSON."""
        return cls(**{name: tuples(value) for name, value in plain.items()})

    def __call__(self, values: Floats) -> Floats:
        """(n, inputs): 0 is the log's mean, which unknown values count as."""
        centres = np.array(self.centres)
        return (np.where(np.isfinite(values), values, centres) - centres) / np.array(self.scales)


UNSCALED = Scaled()
"""No inputs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Hidden:
    """phi(x) = (1, z, relu(V z + c)) of scaled inputs z: a hidden layer that is drawn, not learnt.

    What is regressed on it by least squares is found exactly (random features, Rahimi and Recht,
    2008), and a seed stands for the layer.
    """

    scaled: Scaled = UNSCALED
    width: int = 32
    seed: int = 0

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``dataclasses.asdict`` gave, also by way of JSON."""
        return cls(**{**plain, "scaled": Scaled.from_dict(plain.get("scaled", {}))})

    def __call__(self, values: Floats) -> Floats:
        """(n, 1 + inputs + width) of `values` (n, inputs)."""
        z = self.scaled(values)
        rng = np.random.default_rng(self.seed)
        v = rng.standard_normal((z.shape[1], self.width)) / np.sqrt(max(z.shape[1], 1))
        hidden = np.maximum(z @ v + rng.standard_normal(self.width), 0.0)
        return np.column_stack([np.ones(len(z)), z, hidden])


UNKNOWN = Hidden()
"""Before any log was seen."""


def matrix(scores: Scores, names: Sequence[str], policy: str) -> Floats:
    """The columns `names` of `scores`, (n, inputs).

    Raises
    ------
    ValueError
        When one is missing; `policy` is who asks.
    """
    if missing := [name for name in names if name not in scores]:
        raise ValueError(f"{policy} needs the inputs {missing}; there are {list(scores)}")
    num = len(next(iter(scores.values()))) if scores else 0
    columns = [np.asarray(scores[name], dtype=np.float64) for name in names]
    return np.column_stack(columns) if columns else np.zeros((num, 0))


def tuples(value: Any) -> Any:
    """Lists, as JSON has them, as the tuples they were."""
    return tuple(map(tuples, value)) if isinstance(value, list | tuple) else value
