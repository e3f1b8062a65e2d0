"""Which items stand where, with chances: Plackett-Luce over the best candidates of a ranking.

The best list by today's scores shows the same items in the same places, and its clicks then tell of
places, not of items. Noise of a known kind moves items a little, and every list is logged with the
chances it was drawn with. Other policies choose an action (``policy.py``); this one an order, for
``POST /recommend``. Next: ``clicks.py``, which learns from what was clicked.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from training.policies.inputs import Floats, tuples


@dataclass(frozen=True, kw_only=True, slots=True)
class Slate:
    """u_i = slope z_i + appeal_i; places are drawn one after the other with odds exp(u_i / T).

    z is the score in units of the spread over the candidates of one list, so that a temperature
    means the same for every model, and for the popularity that strangers get. One draw of Gumbel
    noise for each candidate and a sort give the whole list (Plackett, 1975; Yellott, 1977).
    """

    name: ClassVar[str] = "slate"

    temperature: float = 0.3
    """T; 0 leaves nothing to chance."""
    num_candidates: int = 30
    """Best items of the ranking that may be shown; a longer list shows as many as it has places."""
    slope: float = 1.0
    """Of the score; made by ``clicks.learn``."""
    appeals: Mapping[str, float] = field(default_factory=dict)
    """Item to the log of its clicks over what score and place foretold; 0 where not named."""
    examination: tuple[float, ...] = ()
    """Chance to be looked at in each place, in units of the first; not used for drawing."""

    def __post_init__(self) -> None:
        if self.temperature and not 0.01 <= self.temperature <= 100:
            raise ValueError(
                f"slate: temperature is {self.temperature}; it must be 0, or lie in 0.01..100"
            )
        if self.num_candidates < 1:
            raise ValueError(f"slate: num_candidates is {self.num_candidates}; take at least 1")

    def utilities(self, scores: NDArray[np.floating], items: Sequence[str]) -> Floats:
        """u (N,) of one list's candidates, or (n, N) of many and their `items` in a row.

        -inf where a score is.
        """
        there = np.isfinite(scores)
        found = self.slope * standardised(scores)
        if self.appeals:
            found += np.array([self.appeals.get(item, 0.0) for item in items]).reshape(found.shape)
        return np.where(there, found, -np.inf)

    def draw(
        self, scores: NDArray[np.floating], items: Sequence[str], num: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.int64], Floats]:
        """An order (N,) of the candidates, of which the first `num` are shown, and chances (N,).

        A shown item has the chance with which it was drawn at its place, given those before it; one
        left out has the chance that it had for the place after the last. Together they tell all
        odds (``logits_of``), and so the chance of any other list.
        """
        u = self.utilities(scores, items)
        if self.temperature == 0:
            order = np.argsort(-u, kind="stable")
            return order, (np.arange(len(u)) < num).astype(np.float64)
        u = u / self.temperature
        order = np.argsort(-(u + rng.gumbel(size=len(u))), kind="stable")
        u = u[order]
        left = np.logaddexp.accumulate(u[::-1])[::-1]
        return order, np.exp(u - left[np.minimum(np.arange(len(u)), min(num, len(u) - 1))])

    def logits(self, scores: NDArray[np.floating], items: Sequence[str]) -> Floats:
        """Log odds of the draws; without a temperature, those of the order alone."""
        return self.utilities(scores, items) / (self.temperature or 1.0)

    def to_dict(self) -> dict[str, Any]:
        """Its settings and its table as plain values."""
        return asdict(self)

    @classmethod
    def from_dict(cls, plain: Mapping[str, Any]) -> Self:
        """What ``to_dict`` gave, also by way of JSON."""
        return cls(**{name: tuples(value) for name, value in plain.items()})


def standardised(scores: NDArray[np.floating]) -> Floats:
    """Scores (..., N) less their mean, in units of their spread; 0 where they are all the same."""
    there = np.isfinite(scores)
    num = np.maximum(there.sum(axis=-1, keepdims=True), 1)
    clean = np.where(there, scores, 0.0).astype(np.float64)
    centred = np.where(there, clean - clean.sum(axis=-1, keepdims=True) / num, 0.0)
    spread = np.sqrt((centred**2).sum(axis=-1, keepdims=True) / num)
    return np.asarray(centred / np.where(spread > 1e-12, spread, 1.0))


def logits_of(chances: Floats, num_shown: NDArray[np.int64]) -> Floats:
    """Log odds (n, N) from logged chances (n, N), the shown first; -inf for no candidate.

    odds_k = chance_k prod_{j<k} (1 - chance_j): the chance of the first draw.
    """
    place = np.arange(chances.shape[1])
    shown = place < num_shown[:, None]
    rest = np.log(np.maximum(np.where(shown, 1.0 - chances, 1.0), 1e-300))
    before = np.concatenate([np.zeros((len(rest), 1)), rest.cumsum(axis=1)[:, :-1]], axis=1)
    with np.errstate(divide="ignore"):
        return np.asarray(np.log(chances) + before)
