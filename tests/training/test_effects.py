"""Learners equal econml, find known effects, and refuse where no effect can be told."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LinearRegression
from sklearn.tree import DecisionTreeRegressor

from training.effects import LEARNERS, Log
from training.effects.average import average_effects
from training.effects.base import BASES, boosting, linear
from training.effects.crossfit import cross_fit, folds
from training.effects.outcomes import outcome_model
from training.effects.overlap import check_overlap, overlap
from training.effects.propensities import estimated, foretold, shares
from training.effects.pseudo import pseudo_outcomes
from training.effects.targeting import best_actions, gain, pehe, profit

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))


def straight(features, target):
    return LinearRegression().fit(features, target).predict


def tree(features, target):
    model = DecisionTreeRegressor(max_depth=2, min_samples_leaf=5, random_state=0)
    return model.fit(features, target).predict


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def small_log() -> Log:
    i = np.arange(90.0)
    x = np.column_stack([np.sin(i), np.cos(1.7 * i)])
    action = (np.floor(i * i / 7) % 3).astype(int)
    effect = np.array([0, 0.5, -0.2])[action] + x[:, 1] * np.array([0, 1.0, 0.3])[action]
    outcome = 1 + x[:, 0] - 0.5 * x[:, 1] + effect + 0.3 * np.sin(13 * i)
    chance = shares(action, 3)[np.arange(90), action]
    return Log(x, action, outcome, chance, ("nothing", "mail", "coupon"))


ASKED = np.array([[0.0, 0], [1, -1], [-0.5, 0.5]])
# From econml 0.17.0 on the same 90 rows: SLearner, TLearner and XLearner (propensities by
# DummyClassifier(strategy="prior")); rows are the actions, columns the rows of ASKED.
ECONML = [
    ("s_learner", straight, [[0.5608207997727697] * 3, [-0.19977501526583896] * 3]),
    (
        "t_learner",
        straight,
        [
            [0.5075449377937333, -0.6621216606404428, 1.0923782370108213],
            [-0.20057320206352613, -0.632328499596476, 0.015304446702948726],
        ],
    ),
    (
        "t_learner",
        tree,
        [
            [1.41724174826015, -0.015432994823162183, 0.002852165809636764],
            [0.3124439764021886, -0.631738369418015, -0.886792608275946],
        ],
    ),
    (
        "x_learner",
        tree,
        [
            [0.691645304835012, -0.0630992305556709, 0.9200990617083308],
            [-0.19535022660808926, -0.7477676802496172, -0.16278596425932773],
        ],
    ),
]


@pytest.mark.parametrize(("name", "base", "expected"), ECONML)
def test_learners_equal_those_of_econml(name, base, expected):
    found = LEARNERS[name](small_log(), base, rng())(ASKED)
    assert found[:, 0] == pytest.approx(0.0)
    assert np.allclose(found[:, 1:].T, expected)


def test_the_dr_learner_is_a_regression_on_pseudo_outcomes_written_out():
    log = small_log()
    found = LEARNERS["dr_learner"](log, straight, rng(5))(ASKED)
    place, means = folds(log.action, 3, rng(5)), np.zeros((90, 3))
    for fold in range(3):
        for a in range(3):
            rest = (place != fold) & (log.action == a)
            model = LinearRegression().fit(log.features[rest], log.outcome[rest])
            means[place == fold, a] = model.predict(log.features[place == fold])
    for a in (1, 2):
        target = means[:, a] - means[:, 0]
        for i in range(90):
            miss = (log.outcome[i] - means[i, log.action[i]]) / log.propensity[i]
            target[i] += miss * (int(log.action[i] == a) - int(log.action[i] == 0))
        expected = LinearRegression().fit(log.features, target).predict(ASKED)
        assert found[:, a] == pytest.approx(expected)
    # econml's LinearDRLearner, with folds and a model of the outcome of its own, says nearly so.
    econml = [0.5266405755562263, -0.5401363799724088, 1.0600290533205439]
    assert found[:, 1] == pytest.approx(econml, abs=0.2)


def made(num: int, seed: int, confounded: bool = False):
    """Two actions; the first helps those with x > 0, the second harms all but little."""
    draw = rng(seed)
    x = draw.normal(size=(num, 3))
    lean = 1.5 * x[:, 2] if confounded else 0.0 * x[:, 2]
    logits = np.column_stack([np.zeros(num), lean, np.zeros(num)])
    chances = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    action = (draw.random((num, 1)) > chances.cumsum(axis=1)).sum(axis=1)
    truth = np.column_stack([np.zeros(num), 0.25 * (x[:, 0] > 0), np.full(num, -0.05)])
    base = 0.3 + 0.15 * np.tanh(x[:, 1]) + 0.1 * np.tanh(x[:, 2])
    outcome = (draw.random(num) < base + truth[np.arange(num), action]).astype(float)
    log = Log(x, action, outcome, chances[np.arange(num), action], ("nothing", "mail", "coupon"))
    return log, truth, chances


@pytest.mark.parametrize("name", LEARNERS)
@pytest.mark.parametrize("base", BASES.values(), ids=BASES)
def test_every_learner_finds_who_is_helped(name, base):
    log, _, _ = made(8_000, 1)
    asked, truth, _ = made(4_000, 2)
    found = LEARNERS[name](log, base, rng())(asked.features)
    assert found[:, 0] == pytest.approx(0.0)
    assert pehe(found[:, 2], truth[:, 2]) < 0.09
    if (name, base) == ("s_learner", linear):  # which says the same of everybody
        assert found[:, 1].std() < 0.03
        return
    assert pehe(found[:, 1], truth[:, 1]) < 0.11  # the same for everybody errs by 0.125
    assert np.corrcoef(found[:, 1], truth[:, 1])[0, 1] > 0.7


def test_average_effects_hold_the_truth_in_95_of_100_logs_whatever_the_model():
    inside = []
    for seed in range(200):
        log, _, _ = made(1_500, seed, confounded=True)
        wrong = np.full((1_500, 3), 0.5)
        for effect, column in zip(
            average_effects(log, pseudo_outcomes(log, wrong)), (1, 2), strict=True
        ):
            expected = 0.125 if column == 1 else -0.05
            inside.append(effect.low < expected < effect.high)
    assert 0.92 <= np.mean(inside) <= 0.98


def test_a_model_makes_average_effects_sharper_and_a_difference_of_means_is_fooled():
    log, truth, _ = made(6_000, 3, confounded=True)
    means = cross_fit(log, lambda rest: outcome_model(rest, boosting), rng())
    sharp = average_effects(log, pseudo_outcomes(log, means))[0]
    blunt = average_effects(log, pseudo_outcomes(log, np.zeros((6_000, 3))))[0]
    assert sharp.high - sharp.low < blunt.high - blunt.low
    assert sharp.low < truth[:, 1].mean() < sharp.high
    naive = log.outcome[log.action == 1].mean() - log.outcome[log.action == 0].mean()
    assert naive > sharp.high


def test_estimated_propensities_are_those_that_were_used():
    log, _, chances = made(10_000, 4, confounded=True)
    found = estimated(log.features, log.action, 3, rng())
    assert np.abs(found - chances).mean() < 0.02
    assert found.sum(axis=1) == pytest.approx(1.0)


def test_actions_drawn_at_random_are_not_foretold_and_others_are():
    alarms = [foretold(*_given(made(500, seed)[0]), rng()) for seed in range(40)]
    assert not any(alarms)
    log, _, _ = made(1_000, 1, confounded=True)
    assert foretold(*_given(log), rng())[1] > 0.6


def _given(log):
    return log.features, log.action, len(log.actions)


def test_no_fold_sees_its_own_rows():
    log = small_log()
    place = folds(log.action, 5, rng(1))
    assert (np.bincount(place) == 18).all()

    def remember(rest: Log):
        seen = {row.tobytes() for row in rest.features}
        return lambda asked: np.array([[row.tobytes() in seen] * 3 for row in asked])

    assert not cross_fit(log, remember, rng(1)).any()
    users = np.arange(90) // 3
    together = folds(log.action, 5, rng(1), users)
    assert (together.reshape(30, 3) == together.reshape(30, 3)[:, :1]).all()


def test_where_the_features_decide_the_action_effects_are_refused():
    draw = rng(6)
    x = draw.normal(size=(2_000, 1))
    action = (x[:, 0] > 0).astype(int)
    chances = estimated(x, action, 2, rng())
    given = np.maximum(chances[np.arange(2_000), action], 1e-6)
    log = Log(x, action, draw.random(2_000), given, ("nothing", "coupon"))
    with pytest.raises(ValueError, match=r"no overlap.*'coupon' had a chance under 0\.01 in 3"):
        check_overlap(log, chances)


def test_a_few_heavy_rows_are_not_worth_a_hundred():
    draw = rng(7)
    given = np.where(draw.random(1_000) < 0.01, 0.001, 0.9)
    action = np.tile([0, 1], 500)
    log = Log(draw.random((1_000, 1)), action, draw.random(1_000), given, ("nothing", "mail"))
    assert overlap(log)[1].effective < 20
    with pytest.raises(ValueError, match="rows with 'mail' are worth"):
        check_overlap(log)


def test_a_segment_without_an_action_gets_no_number_and_says_why():
    log, _, _ = made(3_000, 8)
    segment = np.where(log.features[:, 0] > 0, "new", "old")
    kept = ~((segment == "old") & (log.action == 2))
    log, segment = log.take(kept), segment[kept]
    found = {
        (one.segment, one.action): one
        for one in average_effects(log, pseudo_outcomes(log, np.zeros((len(segment), 3))), segment)
    }
    assert found["old", "coupon"].refusal == "0 rows with 'coupon'"
    assert np.isnan(found["old", "coupon"].value)
    assert found["new", "mail"].low < 0.25 < found["new", "mail"].high
    assert found["old", "mail"].low < 0.0 < found["old", "mail"].high


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"propensity": np.zeros(90)}, r"propensities of a log lie in \(0, 1\]"),
        ({"outcome": np.full(90, np.nan)}, "outcomes of a log are finite"),
        ({"action": np.zeros(90, int)}, "'mail' was taken 0 times and 5 are needed"),
        ({"features": np.zeros((5, 2))}, "5 rows of features, 90 actions"),
    ],
)
def test_what_is_no_log_is_refused(change, words):
    log = small_log()
    whole = {
        name: getattr(log, name)
        for name in ("features", "action", "outcome", "propensity", "actions")
    }
    with pytest.raises(ValueError, match=words):
        Log(**(whole | change))


def test_treating_the_best_share_earns_more_than_treating_all_and_the_estimate_is_honest():
    log, truth, _ = made(20_000, 9)
    learnt, _, _ = made(8_000, 10)
    effects = LEARNERS["dr_learner"](learnt, boosting, rng())(log.features)
    costs = np.array([0.0, 0.1, 0.01])
    earned = profit(log.outcome, log.action, costs)
    judged = Log(log.features, log.action, earned, log.propensity, log.actions)
    means = cross_fit(judged, lambda rest: outcome_model(rest, linear), rng())
    pseudo = pseudo_outcomes(judged, means)
    chosen = best_actions(effects - costs, 0.5)
    found, everybody = gain(chosen, pseudo), gain(np.ones(20_000, int), pseudo)
    true = (truth - costs)[np.arange(20_000), chosen].mean()
    assert abs(found.value - true) < 3 * found.error
    assert found.value > everybody.value + 3 * everybody.error
    assert found.share <= 0.5


def hillstrom() -> pl.DataFrame:
    path = DATA / "hillstrom_email_rct" / "hillstrom.parquet"
    if not path.exists():
        pytest.skip(f"{path} is not at hand; set NUDGE_DATA")
    return pl.read_parquet(path)


def test_the_published_effects_of_the_e_mails_on_visits_are_found():
    table = hillstrom()
    names = ("No E-Mail", "Mens E-Mail", "Womens E-Mail")
    action = np.searchsorted(sorted(names), table["segment"].to_numpy())
    action = np.array([1, 0, 2])[action]  # sorted: Mens, No, Womens
    features = table.select("recency", "history", "mens", "womens", "newbie").to_numpy()
    given = shares(action, 3)[np.arange(len(action)), action]
    log = Log(features, action, table["visit"].to_numpy().astype(float), given, names)
    means = cross_fit(log, lambda rest: outcome_model(rest, linear), rng())
    check_overlap(log)
    assert not foretold(features, action, 3, rng())
    mens, womens = average_effects(log, pseudo_outcomes(log, means))
    assert mens.value == pytest.approx(0.0766, abs=0.0005)
    assert womens.value == pytest.approx(0.0452, abs=0.0005)
    assert mens.low > 0.06
    assert womens.low > 0.03
