"""Metrics equal a slow reference, and scikit-learn where it has them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as oracle
from sklearn.calibration import calibration_curve

from training.metrics import bootstrap, probability, ranking
from training.metrics.amount import amount_metrics, gini
from training.metrics.calibration import log_line

SEEDS = st.integers(0, 2**32 - 1)


def random_ranking(seed: int) -> tuple[np.ndarray, list[np.ndarray]]:
    """Scores with many ties and some forbidden items, and baskets of allowed items."""
    rng = np.random.default_rng(seed)
    num, items = int(rng.integers(1, 6)), int(rng.integers(3, 15))
    scores = rng.integers(0, 5, (num, items)).astype(float)
    scores[:, 1:][rng.random((num, items - 1)) < 0.2] = -np.inf
    baskets = []
    for row in scores:
        allowed = np.flatnonzero(np.isfinite(row))
        baskets.append(rng.permutation(allowed)[: int(rng.integers(1, 5))])
    return scores, baskets


def slow_ranking(scores: np.ndarray, basket: np.ndarray) -> list[int]:
    """Items from best to worst; among equals, targets last."""
    allowed = [i for i in range(len(scores)) if scores[i] > -np.inf]
    return sorted(allowed, key=lambda i: (-scores[i], i in set(basket.tolist())))


def slow_metrics(scores: np.ndarray, basket: np.ndarray, k: int) -> dict[str, float]:
    wanted = set(basket.tolist())
    order = slow_ranking(scores, basket)
    hits = [i in wanted for i in order]
    dcg = sum(1 / math.log2(2 + place) for place, is_hit in enumerate(hits[:k]) if is_hit)
    ideal = sum(1 / math.log2(2 + place) for place in range(min(k, len(wanted))))
    return {
        f"recall@{k}": sum(hits[:k]) / len(wanted),
        f"ndcg@{k}": dcg / ideal,
        f"hit@{k}": float(any(hits[:k])),
        "mrr": 1 / (1 + hits.index(True)),
    }


@given(seed=SEEDS, k=st.integers(1, 12))
def test_ranking_metrics_equal_a_slow_reference(seed, k):
    scores, baskets = random_ranking(seed)
    expected = [slow_metrics(row, basket, k) for row, basket in zip(scores, baskets, strict=True)]
    found = ranking.ranking_metrics(scores, baskets, cutoffs=(k,))
    assert found.keys() == expected[0].keys()
    for name, value in found.items():
        assert value == pytest.approx(np.mean([row[name] for row in expected]))


@given(seed=SEEDS, k=st.integers(1, 12))
def test_ndcg_without_ties_is_that_of_scikit_learn(seed, k):
    rng = np.random.default_rng(seed)
    scores = rng.permutation(20).astype(float)[None]
    basket = rng.permutation(20)[: int(rng.integers(1, 8))]
    relevance = np.isin(np.arange(20), basket).astype(float)[None]
    found = ranking.ranking_metrics(scores, [basket], cutoffs=(k,))[f"ndcg@{k}"]
    assert found == pytest.approx(oracle.ndcg_score(relevance, scores, k=k))


def test_a_constant_score_earns_nothing_while_other_items_are_left():
    scores, offsets = np.zeros((1, 50)), np.array([0, 2])
    ranks = ranking.target_ranks(scores, np.array([3, 7]), offsets)
    assert sorted(ranks) == [49, 50]
    assert ranking.recall(ranks, offsets, 10).tolist() == [0.0]


def test_targets_of_one_row_never_share_a_rank():
    ranks = ranking.target_ranks(np.ones((1, 5)), np.arange(5), np.array([0, 5]))
    assert sorted(ranks) == [1, 2, 3, 4, 5]


def test_a_basket_larger_than_the_list_can_have_perfect_ndcg_but_not_perfect_recall():
    scores = np.r_[np.ones(20), np.zeros(5)][None]
    found = ranking.ranking_metrics(scores, [np.arange(20)])
    assert found["ndcg@10"] == pytest.approx(1.0)
    assert found["recall@10"] == pytest.approx(0.5)


def test_what_cannot_be_ranked_is_refused_with_its_name():
    scores = np.array([[1.0, -np.inf, 0.0]])
    with pytest.raises(ValueError, match=r"targets \[1\] may not be ranked"):
        ranking.ranking_metrics(scores, [np.array([1])])
    with pytest.raises(ValueError, match="1 scores are NaN"):
        ranking.ranking_metrics(np.array([[np.nan, 0.0]]), [np.array([1])])
    with pytest.raises(AssertionError, match="without a target"):
        ranking.ranking_metrics(np.zeros((1, 3)), [np.array([], dtype=int)])


def random_answers(seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Probabilities, with ties, and labels of both classes."""
    rng = np.random.default_rng(seed)
    num = int(rng.integers(4, 60))
    label = (rng.random(num) < 0.4).astype(float)
    label[:2] = 0, 1
    digits = int(rng.integers(1, 4))
    return np.round(rng.random(num) * 0.98 + 0.01, digits), label


@given(seed=SEEDS)
def test_probability_metrics_equal_those_of_scikit_learn(seed):
    p, label = random_answers(seed)
    found = probability.probability_metrics(p, label, threshold=0.5)
    yes = p >= 0.5
    expected = {
        "auc": oracle.roc_auc_score(label, p),
        "log_loss": oracle.log_loss(label, np.clip(p, 1e-15, 1 - 1e-15)),
        "brier": oracle.brier_score_loss(label, p),
        "accuracy": oracle.accuracy_score(label, yes),
        "precision": oracle.precision_score(label, yes, zero_division=0),
        "recall": oracle.recall_score(label, yes, zero_division=0),
        "f1": oracle.f1_score(label, yes, zero_division=0),
    }
    assert {name: found[name] for name in expected} == pytest.approx(expected)


@given(seed=SEEDS)
def test_auc_is_the_share_of_pairs_in_the_right_order(seed):
    p, label = random_answers(seed)
    pairs = p[label == 1][:, None] - p[label == 0][None, :]
    assert probability.auc(p, label) == pytest.approx(((pairs > 0) + 0.5 * (pairs == 0)).mean())


@given(seed=SEEDS)
def test_the_roc_curve_is_that_of_scikit_learn(seed):
    p, label = random_answers(seed)
    false, true = probability.roc_curve(p, label)
    slow_false, slow_true, _ = oracle.roc_curve(label, p, drop_intermediate=False)
    np.testing.assert_allclose(false, slow_false)
    np.testing.assert_allclose(true, slow_true)
    assert np.trapezoid(true, false) == pytest.approx(probability.auc(p, label))


@given(seed=SEEDS)
def test_no_threshold_has_a_higher_f1_than_the_one_chosen(seed):
    p, label = random_answers(seed)
    best = probability.at_threshold(p, label, probability.best_f1_threshold(p, label))["f1"]
    others = [probability.at_threshold(p, label, t)["f1"] for t in np.r_[0.0, np.unique(p), 1.1]]
    assert best == pytest.approx(max(others))


@given(seed=SEEDS)
def test_reliability_bins_are_those_of_scikit_learn(seed):
    # Random numbers hardly sit on the edge of a bin, where the two differ.
    rng = np.random.default_rng(seed)
    p, label = rng.random(80), (rng.random(80) < 0.5).astype(float)
    bins = probability.reliability_bins(p, label, num_bins=7)
    observed, predicted = calibration_curve(label, p, n_bins=7)
    filled = bins.count > 0
    np.testing.assert_allclose(bins.observed[filled], observed)
    np.testing.assert_allclose(bins.predicted[filled], predicted)
    share = bins.count[filled] / 80
    expected = (share * np.abs(observed - predicted)).sum()
    assert probability.expected_calibration_error(p, label, 7) == pytest.approx(expected)


def test_probabilities_that_are_right_have_hardly_any_calibration_error():
    rng = np.random.default_rng(0)
    p = rng.random(200_000)
    label = (rng.random(200_000) < p).astype(float)
    assert probability.expected_calibration_error(p, label) < 0.005
    assert probability.expected_calibration_error(np.sqrt(p), label) > 0.1


def test_a_sure_and_wrong_answer_costs_much_but_not_everything():
    assert probability.log_loss(np.array([0.0]), np.array([1.0])) == pytest.approx(34.5, abs=0.1)
    assert probability.log_loss(np.array([1.0]), np.array([1.0])) == pytest.approx(0.0, abs=1e-9)


def test_one_class_alone_has_no_auc():
    assert math.isnan(probability.auc(np.array([0.1, 0.2]), np.ones(2)))
    assert probability.best_f1_threshold(np.array([0.4, 0.2]), np.zeros(2)) <= 0.4


def test_rows_that_were_not_asked_do_not_count():
    p, label = random_answers(3)
    more = probability.probability_metrics(np.r_[p, 0.9], np.r_[label, np.nan], 0.5)
    assert more == probability.probability_metrics(p, label, 0.5)


@settings(max_examples=30)
@given(seed=SEEDS)
def test_a_draw_takes_all_rows_of_each_user_it_takes(seed):
    rng = np.random.default_rng(seed)
    users = rng.integers(0, 6, 30)
    for rows in bootstrap.resamples(users, 5, rng):
        taken = np.bincount(users[rows], minlength=6)
        whole = np.bincount(users, minlength=6)
        times = taken[whole > 0] / whole[whole > 0]
        assert (times == times.round()).all()
        assert times.sum() == (whole > 0).sum()


def test_intervals_cover_the_truth_as_often_as_they_say():
    rng, covered = np.random.default_rng(1), 0
    for _ in range(150):
        taste = rng.normal(size=60)
        users = np.repeat(np.arange(60), 4)
        values = taste[users] + 0.3 * rng.normal(size=240)
        draws = bootstrap.replicates(
            lambda rows, v=values: v[rows].mean(keepdims=True), users, 200, rng
        )
        low, high = bootstrap.interval(draws[:, 0])
        covered += low <= 0.0 <= high
    assert 0.88 <= covered / 150 <= 0.99


def test_no_replicate_gives_no_interval():
    assert all(math.isnan(edge) for edge in bootstrap.interval(np.array([np.nan, np.nan])))


def test_amounts_are_judged_by_order_distance_and_sum():
    rng = np.random.default_rng(4)
    real = np.where(rng.random(400) < 0.4, 0.0, rng.lognormal(4.0, 1.2, 400))
    perfect, constant = amount_metrics(real, real), amount_metrics(np.full(400, real.mean()), real)
    assert perfect["gini"] == pytest.approx(1.0)
    assert perfect["deviance"] == pytest.approx(0.0, abs=1e-6)
    assert constant["gini"] == pytest.approx(0.0, abs=1e-9)
    assert constant["total_error"] == pytest.approx(0.0, abs=1e-12)
    assert amount_metrics(2 * real, real)["total_error"] == pytest.approx(1.0)
    worse = [gini(real + noise * rng.normal(size=400), real) for noise in (0.0, 50.0, 500.0)]
    assert worse == sorted(worse, reverse=True)


def test_a_line_through_logs_finds_slope_and_shift_and_the_sum():
    rng = np.random.default_rng(5)
    logs = rng.normal(5.0, 1.0, 5_000)
    amount = np.exp(0.7 * logs + 1.1) * rng.gamma(4.0, 0.25, 5_000)
    slope, shift = log_line(logs, amount)
    assert (slope, shift) == pytest.approx((0.7, 1.1), abs=0.1)
    assert np.exp(slope * logs + shift).sum() == pytest.approx(amount.sum(), rel=1e-4)
    assert log_line(logs, np.full(5_000, np.nan)) == (1.0, 0.0)
    assert log_line(logs[:3], np.zeros(3)) == (1.0, 0.0)
