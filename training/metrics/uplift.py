"""How well a score finds those whom a treatment changes: Qini, AUUC and uplift among the first k.

Two conventions are in use, they differ by orders of magnitude, and neither is wrong; the names here
say which is meant:

``..._by_perfect_curve``
    As in scikit-uplift (``qini_auc_score``, ``uplift_auc_score``): the area between curve and
    random line, as a share of that of a perfect ranking. At most 1; binary outcomes only.
``..._unnormalised``
    As in CausalML (``qini_score``, ``auuc_score`` with ``normalize=False``; its default divides the
    curve by its own last height, which is no number where the average effect is near 0): the mean
    height of the curve, in units of the outcome, which grows with the table. Its Qini is taken
    above the random line, its AUUC is not.

One treatment is held against control at a time: leave the rows of other treatments out. Rows of one
score count together, so the order of the rows changes nothing. Next: ``uplift_draws.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

SHARES = (0.1, 0.3)
"""Of the table, for uplift at k."""


@dataclass(frozen=True, slots=True)
class Sums:
    """Running sums after each distinct score, from none to all: each is (m + 1,)."""

    num_treated: np.ndarray
    num_control: np.ndarray
    outcome_treated: np.ndarray
    outcome_control: np.ndarray

    @property
    def num(self) -> np.ndarray:
        """Rows so far, (m + 1,)."""
        return self.num_treated + self.num_control


@dataclass(frozen=True, slots=True)
class Ranked:
    """Rows of one treatment and of control from the highest score down."""

    order: np.ndarray
    """(n,) places in the table."""
    outcome: np.ndarray
    treated: np.ndarray
    weight: np.ndarray
    ends: np.ndarray
    """(m,) the last place of each distinct score."""

    @classmethod
    def by(
        cls,
        score: np.ndarray,
        outcome: np.ndarray,
        treated: np.ndarray,
        propensity: np.ndarray | None = None,
    ) -> Ranked:
        """Rank rows by `score` (n,).

        Parameters
        ----------
        treated
            Which rows (n,) had the treatment; the others are control.
        propensity
            Chance (n,) of what each row got. Rows then count 1 / propensity, scaled to a mean of 1
            among the treated and among control: constant chances change nothing. None when
            treatment was drawn with the same chance for all.
        """
        order = np.argsort(-score, kind="stable")
        weight = np.ones(len(score)) if propensity is None else _weights(propensity, treated)
        ends = np.append(np.flatnonzero(np.diff(score[order])), len(order) - 1)
        return cls(order, outcome[order].astype(float), treated[order] == 1, weight[order], ends)

    def sums(self, counts: np.ndarray | None = None) -> Sums:
        """Running sums; `counts` (n,) say how often each row of the table is taken."""
        weight = self.weight if counts is None else self.weight * counts[self.order]
        yes, no = weight * self.treated, weight * ~self.treated
        columns = (yes, no, yes * self.outcome, no * self.outcome)
        return Sums(*(np.append(0.0, np.cumsum(column)[self.ends]) for column in columns))


def qini_gain(sums: Sums) -> np.ndarray:
    """Outcomes gained among the treated so far, (m + 1,): Y_t - Y_c N_t / N_c (Radcliffe, 2007)."""
    return sums.outcome_treated - sums.outcome_control * _ratio(sums.num_treated, sums.num_control)


def uplift_gain(sums: Sums) -> np.ndarray:
    """Outcomes gained by treating all so far, (m + 1,): (Y_t / N_t - Y_c / N_c)(N_t + N_c).

    Devriendt, Guns and Verbeke, "Learning to rank for uplift modeling", 2020; 0 stands for the mean
    of a group that has no row yet.
    """
    means = _ratio(sums.outcome_treated, sums.num_treated) - _ratio(
        sums.outcome_control, sums.num_control
    )
    return np.asarray(means * sums.num)


def perfect_qini_ranking(
    outcome: np.ndarray, treated: np.ndarray, propensity: np.ndarray | None = None
) -> Ranked:
    """Treated who did it first, then who did not, then control who did it (scikit-uplift)."""
    score = outcome * treated - outcome * (1 - treated.astype(int))
    return Ranked.by(score, outcome, treated, propensity)


def perfect_uplift_ranking(
    outcome: np.ndarray, treated: np.ndarray, propensity: np.ndarray | None = None
) -> Ranked:
    """Outcome and treatment alike first; what follows depends on the counts (scikit-uplift)."""
    yes = treated.astype(int)
    harmed, unmoved = ((outcome == 1) & (yes == 0)).sum(), ((outcome == 0) & (yes == 1)).sum()
    score = 2 * (outcome == yes) + (outcome if harmed > unmoved else yes)
    return Ranked.by(score, outcome, treated, propensity)


def qini_by_perfect_curve(sums: Sums, perfect: Sums) -> float:
    """Qini coefficient, scikit-uplift's ``qini_auc_score``: see the module; NaN if undefined."""
    return _share(sums.num, qini_gain(sums), perfect.num, qini_gain(perfect))


def auuc_by_perfect_curve(sums: Sums, perfect: Sums) -> float:
    """Area under the uplift curve, scikit-uplift's ``uplift_auc_score``: see the module."""
    return _share(sums.num, uplift_gain(sums), perfect.num, uplift_gain(perfect))


def qini_unnormalised(sums: Sums) -> float:
    """Mean height of the Qini curve above the random line: CausalML's ``qini_score``."""
    gain = _over_all_rows(sums, qini_gain(sums))
    return float(np.mean(gain - np.linspace(0.0, gain[-1], len(gain))))


def auuc_unnormalised(sums: Sums) -> float:
    """Mean height of the uplift curve, random line not taken off: CausalML's ``auuc_score``."""
    known = sums.num[_has_both(sums)]
    if not len(known):
        return float("nan")
    gain = _over_all_rows(sums, uplift_gain(sums))
    # Where only one kind was seen, CausalML draws the mean effect as a straight line from 0.
    start = np.linspace(0.0, sums.num[-1], len(gain)) / known[0]
    return float(np.mean(gain * np.minimum(start, 1.0)))


def uplift_at_k_overall(sums: Sums, share: float) -> float:
    """Mean outcome of treated minus control among the first `share` of all rows together.

    scikit-uplift's ``uplift_at_k(strategy="overall")``. NaN where one of the two is missing there.
    """
    place = int(round(sums.num[-1], 6) * share)
    yes, no, gained, usual = (
        np.interp(place, sums.num, column)
        for column in (
            sums.num_treated,
            sums.num_control,
            sums.outcome_treated,
            sums.outcome_control,
        )
    )
    return float(gained / yes - usual / no) if yes > 0 and no > 0 else float("nan")


def uplift_at_k_by_group(sums: Sums, share: float) -> float:
    """First `share` of the treated minus first `share` of control, each by its own mean outcome.

    scikit-uplift's ``uplift_at_k(strategy="by_group")``. NaN where a group has no row there.
    """
    means = []
    for num, outcome in (
        (sums.num_treated, sums.outcome_treated),
        (sums.num_control, sums.outcome_control),
    ):
        place = int(round(num[-1], 6) * share)
        means.append(np.interp(place, num, outcome) / place if place else np.nan)
    return float(means[0] - means[1])


def uplift_metrics(
    sums: Sums,
    perfect_qini: Sums | None = None,
    perfect_uplift: Sums | None = None,
    shares: Sequence[float] = SHARES,
) -> dict[str, float]:
    """All of the above by name; without the perfect rankings (a value, no yes or no) theirs out."""
    found = {
        "qini_unnormalised": qini_unnormalised(sums),
        "auuc_unnormalised": auuc_unnormalised(sums),
    }
    if perfect_qini is not None and perfect_uplift is not None:
        found["qini_by_perfect_curve"] = qini_by_perfect_curve(sums, perfect_qini)
        found["auuc_by_perfect_curve"] = auuc_by_perfect_curve(sums, perfect_uplift)
    for share in shares:
        found[f"uplift_at_{share:g}_overall"] = uplift_at_k_overall(sums, share)
        found[f"uplift_at_{share:g}_by_group"] = uplift_at_k_by_group(sums, share)
    return found


def _share(num: np.ndarray, gain: np.ndarray, best_num: np.ndarray, best: np.ndarray) -> float:
    """Area of a curve above the straight line to its end, as a share of that of the best curve."""
    line = best_num[-1] * best[-1] / 2
    whole = np.trapezoid(best, best_num) - line
    return float((np.trapezoid(gain, num) - line) / whole) if whole else float("nan")


def _over_all_rows(sums: Sums, gain: np.ndarray) -> np.ndarray:
    """`gain` after 0, 1, .. n rows: straight between scores, and up to the first with both kinds.

    CausalML takes rows of one score in the order of the table; the straight line is the mean of all
    such orders.
    """
    known, num = _has_both(sums), sums.num
    known[0] = True
    places = np.linspace(0.0, num[-1], round(num[-1]) + 1)
    return np.interp(places, num[known], gain[known])


def _has_both(sums: Sums) -> np.ndarray:
    """After which scores (m + 1,) there are treated and control rows."""
    return np.asarray((sums.num_treated > 0) & (sums.num_control > 0))


def _ratio(above: np.ndarray, below: np.ndarray) -> np.ndarray:
    """`above` / `below`, 0 where there is nothing below."""
    return np.divide(above, below, out=np.zeros_like(above), where=below > 0)


def _weights(propensity: np.ndarray, treated: np.ndarray) -> np.ndarray:
    """1 / propensity (n,) with a mean of 1 in each group."""
    weight = 1.0 / propensity
    means = np.where(treated == 1, weight[treated == 1].mean(), weight[treated != 1].mean())
    return np.asarray(weight / means)
