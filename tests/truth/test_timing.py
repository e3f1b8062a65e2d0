"""Acting at a shopper's own hours earns more than acting at once; twenty crowds when asked."""

from __future__ import annotations

import numpy as np
import pytest

from tests.truth.policies import interval
from tests.truth.timing import lines, measure


def test_who_knows_the_hours_earns_more_than_who_acts_at_once():
    found = [measure(seed, num=1200) for seed in (1, 2)]
    assert np.mean([one["oracle"] - one["always now"] for one in found]) > 0.1
    assert np.mean([one["timed"] - one["by chance"] for one in found]) > -0.1


@pytest.mark.long
def test_twenty_crowds_of_known_truth():
    found = [measure(seed) for seed in range(1, 21)]
    print("\n" + "\n".join(lines(found)))
    assert interval([one["timed"] - one["always now"] for one in found])[1] > 0
    assert interval([one["timed"] - one["now or later today"] for one in found])[1] > 0
