"""Qini, AUUC and uplift at k equal scikit-uplift and CausalML, whatever the order of the rows."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics.bootstrap import draw_counts, resamples
from training.metrics.uplift import (
    Ranked,
    perfect_qini_ranking,
    perfect_uplift_ranking,
    qini_gain,
    qini_unnormalised,
    uplift_at_k_overall,
    uplift_metrics,
)
from training.metrics.uplift_draws import Trial, measure

SEEDS = st.integers(0, 2**32 - 1)
# A table drawn once. The numbers below were taken from scikit-uplift 0.5.1 (qini_auc_score,
# uplift_auc_score, uplift_at_k) and CausalML 0.18.0 (qini_score and auuc_score, normalize=False).
SCORE = np.array(
    [
        [-1.27, -1.18, 3.31, 0.55, -2.58, 1.48, -0.89, 1.0, -2.27, 0.04, -1.12, 0.05],
        [-0.46, 0.45, -0.85, 4.19, -2.74, 1.91, -0.81, -1.0, -1.84, -1.86, -0.24, -1.06],
    ]
).ravel()
TREATED = np.array([int(digit) for digit in "000011000010000100101110"])
OUTCOME = np.array([int(digit) for digit in "000100010101000100100011"])
VALUE = np.zeros(24)
VALUE[OUTCOME == 1] = [18.04, 14.63, 20.41, 8.27, 7.28, 17.54, 2.94, 19.1]


def metrics_of(score, outcome=OUTCOME, treated=TREATED, propensity=None):
    given = (outcome, treated, propensity)
    return uplift_metrics(
        Ranked.by(score, *given).sums(),
        perfect_qini_ranking(*given).sums(),
        perfect_uplift_ranking(*given).sums(),
    )


def test_the_normalised_areas_are_those_of_scikit_uplift():
    found = metrics_of(SCORE)
    assert found["qini_by_perfect_curve"] == pytest.approx(0.20800396185011572)
    assert found["auuc_by_perfect_curve"] == pytest.approx(0.23608609114681986)
    assert found["uplift_at_0.3_overall"] == pytest.approx(0.1)
    assert found["uplift_at_0.3_by_group"] == pytest.approx(0.0, abs=1e-12)


def test_the_normalised_areas_are_those_of_scikit_uplift_where_scores_tie():
    found = metrics_of(np.round(SCORE))
    assert found["qini_by_perfect_curve"] == pytest.approx(0.18271924154277094)
    assert found["auuc_by_perfect_curve"] == pytest.approx(0.22693657219973007)


def test_the_unnormalised_areas_are_those_of_causalml_for_a_yes_and_for_a_value():
    found = metrics_of(SCORE)
    assert found["qini_unnormalised"] == pytest.approx(0.43968875568875576)
    assert found["auuc_unnormalised"] == pytest.approx(2.1878316128316126)
    value = uplift_metrics(Ranked.by(SCORE, VALUE, TREATED).sums())
    assert value["qini_unnormalised"] == pytest.approx(2.3680216749916756)
    assert value["auuc_unnormalised"] == pytest.approx(-13.956996420246417)


def slow_qini(score, outcome, treated):
    """Gain after each distinct score, counted row by row (Radcliffe, 2007)."""
    gains = [0.0]
    for bound in sorted(set(score.tolist()), reverse=True):
        taken = [i for i in range(len(score)) if score[i] >= bound]
        num_t = sum(treated[i] == 1 for i in taken)
        num_c = len(taken) - num_t
        yes_t = sum(outcome[i] for i in taken if treated[i] == 1)
        yes_c = sum(outcome[i] for i in taken if treated[i] == 0)
        gains.append(yes_t - (yes_c * num_t / num_c if num_c else 0.0))
    return gains


def random_trial(seed: int):
    rng = np.random.default_rng(seed)
    num = int(rng.integers(4, 40))
    treated = rng.permutation(np.arange(num) % 2)
    return rng.integers(0, 6, num).astype(float), rng.integers(0, 2, num), treated, rng


@given(seed=SEEDS)
def test_the_qini_curve_equals_counting_row_by_row(seed):
    score, outcome, treated, _ = random_trial(seed)
    found = qini_gain(Ranked.by(score, outcome, treated).sums())
    assert found == pytest.approx(slow_qini(score, outcome, treated))


@given(seed=SEEDS)
def test_neither_order_of_rows_nor_a_rising_change_of_the_score_matters(seed):
    score, outcome, treated, rng = random_trial(seed)
    moved = rng.permutation(len(score))
    before = metrics_of(score, outcome, treated)
    after = metrics_of(np.exp(score)[moved], outcome[moved], treated[moved])
    assert after == pytest.approx(before, nan_ok=True)


@given(seed=SEEDS)
def test_a_propensity_that_is_the_same_for_all_changes_nothing(seed):
    score, outcome, treated, _ = random_trial(seed)
    propensity = np.where(treated == 1, 0.2, 0.8)
    found = metrics_of(score, outcome, treated, propensity)
    assert found == pytest.approx(metrics_of(score, outcome, treated), nan_ok=True)


def test_known_propensities_undo_a_treatment_that_went_to_the_good_ones():
    rng = np.random.default_rng(1)
    x = rng.random(200_000)
    chance = 0.1 + 0.8 * x
    treated = rng.random(len(x)) < chance
    outcome = (rng.random(len(x)) < 0.1 + 0.3 * x).astype(float)  # no effect on anybody
    given = np.where(treated, chance, 1 - chance)
    score = rng.random(len(x))
    plain = uplift_at_k_overall(Ranked.by(score, outcome, treated).sums(), 0.5)
    weighed = uplift_at_k_overall(Ranked.by(score, outcome, treated, given).sums(), 0.5)
    assert plain > 0.05
    assert weighed == pytest.approx(0.0, abs=0.008)


def test_a_score_that_knows_the_effect_beats_chance_and_its_opposite_loses():
    rng = np.random.default_rng(2)
    effect, treated = rng.uniform(-0.2, 0.4, 20_000), rng.integers(0, 2, 20_000)
    outcome = (rng.random(20_000) < 0.3 + effect * treated).astype(float)
    scores = {"knows": effect, "opposite": -effect, "chance": rng.random(20_000)}
    found = measure(scores, Trial(outcome, treated), num_bootstrap=100)
    for metric in ("qini_by_perfect_curve", "qini_unnormalised"):
        assert found["knows"][metric].low > 0
        assert found["opposite"][metric].high < 0
        assert found["chance"][metric].low < 0 < found["chance"][metric].high
    gap = found["knows"]["qini_unnormalised"].minus(found["chance"]["qini_unnormalised"])
    assert gap.low > 0


def test_the_bootstrap_interval_holds_the_qini_of_the_whole_population():
    rng = np.random.default_rng(3)
    inside = []
    for _ in range(100):
        effect, treated = rng.uniform(-0.2, 0.4, 1_000), rng.integers(0, 2, 1_000)
        outcome = (rng.random(1_000) < 0.3 + effect * treated).astype(float)
        found = measure({"it": effect}, Trial(outcome, treated), num_bootstrap=100)
        one = found["it"]["uplift_at_0.3_overall"]
        inside.append(one.low < 0.31 < one.high)  # mean effect of the best 30 %: 0.4 - 0.09
    assert 0.88 <= np.mean(inside) <= 0.99


def test_users_with_several_rows_are_drawn_whole():
    users = np.array([4, 4, 9, 4, 7])
    for counts in draw_counts(users, 20, np.random.default_rng(0)):
        assert counts[0] == counts[1] == counts[3]
    drawn = [
        np.bincount(rows, minlength=5) for rows in resamples(users, 20, np.random.default_rng(0))
    ]
    counted = list(draw_counts(users, 20, np.random.default_rng(0)))
    assert np.array_equal(drawn, counted)


@settings(max_examples=20)
@given(seed=SEEDS)
def test_no_order_has_a_greater_normalised_area_than_the_perfect_one(seed):
    score, outcome, treated, _ = random_trial(seed)
    found = metrics_of(score, outcome, treated)["qini_by_perfect_curve"]
    assert np.isnan(found) or found <= 1 + 1e-9


def test_a_table_without_control_is_refused_with_its_counts():
    with pytest.raises(ValueError, match=r"5 of 5 rows were treated; uplift needs"):
        measure({"it": np.arange(5.0)}, Trial(np.ones(5), np.ones(5)))
    assert qini_unnormalised(Ranked.by(np.arange(4.0), np.ones(4), np.ones(4)).sums()) == 0.0
