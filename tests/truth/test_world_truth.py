"""The truth of the simulated shop agrees with what happens in it."""

from __future__ import annotations

import copy

import numpy as np
import polars as pl
import pytest

from feature_repo.world import World
from feature_repo.world.catalogue import CATEGORIES

NUM_SHOPPERS, WARM_UP_DAYS = 500, 60


@pytest.fixture(scope="module")
def shop() -> World:
    """A shop in the middle of its life; copy it before stepping on."""
    world = World(seed=11, num_shoppers=NUM_SHOPPERS, num_items=80)
    world.run(WARM_UP_DAYS)
    return world


@pytest.fixture(scope="module")
def later(shop) -> tuple[pl.DataFrame, World]:
    """Ninety more days without action, and the world after them."""
    world = copy.deepcopy(shop)
    return world.run(90), world


def buyers(events: pl.DataFrame, users: list[str]) -> np.ndarray:
    return np.isin(users, events.filter(kind="purchase")["user_id"].unique().to_numpy())


def z(observed: np.ndarray, probability: np.ndarray) -> float:
    """How many standard errors the sum of independent Bernoulli draws lies off its mean."""
    spread = np.sqrt((probability * (1 - probability)).sum())
    return float((observed.sum() - probability.sum()) / max(spread, 1e-9))


@pytest.mark.parametrize("horizon_days", [1, 7, 30, 90])
def test_as_many_shoppers_order_within_the_horizon_as_the_truth_says(shop, later, horizon_days):
    truth, (events, _) = shop.truth, later
    probability = truth.purchase_probability(horizon_days)
    day = (events["event_at"] - shop.now) // 86_400_000_000
    ordered = buyers(events.filter(day < horizon_days), truth.users)
    assert abs(z(ordered, probability)) < 4
    for low, high in ((0.0, 0.3), (0.3, 0.7), (0.7, 1.01)):
        inside = (probability >= low) & (probability < high)
        assert abs(z(ordered[inside], probability[inside])) < 4
    assert not ordered[~truth.alive].any()


def test_an_observer_of_the_events_is_right_about_who_is_still_there(later):
    _, world = later
    belief, alive = world.truth.shoppers.belief, world.truth.alive
    assert abs(z(alive, belief)) < 4
    for low, high in ((0.0, 0.1), (0.1, 0.5), (0.5, 0.9), (0.9, 1.01)):
        inside = (belief >= low) & (belief < high)
        assert inside.any()
        assert abs(z(alive[inside], belief[inside])) < 4


def test_knowing_only_the_events_is_calibrated_and_knows_less(shop, later):
    events, _ = later
    known = shop.truth.purchase_probability(90, knowing="events")
    ordered = buyers(events, shop.truth.users)
    assert abs(z(ordered, known)) < 4

    def log_loss(probability: np.ndarray) -> float:
        p = np.clip(probability, 1e-6, 1 - 1e-6)
        return float(-np.where(ordered, np.log(p), np.log(1 - p)).mean())

    rate = np.full(len(known), ordered.mean())
    assert log_loss(shop.truth.purchase_probability(90)) < log_loss(known) < log_loss(rate)


def test_the_first_item_of_orders_follows_the_true_probabilities():
    world = World(seed=5, num_shoppers=300, num_items=40)
    surprise, variance = [], []
    for _ in range(40):
        truth = world.truth
        past = {user: truth.next_item_probabilities(user) for user in truth.users}
        items = {name: index for index, name in enumerate(truth.items)}
        orders = world.step().filter(kind="purchase")
        for user, item in (
            orders.group_by("user_id", maintain_order=True).first()[["user_id", "item_id"]].rows()
        ):
            p = past[user]
            assert p.sum() == pytest.approx(1.0)
            surprise.append(p[items[item]] - (p**2).sum())
            variance.append((p**3).sum() - (p**2).sum() ** 2)
    assert len(surprise) > 200
    assert abs(sum(surprise)) < 4 * np.sqrt(sum(variance))
    assert np.mean(surprise) + np.mean([(p**2).sum() for p in past.values()]) > 2 / 40


def test_all_shoppers_at_once_choose_as_each_alone(shop):
    truth = shop.truth
    together = truth.choice_probabilities()
    for row in (0, 17, len(truth.users) - 1):
        np.testing.assert_allclose(together[row], truth.next_item_probabilities(truth.users[row]))


def test_clicks_follow_their_true_probabilities():
    world, clicks, probability = World(seed=6, num_shoppers=300, num_items=40), [], []
    for _ in range(25):
        truth = world.truth
        chance = {user: truth.click_probability(user) for user in truth.users}
        items = {name: index for index, name in enumerate(truth.items)}
        day = world.step()
        shown = day.filter(kind="impression")
        clicked = set(day.filter(kind="click")[["user_id", "item_id"]].rows())
        pairs = shown[["user_id", "item_id"]].rows()
        clicks += [pair in clicked for pair in pairs]
        probability += [chance[user][items[item]] for user, item in pairs]
    assert abs(z(np.array(clicks), np.array(probability))) < 4
    assert 0.05 < np.mean(clicks) < 0.5


@pytest.mark.parametrize("action", ["nothing", "reminder", "coupon"])
def test_as_many_shoppers_convert_after_an_action_as_the_truth_says(shop, action):
    world = copy.deepcopy(shop)
    truth = world.truth
    users, probability = truth.users, truth.conversion_probability(action)
    events = [world.step(dict.fromkeys(users, action)), *(world.step() for _ in range(6))]
    converted = buyers(pl.concat(events), users)
    assert abs(z(converted, probability)) < 4
    for name in np.unique(truth.uplift_class[: len(users)]):
        inside = world.truth.uplift_class[: len(users)] == name
        assert abs(z(converted[inside], probability[inside])) < 4


def test_classes_react_as_their_names_say(shop):
    truth = shop.truth
    nothing, coupon = (truth.conversion_probability(a) for a in ("nothing", "coupon"))
    gain = {
        name: (coupon - nothing)[truth.alive & (truth.uplift_class == name)].mean()
        for name in ("persuadable", "sure thing", "lost cause", "sleeping dog")
    }
    assert gain["persuadable"] > 0.2
    assert abs(gain["sure thing"]) < 0.03
    assert abs(gain["lost cause"]) < 0.03
    assert gain["sleeping dog"] < -0.05


def test_asking_for_the_truth_changes_nothing(shop):
    asked, other = copy.deepcopy(shop), copy.deepcopy(shop)
    truth = asked.truth
    truth.conversion_probability("coupon")
    truth.purchase_probability(90, knowing="events")
    truth.next_item_probabilities("shopper-00000")
    assert asked.step().equals(other.step())


def test_many_actions_tire_those_who_liked_them(shop):
    fresh, tired = copy.deepcopy(shop), copy.deepcopy(shop)
    users = shop.truth.users
    for _ in range(4):
        tired.step(dict.fromkeys(users, "coupon"))
        fresh.step()
    n = len(users)
    likes = (fresh.truth.uplift_class[:n] == "persuadable") & tired.truth.alive[:n]
    same = likes & fresh.truth.alive[:n]
    strength = [
        w.truth.conversion_probability("coupon", 1)[:n][same].mean() for w in (tired, fresh)
    ]
    assert strength[0] < strength[1]


def test_words_tell_taste(shop):
    """Items that share a noun lie closer in the space of taste than items that share nothing."""
    items, vectors = shop.items, shop.truth.item_vectors
    nouns = items["text"].str.split(" ").list.last().to_numpy()
    alike = vectors @ vectors.T
    other = ~np.eye(len(items), dtype=bool)
    same = (nouns[:, None] == nouns) & other
    assert alike[same].mean() > alike[~same & other].mean() + 0.3
    assert shop.truth.taste.shape == (len(shop.truth.users), vectors.shape[1])
    assert len(set(items["category"])) == len(CATEGORIES)


def test_unknown_actions_are_refused(shop):
    with pytest.raises(ValueError, match="'gift' is unknown"):
        shop.truth.conversion_probability("gift")


def test_shoppers_who_change_their_kind_follow_the_truth_of_the_kind_they_are_now(shop):
    same, drifts = copy.deepcopy(shop), copy.deepcopy(shop)
    drifts.changes = 0.01
    observed, probability = [], []
    for _ in range(40):
        users = drifts.truth.users
        probability.append(drifts.truth.purchase_probability(1))
        observed.append(buyers(drifts.step(), users))
    assert abs(z(np.concatenate(observed), np.concatenate(probability))) < 4
    before = shop.truth.shoppers.uplift_class
    other = drifts.truth.shoppers.uplift_class[: len(before)] != before
    assert 0.15 < other.mean() < 0.35  # a third was drawn anew, a quarter of them as before
    same.run(40)
    assert (same.truth.shoppers.uplift_class[: len(before)] == before).all()


def test_a_share_of_changes_beyond_one_is_refused():
    with pytest.raises(ValueError, match=r"changes is 2\.0"):
        World(changes=2.0)
