"""What training gives stands near what the simulated shop's truth allows, and nothing from nothing.

Differences are over seeds and paired: the same shop, the same test. A difference counts when it is
above two standard errors of its mean over seeds; "not below" allows as much.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from feature_repo.events import EVENT_SCHEMA
from feature_repo.retrieval import point_in_time
from feature_repo.scratch import scratch
from feature_repo.settings import DAY, Settings
from tests.truth import picture, shops
from tests.truth.experiment import ALL_KNOWING, EPOCHS, OBSERVER, SHOPPERS, measure, spread
from training.datasets.rows import Reads
from training.evaluate.answers import MODEL
from training.metrics.bootstrap import interval, replicates
from training.metrics.probability import auc

SEEDS = (1, 2, 3)
PARTS = ((SHOPPERS, EPOCHS), (SHOPPERS, 2), (SHOPPERS, 1), (150, EPOCHS), (40, EPOCHS))
PROBABILITY_FLOORS = ("recency", "logistic_rfm")
RANKING_FLOORS = ("popularity", "personal_frequency", "last_items", "co_occurrence")


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """(shoppers, epochs) to what each seed gave; draws the picture of ``docs/known-truth.md``."""
    folder = tmp_path_factory.mktemp("truth")
    of_seeds = [measure(seed, folder, PARTS) for seed in SEEDS]
    found = {part: [of_seed[n] for of_seed in of_seeds] for n, part in enumerate(PARTS)}
    print(*picture.lines(found), sep="\n")
    picture.draw(found)
    return found


@pytest.fixture(scope="module")
def best(measured):
    """The whole shop, all epochs."""
    return measured[SHOPPERS, EPOCHS]


def mean(found, source: str, metric: str) -> float:
    return float(np.mean([one.numbers[source][metric] for one in found]))


def gain(better, worse, metric: str, source: str = MODEL, than: str = MODEL):
    """Mean and standard error of the paired difference over seeds."""
    pairs = zip(better, worse, strict=True)
    return spread([a.numbers[source][metric] - b.numbers[than][metric] for a, b in pairs])


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("head", shops.HEADS)
def test_retention_is_calibrated_against_the_true_hazards(best, head):
    assert 0.85 < mean(best, MODEL, f"{head}/slope") < 1.2
    assert abs(mean(best, MODEL, f"{head}/intercept")) < 0.5
    assert mean(best, MODEL, f"{head}/ece") < 0.05
    for floor in PROBABILITY_FLOORS:
        difference, error = gain(best, best, f"{head}/ece", MODEL, floor)
        assert difference < -error


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("head", shops.HEADS)
def test_retention_orders_shoppers_nearly_as_the_best_observer_of_events_can(best, head):
    metric = f"{head}/expected auc"
    ceiling, observer = (mean(best, source, metric) for source in (ALL_KNOWING, OBSERVER))
    model = mean(best, MODEL, metric)
    assert model < observer < ceiling < 1
    assert model > observer - 0.05
    for floor in PROBABILITY_FLOORS:
        difference, error = gain(best, best, metric, MODEL, floor)
        assert difference > 2 * error


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("metric", ["recall@10", "ndcg@10"])
def test_the_ranking_reaches_most_of_what_the_true_taste_allows(best, metric):
    share = [one.share(metric) for one in best]
    assert min(share) > 0.7
    assert max(share) < 1
    for floor in RANKING_FLOORS:
        difference, error = gain(best, best, metric, MODEL, floor)
        assert difference > error, floor
        if floor == "popularity":
            assert difference > 2 * error


RETENTION = tuple(f"{head}/expected auc" for head in shops.HEADS)


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("metric", ["recall@10", "ndcg@10", *RETENTION])
def test_more_shoppers_help(measured, metric):
    few, some, all_ = (measured[num, EPOCHS] for num in (40, 150, SHOPPERS))
    for fewer, more in ((few, some), (some, all_)):
        difference, error = gain(more, fewer, metric)
        assert difference > -2 * error
    difference, error = gain(all_, few, metric)
    assert difference > 2 * error


@pytest.mark.long
@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("metric", ["recall@10", "ndcg@10", *RETENTION])
def test_more_epochs_help_and_never_harm(measured, metric):
    one, two, four = (measured[SHOPPERS, epochs] for epochs in (1, 2, EPOCHS))
    for fewer, more in ((one, two), (two, four)):
        difference, error = gain(more, fewer, metric)
        assert difference > -2 * error - 0.001
    if metric in RETENTION:
        difference, error = gain(four, one, metric)
        assert difference > error


def test_a_small_shop_already_learns_what_its_truth_knows(tmp_path):
    """The quick one: one seed, a quarter of the shoppers; bounds are wide."""
    (found,) = measure(seed=4, folder=tmp_path, parts=((150, EPOCHS),), shoppers=150, days=330)
    numbers = found.numbers
    assert found.share("recall@10") > 0.5
    assert numbers[MODEL]["recall@10"] > 1.2 * numbers["popularity"]["recall@10"]
    for head in shops.HEADS:
        assert 0.5 < numbers[MODEL][f"{head}/slope"] < 1.8
        assert numbers[MODEL][f"{head}/ece"] < 0.15
        order = {source: found.get(f"{head}/expected auc", 0) for source, found in numbers.items()}
        assert order["recency"] < order[MODEL] < order[OBSERVER] < order[ALL_KNOWING]


def shop_of_chance(seed: int, shoppers: int, items: int = 60, days: int = 330) -> pl.DataFrame:
    """Everybody orders with the same chance each day, and each item with the same chance."""
    rng = np.random.default_rng(seed)
    day, user = np.nonzero(rng.random((days, shoppers)) < 0.013)
    day, user = np.append(day, days - 1), np.append(user, 0)
    at = (20_000 + day) * DAY + rng.integers(DAY, size=len(day))
    columns = {
        "event_id": [f"chance-{n}" for n in range(len(at))],
        "kind": ["purchase"] * len(at),
        "user_id": [f"shopper-{n:05d}" for n in user],
        "event_at": at,
        "received_at": at,
        "item_id": [f"item-{n:05d}" for n in rng.integers(items, size=len(at))],
        "order_id": [f"order-{n}" for n in range(len(at))],
        "quantity": [1] * len(at),
        "price_micros": rng.integers(1, 40, len(at)) * 1_000_000,
        "currency": ["GBP"] * len(at),
        "text": [f"thing number {n}" for n in rng.integers(items, size=len(at))],
    }
    blank = dict.fromkeys(EVENT_SCHEMA)
    return pl.DataFrame({**blank, **columns}, schema=EVENT_SCHEMA).sort("event_at")


def interval_of(statistic, users: np.ndarray) -> tuple[float, float]:
    """99.9 % over draws of shoppers."""
    drawn = replicates(
        lambda rows: np.array([statistic(rows)]), users, 1_000, np.random.default_rng(0)
    )
    return interval(drawn[:, 0], 0.999)


def test_a_shop_of_pure_chance_teaches_nothing(tmp_path):
    with scratch(Settings()) as shop:
        dataset = shops.dataset_of(shop_of_chance(5, 400), shop, shops.recipe(5))
        said = shops.ask_all(shops.train(dataset, shops.recipe(5), tmp_path / "run"))
        users = np.array(dataset.examples("test").user)
    rows = shops.snapshots(dataset, "test")
    label = np.asarray(dataset.examples("test").label[rows], dtype=float)
    for column in range(len(shops.HEADS)):
        chance = said.probability[MODEL][:, column]
        low, high = interval_of(lambda r, c=column, p=chance: auc(p[r], label[r, c]), users[rows])
        assert low < 0.5 < high
        assert high - low < 0.3
        # What is said is the base rate, whoever is asked.
        assert np.std(chance) < 0.1
    recall = shops.ranking(said, "recall@10")
    difference = recall[MODEL] - recall["popularity"]
    low, high = interval_of(lambda r: difference[r].mean(), users[said.rows["next_item"]])
    assert low < 0 < high
    low, high = interval_of(lambda r: recall[MODEL][r].mean(), users[said.rows["next_item"]])
    assert low < 10 / 60 < high


def noisy(seed: int) -> Reads:
    """The feature store's answers, and a column that knows nothing."""

    def answer(spine, service, settings):
        found = point_in_time(spine, service, settings)
        noise = np.random.default_rng([seed, found.height]).normal(size=found.height)
        return found if service == "item" else found.with_columns(noise=pl.Series(noise))

    return Reads(point_in_time=answer, schema_hash=lambda services, settings: f"noisy-{seed}")


@pytest.mark.long
@pytest.mark.timeout(1_800)
def test_a_column_of_noise_and_shuffled_labels_earn_nothing(tmp_path):
    gains = {"recall@10": [], "auc": []}
    learnt, of_nothing = [], []
    for seed in SEEDS:
        events, truth = shops.live(seed, 300, 150, 400)
        run = shops.recipe(seed)
        with scratch(Settings()) as shop:
            plain = shops.dataset_of(events, shop, run)
            noise = shops.dataset_of(events, shop, run, noisy(seed))
            assert "noise" in noise.spec.user.names
            found = []
            for name, dataset in (("plain", plain), ("noise", noise)):
                said = shops.ask_all(shops.train(dataset, run, tmp_path / f"{seed}-{name}"))
                real = truth.heads(dataset, "everything")[:, 0]
                score = said.probability[MODEL][:, 0]
                recall = shops.ranking(said, "recall@10")[MODEL].mean()
                found.append({"recall@10": recall, "auc": shops.expected_auc(score, real)})
                if name == "plain":
                    learnt.append(nats_earned(score, real))
            for metric, values in gains.items():
                values.append(found[1][metric] - found[0][metric])
            shuffle_labels(plain, seed)
            said = shops.ask_all(shops.train(plain, run, tmp_path / f"{seed}-shuffled"))
            of_nothing.append(nats_earned(said.probability[MODEL][:, 0], real))
    for metric, values in gains.items():
        difference, error = spread(values)
        print(f"noise column, {metric}: {difference:+.4f} ± {error:.4f}")
        assert difference < 2 * error + 0.002
        assert abs(difference) < 0.02
    print(f"nats earned: real labels {spread(learnt)}, shuffled labels {spread(of_nothing)}")
    assert min(learnt) > 0.2
    assert max(of_nothing) < 0.02


def nats_earned(chance: np.ndarray, real: np.ndarray) -> float:
    """How much better than its own mean `chance` (n,) foretells draws of the `real` chances."""

    def loss(p: np.ndarray) -> float:
        p = np.clip(p, 1e-6, 1 - 1e-6)
        return float(-(real * np.log(p) + (1 - real) * np.log(1 - p)).mean())

    return loss(np.full(len(real), chance.mean())) - loss(chance)


def shuffle_labels(dataset, seed: int) -> None:
    """Deal the retention labels of training and validation anew, in memory."""
    rng = np.random.default_rng(seed)
    for split in ("train", "valid"):
        rows = shops.snapshots(dataset, split)
        found = dataset.examples(split)
        label = np.array(found.label)
        label[rows] = label[rng.permutation(rows)]
        dataset._examples[split] = replace(found, label=label)
