"""Figures of experiments, held against scipy and statsmodels, and against resampling."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from training.metrics.experiment import (
    confidence_sequence,
    conversions,
    corrections,
    cuped,
    effects,
    sample_ratio,
    sample_size,
)

RNG = np.random.default_rng(5)


def test_the_interval_and_p_value_of_a_difference_are_those_of_welch():
    control, treated = RNG.normal(10, 2, 300), RNG.normal(10.5, 5, 120)
    found = effects.effect(control, treated)
    theirs = stats.ttest_ind(treated, control, equal_var=False)
    assert effects.welch_p_value(found) == pytest.approx(theirs.pvalue)
    assert effects.welch_interval(found) == pytest.approx(tuple(theirs.confidence_interval()))


def test_numbers_of_users_are_those_of_statsmodels():
    power = pytest.importorskip("statsmodels.stats.power")
    proportion = pytest.importorskip("statsmodels.stats.proportion")
    for share, wanted in ((0.5, 0.8), (0.3, 0.9)):
        design = sample_size.mean_design(0.4, 9.0, share)
        control = power.NormalIndPower().solve_power(
            0.4 / 3.0, alpha=0.05, power=wanted, ratio=share / (1 - share)
        )
        found = sample_size.num_users(design, power=wanted)
        assert found == pytest.approx(control / (1 - share), abs=1.01)
        assert sample_size.power(design, found) == pytest.approx(wanted, abs=1e-3)
        assert sample_size.least_effect(design, found, power=wanted) == pytest.approx(0.4, rel=1e-3)
    design = sample_size.proportion_design(0.1, 0.02)
    found = sample_size.num_users(design)
    theirs = proportion.power_proportions_2indep(0.02, 0.1, found / 2).power
    assert theirs == pytest.approx(0.8, abs=1e-3)
    assert sample_size.power(design, found) == pytest.approx(theirs, abs=1e-6)


def test_the_delta_method_gives_the_spread_that_resampling_users_gives():
    orders = RNG.poisson(2.0, 4_000) + 0.0
    spent = orders * RNG.lognormal(3, 0.5, 4_000)
    values = effects.linearised(spent, orders)
    assert values.mean() == pytest.approx(spent.sum() / orders.sum())
    picks = RNG.integers(0, 4_000, (2_000, 4_000))
    resampled = spent[picks].sum(axis=1) / orders[picks].sum(axis=1)
    deviation = values.std(ddof=1) / np.sqrt(4_000)
    assert deviation == pytest.approx(resampled.std(), rel=0.06)
    assert sample_size.ratio_variance(spent, orders) == pytest.approx(deviation**2 * 4_000)


def test_cuped_cuts_the_variance_as_the_correlation_says_and_keeps_the_effect():
    before = RNG.normal(5, 2, 40_000)
    outcome = 0.8 * (before - 5) + RNG.normal(0, 1.2, 40_000)
    treated = RNG.random(40_000) < 0.5
    outcome = outcome + 0.1 * treated
    arms, earlier = ([x[~treated], x[treated]] for x in (outcome, before))
    found = cuped.adjust(arms, earlier)
    told = np.corrcoef(before, outcome - 0.1 * treated)[0, 1]
    assert found.variance_cut == pytest.approx(told**2, abs=2e-3)
    plain, adjusted = effects.effect(*arms), effects.effect(*found.values)
    assert adjusted.deviation**2 / plain.deviation**2 == pytest.approx(1 - told**2, abs=0.01)
    assert abs(adjusted.value - 0.1) < 3 * adjusted.deviation
    assert cuped.adjust(arms, [np.zeros_like(x) for x in arms]).variance_cut == 0.0


def test_corrections_are_those_of_statsmodels():
    multitest = pytest.importorskip("statsmodels.stats.multitest")
    p_values = [0.04, 0.001, 0.2, 0.03, 0.03, 0.9]
    for name, theirs in (("holm", "holm"), ("benjamini-hochberg", "fdr_bh")):
        expected = multitest.multipletests(p_values, method=theirs)[1]
        assert corrections.CORRECTIONS[name](p_values) == pytest.approx(list(expected))
        assert corrections.CORRECTIONS[name]([]) == []


def test_the_sequence_is_narrowest_near_the_planned_number():
    def width(planned: int) -> float:
        rho2 = confidence_sequence.tuning(planned)
        return confidence_sequence.width(1_000 * rho2, 0.05)

    assert width(1_000) == min(width(planned) for planned in (500, 800, 1_000, 1_250, 2_000))
    assert 1.96 < width(1_000) < 3.1


@given(st.floats(-3, 3), st.integers(10, 100_000), st.floats(0.001, 0.5))
def test_the_interval_excludes_zero_just_when_the_p_value_is_below_alpha(value, num, alpha):
    arm = effects.Sample(num, 0.0, 1.0)
    found = effects.Effect(value, (2 / num) ** 0.5, arm, arm)
    rho2 = confidence_sequence.tuning(2_000)
    low, high = confidence_sequence.interval(found, rho2, alpha)
    assert (low > 0 or high < 0) == (confidence_sequence.p_value(found, rho2) < alpha)
    assert confidence_sequence.lower_bound(found, rho2, alpha / 2) < low
    assert confidence_sequence.upper_bound(found, rho2, alpha) < high


def test_a_rate_ratio_stands_in_its_interval_which_excludes_one_as_the_p_value_says():
    for control, treated, share in ((0, 0, 0.5), (0, 9, 0.5), (100, 160, 0.5), (300, 100, 0.25)):
        low, high = conversions.rate_ratio_interval(control, treated, share)
        ratio = treated / control * (1 - share) / share if control else 1.0
        assert low <= ratio <= high
        told = conversions.p_value(control, treated, share) < 0.05
        assert told == (not low < 1 < high)
    low, high = conversions.rate_ratio_interval(0, 400, 0.5)
    assert low > 3
    assert high == float("inf")


def test_a_mismatch_of_shares_is_found_and_fair_shares_are_not():
    counts = [50_700, 49_300]
    assert sample_ratio.chi_square_p_value(counts, [0.5, 0.5]) == pytest.approx(
        stats.chisquare(counts).pvalue
    )
    assert sample_ratio.p_value(counts, [0.5, 0.5]) < 0.01
    assert sample_ratio.p_value([50_100, 49_900], [0.5, 0.5]) == 1.0
    assert sample_ratio.p_value([10, 21, 29], [1 / 6, 2 / 6, 3 / 6]) == 1.0
    with pytest.raises(ValueError, match="do not fit"):
        sample_ratio.p_value([1, 2], [1.0])


def test_what_cannot_be_measured_is_refused_in_words():
    with pytest.raises(ValueError, match="1 values are missing or infinite"):
        effects.effect(np.array([1.0, np.nan]), np.ones(2))
    with pytest.raises(ValueError, match="the denominator of the ratio sums to 0"):
        effects.linearised(np.ones(3), np.zeros(3))
    with pytest.raises(ValueError, match="proportions of"):
        sample_size.proportion_design(0.95, 0.1)
    with pytest.raises(ValueError, match="endless users"):
        sample_size.mean_design(0.0, 1.0)


def test_too_few_users_or_changes_are_not_looked_at():
    few, many = np.zeros(99), np.arange(200.0)
    rare = np.r_[np.ones(19), np.zeros(500)]
    assert not confidence_sequence.may_look([few, many])
    assert not confidence_sequence.may_look([rare, many])
    assert confidence_sequence.may_look([np.r_[rare, 1.0], many])
