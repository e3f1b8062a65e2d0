"""Floors say what their names say, from training rows and the shopper's own past alone."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from tests.training.conftest import HEADS, USER_NAMES
from training.floors import FLOORS
from training.floors.co_occurrence import NUM_MOMENTS
from training.floors.reading import examples_of, raw_user_feature
from training.metrics.amount import gini
from training.metrics.probability import auc
from training.metrics.ranking import ranking_metrics

DAY = 86_400_000_000
RANKING = [name for name, floor in FLOORS.items() if floor.task == "next_item"]
RETENTION = [name for name, floor in FLOORS.items() if floor.task == "retention"]


def pairs_shop(seed: int = 3) -> list[tuple[str, int, tuple[int, ...]]]:
    """Who buys item 2k - 1 buys 2k next, then re-buys; loyal shoppers buy often, others stop."""
    rng = np.random.default_rng(seed)
    orders = []
    for person in range(60):
        loyal, day = person % 2 == 0, int(rng.integers(0, 10))
        odd = 2 * int(rng.integers(0, 6)) + 1
        while day < 240:
            orders.append((f"user-{person:02d}", day, (odd,)))
            orders.append((f"user-{person:02d}", day + 4, (odd + 1, 13)))
            odd = odd if rng.random() < 0.5 else 2 * int(rng.integers(0, 6)) + 1
            day += int(rng.integers(9, 20)) if loyal else int(rng.integers(9, 160))
    return orders


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(pairs_shop(), num_items=14, train_end=150, valid_end=195, end=240)


def fitted(name: str, dataset):
    floor = FLOORS[name]()
    floor.fit(dataset)
    return floor


def baskets(dataset, split: str, rows: np.ndarray) -> list[np.ndarray]:
    found = dataset.examples(split)
    return [found.target[found.target_offsets[r] : found.target_offsets[r + 1]] for r in rows]


def test_the_registry_names_each_floor_once_with_its_task():
    assert set(FLOORS) == {*RANKING, *RETENTION, "step_frequency", "repeat_last", "markov"}
    assert len(set(FLOORS.values())) == len(FLOORS)


@pytest.mark.parametrize("name", RANKING)
def test_items_that_did_not_exist_are_never_ranked(name, dataset):
    rows = examples_of(dataset, "train", "next_item")
    scores = fitted(name, dataset).scores(dataset, "train", rows)
    weeks = dataset.examples("train").week[rows]
    exists = np.stack([dataset.items(int(week)).exists_I for week in weeks])
    assert scores.shape == (len(rows), 15)
    assert not exists.all()
    assert (np.isneginf(scores) == ~exists).all()
    assert not np.isnan(scores).any()


@pytest.mark.parametrize("name", [*RANKING, *RETENTION])
def test_asking_in_chunks_changes_no_answer(name, dataset):
    floor = fitted(name, dataset)
    rows = examples_of(dataset, "test", floor.task)
    ask = floor.scores if floor.task == "next_item" else floor.probabilities
    parts = np.concatenate([ask(dataset, "test", rows[:3]), ask(dataset, "test", rows[3:])])
    np.testing.assert_allclose(parts, ask(dataset, "test", rows))


@pytest.mark.parametrize("name", [*RANKING, *RETENTION])
def test_neither_targets_nor_labels_of_the_split_asked_about_change_an_answer(name, make_dataset):
    dataset = make_dataset(pairs_shop(), num_items=14, train_end=150, valid_end=195, end=240)
    floor = fitted(name, dataset)
    rows = examples_of(dataset, "test", floor.task)
    ask = floor.scores if floor.task == "next_item" else floor.probabilities
    before = ask(dataset, "test", rows)
    found = dataset.examples("test")
    dataset._examples["test"] = dataclasses.replace(
        found, target=np.full_like(found.target, 1), label=1 - found.label
    )
    np.testing.assert_array_equal(ask(dataset, "test", rows), before)


@pytest.mark.parametrize("name", [*RANKING, *RETENTION])
def test_floors_learn_from_training_rows_alone(name, make_dataset):
    """Cut off everything after training: what was learnt answers the same."""
    whole = make_dataset(pairs_shop(), num_items=14, train_end=150, valid_end=195, end=240)
    early = make_dataset(pairs_shop(), num_items=14, train_end=150, valid_end=195, end=240)
    for split in ("valid", "test"):
        early._examples[split] = early.examples("train")
    rows = examples_of(whole, "test", FLOORS[name].task)
    floors = fitted(name, whole), fitted(name, early)
    answers = [
        floor.scores(whole, "test", rows)
        if floor.task == "next_item"
        else floor.probabilities(whole, "test", rows)
        for floor in floors
    ]
    np.testing.assert_array_equal(*answers)


def test_popularity_ranks_by_sales_of_the_last_thirty_days(make_dataset):
    orders = [(f"user-{n}", day, (1,)) for n, day in enumerate(range(40, 45))]
    orders += [(f"user-{n}", day, (2,)) for n, day in enumerate(range(90, 93))]
    orders += [("user-9", 30, (3,)), ("user-9", 100, (2,)), ("user-1", 103, (1,))]
    dataset = make_dataset(orders, num_items=3, train_end=80, valid_end=98, end=120)
    rows = examples_of(dataset, "test", "next_item")
    scores = fitted("popularity", dataset).scores(dataset, "test", rows)
    assert (np.argsort(-scores, axis=1)[:, :3] == [2, 1, 3]).all()
    assert (scores[:, 1:] < 1).all()


def test_personal_frequency_counts_and_breaks_ties_by_popularity(make_dataset):
    orders = [("me", 20, (1, 2)), ("me", 25, (1,)), ("me", 30, (1, 3)), ("me", 101, (4,))]
    orders += [(f"user-{n}", 80 + n, (3, 4)) for n in range(8)]
    dataset = make_dataset(orders, num_items=4, train_end=60, valid_end=90, end=120)
    rows = examples_of(dataset, "test", "next_item")
    mine = rows[dataset.examples("test").user[rows] == "me"]
    scores = fitted("personal_frequency", dataset).scores(dataset, "test", mine)[0]
    assert np.argsort(-scores)[:4].tolist() == [1, 3, 2, 4]
    assert scores[1] == pytest.approx(3, abs=1)


def test_last_items_ranks_the_latest_moment_first(make_dataset):
    orders = [("me", 20, (1,)), ("me", 25, (2,)), ("me", 30, (3,)), ("me", 35, (1,))]
    orders += [("me", 101, (4,)), *((f"user-{n}", 80 + n, (4,)) for n in range(8))]
    dataset = make_dataset(orders, num_items=4, train_end=60, valid_end=90, end=120)
    rows = examples_of(dataset, "test", "next_item")
    mine = rows[dataset.examples("test").user[rows] == "me"]
    scores = fitted("last_items", dataset).scores(dataset, "test", mine)[0]
    assert np.argsort(-scores)[:4].tolist() == [1, 3, 2, 4]


def test_co_occurrence_is_the_stated_formula(dataset):
    floor, train = fitted("co_occurrence", dataset), dataset.examples("train")
    rows = examples_of(dataset, "train", "next_item")

    def before(split: str, row: int) -> np.ndarray:
        found, weights = dataset.examples(split), np.zeros(15)
        start, end = found.history.offsets[row], found.history.offsets[row + 1]
        moments = sorted(set(found.history.at[start:end].tolist()), reverse=True)
        for place in range(start, end):
            back = 1 + moments.index(int(found.history.at[place]))
            weights[found.history.item[place]] += 1 / back if back <= NUM_MOMENTS else 0
        return weights

    together, after = np.zeros((15, 15)), np.zeros((15, 15))
    for row, basket in zip(rows, baskets(dataset, "train", rows), strict=True):
        together[np.ix_(basket, basket)] += 1
        after[:, basket] += before("train", row)[:, None]

    def normalised(counts: np.ndarray) -> np.ndarray:
        margins = np.outer(counts.sum(axis=1), counts.sum(axis=0))
        return counts / np.sqrt(np.maximum(margins, 1e-12))

    asked = examples_of(dataset, "test", "next_item")[:20]
    history = np.stack([before("test", row) for row in asked])
    expected = history @ (normalised(together) + normalised(after))
    scores = floor.scores(dataset, "test", asked)
    allowed = np.isfinite(scores)
    np.testing.assert_allclose(scores[allowed], expected[allowed], atol=2e-6)
    assert len(train) > len(rows)


def test_co_occurrence_finds_what_is_bought_together_and_counting_does_not(dataset):
    rows = examples_of(dataset, "test", "next_item")
    wanted = baskets(dataset, "test", rows)
    ndcg = {
        name: ranking_metrics(fitted(name, dataset).scores(dataset, "test", rows), wanted, (3,))[
            "ndcg@3"
        ]
        for name in RANKING
    }
    assert ndcg["co_occurrence"] > ndcg["last_items"]
    assert ndcg["co_occurrence"] > ndcg["popularity"] + 0.05


@pytest.mark.parametrize("name", RETENTION)
def test_retention_floors_answer_with_probabilities_that_tell_who_leaves(name, dataset):
    rows = examples_of(dataset, "test", "retention")
    found = fitted(name, dataset).probabilities(dataset, "test", rows)
    label = dataset.examples("test").label[rows]
    assert found.shape == label.shape
    told, spend = ~np.isnan(found).any(axis=0), HEADS["retention"].index("spend_90d")
    assert told[[0, 1, 2, 3, spend]].all()
    assert (found[:, told] >= 0).all()
    assert (np.delete(found, spend, axis=1)[:, told[:-1]] <= 1).all()
    assert gini(found[:, spend], label[:, spend]) > 0.3
    assert auc(found[:, 0], label[:, 0]) > 0.7


def test_recency_calls_a_longer_absence_more_likely_to_be_the_end(dataset):
    rows = examples_of(dataset, "test", "retention")
    leave = fitted("recency", dataset).probabilities(dataset, "test", rows)[:, 0]
    recency = raw_user_feature(dataset, "test", rows, "recency_days_purchase")
    order = np.argsort(recency, kind="stable")
    assert (np.diff(leave[order])[np.diff(recency[order]) > 1e-6] > 0).all()


def test_a_feature_is_read_back_in_its_own_unit(dataset):
    rows = examples_of(dataset, "test", "retention")
    found = dataset.examples("test")
    ends = found.history.offsets[rows + 1] - 1
    days = (found.asked_at[rows] - found.history.at[ends]) / DAY
    recency = raw_user_feature(dataset, "test", rows, "recency_days_purchase")
    np.testing.assert_allclose(recency, days, rtol=1e-4)


def test_logistic_rfm_is_what_scikit_learn_fits_on_the_three_numbers(dataset):
    train, test = (examples_of(dataset, split, "retention") for split in ("train", "test"))
    known, asked = dataset.examples("train"), dataset.examples("test")
    rfm = [asked_for + len(USER_NAMES) * flag for flag in (0, 1) for asked_for in range(3)]
    inputs = known.scalars[train][:, rfm]
    oracle = LogisticRegression(max_iter=1_000).fit(inputs, known.label[train, 1])
    found = fitted("logistic_rfm", dataset).probabilities(dataset, "test", test)[:, 1]
    np.testing.assert_allclose(
        found, oracle.predict_proba(asked.scalars[test][:, rfm])[:, 1], atol=1e-3
    )


@pytest.mark.parametrize("name", ["recency", "logistic_rfm"])
def test_a_head_with_one_kind_of_label_gets_its_rate(name, make_dataset):
    orders = [(f"user-{n}", day, (1,)) for n in range(5) for day in range(n, 240, 5)]
    dataset = make_dataset(orders, num_items=1, train_end=150, valid_end=195, end=240)
    rows = examples_of(dataset, "test", "retention")
    found = fitted(name, dataset).probabilities(dataset, "test", rows)
    expected = [0.0, 1.0, 0.0, 0.0, 1.0, 0.0, 10.0]
    np.testing.assert_allclose(found, [expected] * len(rows), atol=1e-9)


def test_bg_nbd_never_contradicts_itself_over_the_horizons(dataset):
    rows = examples_of(dataset, "test", "retention")
    found = dict(zip(HEADS["retention"], fitted("bg_nbd", dataset).probabilities(
        dataset, "test", rows).T, strict=True))  # fmt: skip
    assert (found["leave_30d"] >= found["leave_60d"]).all()
    assert (found["leave_60d"] >= found["leave_90d"]).all()
    np.testing.assert_allclose(found["purchase_30d"], 1 - found["leave_30d"])
