"""Nobody is fooled by looking every day: errors and power of experiments of known truth."""

from __future__ import annotations

import numpy as np
import pytest

from tests.truth.peeking import ALPHA, bell, conversion, many, run, run_adjusted, spend
from training.metrics.experiment import sample_ratio, sample_size

SEED = 20
KINDS = {
    "a mean, bell": (bell(), 10_000),
    "a rate of 30 %": (conversion(0.3), 10_000),
    "a rate of 5 %": (conversion(0.05), 20_000),
    "spend, 10 % buy": (spend(0.1), 20_000),
    "spend, 5 % buy, some very much": (spend(0.05, 1.5), 20_000),
}


@pytest.mark.parametrize("kind", ["a mean, bell", "spend, 10 % buy"])
def test_peeking_at_two_equal_arms_errs_no_more_than_alpha(kind):
    draw, num_users = KINDS[kind]
    safe = many(400, SEED, lambda rng: run(draw, 0.0, num_users // 2, 50, rng, "sequence"))
    assert safe.interval[0] <= ALPHA
    unsafe = many(100, SEED, lambda rng: run(draw, 0.0, num_users // 2, 50, rng, "welch"))
    assert unsafe.interval[0] > 2 * ALPHA, "a test that cannot see peeking proves nothing"


def test_peeking_with_cuped_errs_no_more_than_alpha():
    found = many(200, SEED, lambda rng: run_adjusted(0.0, 3_000, 100, rng, 0.7))
    assert found.interval[0] <= ALPHA


@pytest.mark.long
@pytest.mark.parametrize("kind", KINDS)
def test_continuous_peeking_at_a_thousand_pairs_of_equal_arms(kind):
    draw, num_users = KINDS[kind]
    every = 10
    found = many(2_000, SEED, lambda rng: run(draw, 0.0, num_users, every, rng, "sequence"))
    naive = many(500, SEED, lambda rng: run(draw, 0.0, num_users, every, rng, "welch"))
    print(f"\n{kind}, {num_users:,} users, a look every {every}: {found}; Welch {naive}")
    assert found.rate <= ALPHA
    if kind.startswith("a rate"):
        exact = many(2_000, SEED, lambda rng: run(draw, 0.0, num_users, every, rng, "conversions"))
        print(f"  exact, by conversions: {exact}")
        assert exact.rate <= ALPHA


@pytest.mark.long
def test_cuped_under_continuous_peeking():
    found = many(1_000, SEED, lambda rng: run_adjusted(0.0, 10_000, 50, rng, 0.7))
    print(f"\nCUPED, correlation .7, 10,000 users, a look every 50: {found}")
    assert found.rate <= ALPHA


@pytest.mark.long
def test_power_is_as_planned():
    plans = {
        "a mean, bell": (bell(), sample_size.mean_design(0.3, 9.0), 0.3),
        "spend, 10 % buy": (spend(0.1), None, 1.0),
    }
    for kind, (draw, design, lift) in plans.items():
        if design is None:
            values = draw(np.random.default_rng(0), 1_000_000)
            design = sample_size.mean_design(lift, float(values.var()))
        once = sample_size.num_users(design)
        many_looks = sample_size.num_users_always_valid(design)
        at_end = many(
            1_000, SEED, lambda rng, n=once, d=draw, up=lift: run(d, up, n, n, rng, "welch")
        )
        always = many(
            1_000,
            SEED,
            lambda rng, n=many_looks, d=draw, up=lift: run(d, up, n, 10, rng, "sequence"),
        )
        print(f"\n{kind}, effect {lift}: one look at {once:,} users {at_end}")
        print(f"  a look every 10 up to {many_looks:,}: {always}")
        assert at_end.interval[0] <= 0.8 <= at_end.interval[1]
        assert always.interval[1] >= 0.8
    cuped = many(300, SEED, lambda rng: run_adjusted(0.1, 6_000, 50, rng, 0.7))
    plain = many(300, SEED, lambda rng: run_adjusted(0.1, 6_000, 50, rng, 0.0))
    print(f"\neffect .1, correlation .7 by CUPED: {cuped}; none: {plain}")
    assert cuped.num > plain.num


@pytest.mark.long
def test_a_lost_share_of_one_arm_is_found():
    for lost in (0.0, 0.02, 0.05, 0.1):
        once, always = 0, 0
        for seed in range(1_000):
            rng = np.random.default_rng([SEED, seed])
            treated = rng.random(20_000) < 0.5
            kept = ~treated | (rng.random(20_000) >= lost)
            num = np.cumsum(np.stack([~treated & kept, treated & kept]), axis=1)[:, 499::500]
            looks = [sample_ratio.p_value(list(pair), [0.5, 0.5]) for pair in num.T]
            always += min(looks) <= sample_ratio.ALARM
            once += sample_ratio.chi_square_p_value(num[:, -1], [0.5, 0.5]) <= sample_ratio.ALARM
        print(f"\nlost {lost:.0%}: chi-square at 20,000 {once} of 1000, any of 40 looks {always}")
        assert once <= 5 or lost
        assert always <= 5 if lost == 0 else always >= 950 or lost < 0.1
