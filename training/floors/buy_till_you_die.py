"""When, how often and how much, and nothing else: BG/NBD on days with a purchase, and Gamma-Gamma.

Fitted on the last training snapshot, which knows each shopper's purchases up to there; no label is
asked for. Next: ``../evaluate``.
"""

from __future__ import annotations

import numpy as np

from training.datasets.batches import Dataset
from training.floors.bg_nbd import BgNbd, Purchases
from training.floors.floor import ProbabilityFloor
from training.floors.gamma_gamma import GammaGamma
from training.floors.reading import examples_of, head_names, raw_user_feature

LEAVES = {"leave_30d": 1 / 3, "leave_60d": 2 / 3, "leave_90d": 1.0}
"""By head, the share of the horizon without a purchase."""


class BuyTillYouDie(ProbabilityFloor):
    """Chances of no purchase within each horizon, and expected spend; nothing of other heads."""

    def fit(self, dataset: Dataset) -> None:
        """Likeliest parameters for the shoppers of the last training snapshot."""
        rows = examples_of(dataset, "train", self.task)
        asked_at = np.asarray(dataset.examples("train").asked_at[rows])
        last = rows[asked_at == asked_at.max(initial=0)]
        self._model = BgNbd.fit(purchases(dataset, "train", last)) if len(last) else None
        number, mean = worth(dataset, "train", last)
        paid = mean > 0
        self._worth = GammaGamma.fit(number[paid], mean[paid]) if paid.any() else None

    def probabilities(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Answers (m, H); NaN for heads that it says nothing of."""
        heads = head_names(dataset)
        found = np.full((len(rows), len(heads)), np.nan)
        if self._model is None:
            return found
        seen = purchases(dataset, split, rows)
        for head, share in LEAVES.items():
            if head in heads:
                ahead = share * dataset.meta["horizon_days"]
                found[:, heads.index(head)] = self._model.none_within(seen, ahead)
        if "purchase_30d" in heads and "leave_30d" in heads:
            found[:, heads.index("purchase_30d")] = 1.0 - found[:, heads.index("leave_30d")]
        if "spend_90d" in heads and self._worth is not None:
            number, mean = worth(dataset, split, rows)
            each = self._worth.expected(np.where(mean > 0, number, 0.0), mean)
            times = self._model.expected(seen, dataset.meta["horizon_days"])
            found[:, heads.index("spend_90d")] = times * each
        return found


def worth(dataset: Dataset, split: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Days with a purchase (m,) of the shoppers of `rows`, and the mean spent on one (m,)."""
    number, spend = (
        np.nan_to_num(raw_user_feature(dataset, split, rows, name))
        for name in ("num_days_with_purchase", "spend")
    )
    number = np.maximum(np.round(number), 1.0)
    return number, spend / number


def purchases(dataset: Dataset, split: str, rows: np.ndarray) -> Purchases:
    """Days with a purchase of the shoppers of `rows`, in days; who has none counts as brand new."""

    def feature(name: str) -> np.ndarray:
        return np.nan_to_num(raw_user_feature(dataset, split, rows, name))

    age, recency = feature("tenure_days_purchase"), feature("recency_days_purchase")
    repeats = np.maximum(np.round(feature("num_days_with_purchase")) - 1, 0)
    last = np.where(repeats > 0, np.clip(age - recency, 0.0, age), 0.0)
    return Purchases(repeats, last, age)
