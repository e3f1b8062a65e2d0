"""Lists in simulated shops of known truth: two small ones always, twenty when asked."""

from __future__ import annotations

import numpy as np
import pytest

from tests.truth.policies import interval
from tests.truth.slates import LOOKED_AT, lines, measure


def test_what_was_learnt_from_chance_is_better_than_best_first_and_told_so():
    one = measure(1, n=2500, held_out=800)
    assert one.known["oracle"] > one.known["learnt"] > 1.02 * one.known["best first"]
    assert one.known["temperature 0.2"] > 0.95 * one.known["best first"]
    assert np.allclose(one.looked, LOOKED_AT, atol=0.15)
    for _, _, value, low, high, known in one.estimates:
        assert abs(value - known) < 2.5 * (high - low) / 2


@pytest.mark.long
def test_twenty_shops_of_known_truth():
    found = [measure(seed) for seed in range(1, 21)]
    print("\n" + "\n".join(lines(found)))
    for floor in ("best first", "learnt without chance"):
        assert interval([one.known["learnt"] - one.known[floor] for one in found])[1] > 0
    rows = [row for one in found for row in one.estimates if row[1] != "rips"]
    assert 0.90 <= np.mean([low <= known <= high for _, _, _, low, high, known in rows]) <= 0.99
