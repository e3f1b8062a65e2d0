"""The interval of a mean over seeds, against draws whose truth is known."""

import numpy as np
import pytest

from training.metrics.seeds import over_seeds


def test_one_seed_keeps_the_interval_of_its_shoppers():
    assert over_seeds([0.2], [0.1], [0.4]) == pytest.approx((0.2, 0.1, 0.4))
    assert over_seeds([0.2], [0.3], [0.4]) == pytest.approx((0.2, 0.3, 0.4))


def test_draws_that_noise_pushes_above_the_values_are_no_margin_below_them():
    assert over_seeds([0.2] * 3, [0.3] * 3, [0.5] * 3) == pytest.approx((0.2, 0.2, 0.5))


def test_seeds_that_agree_add_nothing_and_seeds_that_do_not_widen():
    assert over_seeds([0.2] * 3, [0.1] * 3, [0.4] * 3) == pytest.approx((0.2, 0.1, 0.4))
    mean, low, high = over_seeds([0.1, 0.3], [0.0, 0.2], [0.2, 0.4])
    # Student's t with one degree of freedom, 12.706, times .1; shoppers add .1.
    assert mean == pytest.approx(0.2)
    assert (mean - low, high - mean) == pytest.approx((np.hypot(0.1, 1.2706),) * 2, rel=1e-4)


@pytest.mark.parametrize("of_seeds", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("shared", [0.0, 1.0])
def test_the_truth_lies_inside_as_often_as_is_said_whatever_differs_more(of_seeds, shared):
    """Errors of shoppers have deviation 1, `shared` by all seeds or each seed's own."""
    rng, num, inside = np.random.default_rng(3), 5, 0
    for _ in range(2000):
        errors = shared * rng.normal() + (1.0 - shared) * rng.normal(size=num)
        values = of_seeds * rng.normal(size=num) + errors
        _, low, high = over_seeds(values, values - 1.96, values + 1.96)
        inside += low < 0.0 < high
    assert inside / 2000 > 0.94
