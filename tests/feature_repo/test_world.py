"""The simulated shop as code: what its events look like, and that they follow from the seed."""

from __future__ import annotations

import copy

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from feature_repo.events import EVENT_SCHEMA, check
from feature_repo.settings import DAY
from feature_repo.world import World
from feature_repo.world.catalogue import CATEGORIES
from feature_repo.world.truth import index_of

NUM_DAYS = 120


@pytest.fixture(scope="module")
def world() -> World:
    world = World(seed=7)
    world.events = world.run(NUM_DAYS)
    return world


def of_kind(world: World, *kinds: str) -> pl.DataFrame:
    return world.events.filter(pl.col("kind").is_in(kinds))


def test_every_event_passes_the_checks_of_the_warehouse(world):
    assert world.events.schema == EVENT_SCHEMA
    good, rejects = check(world.events, now=world.now)
    assert_frame_equal(good, world.events)
    assert rejects.is_empty()


def test_events_come_in_order_of_time_inside_their_day_with_unique_ids(world):
    events = world.events
    assert events["event_at"].is_sorted()
    assert events["event_id"].is_sorted()
    assert events["event_id"].is_unique().all()
    days = events["event_id"].str.split("-").list.get(2).cast(pl.Int64)
    assert ((events["event_at"] - world.start_at) // DAY == days).all()


def test_all_kinds_of_behaviour_happen(world):
    assert set(world.events["kind"]) == {
        *("view", "click", "cart", "purchase", "return", "search", "message", "impression")
    }


def test_the_same_seed_and_the_same_actions_give_the_same_events():
    def days(seed: int) -> pl.DataFrame:
        world = World(seed=seed, num_shoppers=20)
        return pl.concat([world.step({"shopper-00003": "coupon"}) for _ in range(10)])

    assert_frame_equal(days(5), days(5))
    assert not days(5).equals(days(6))


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), pause=st.integers(0, 12))
def test_a_copy_of_a_world_goes_on_as_the_world_does(seed, pause):
    world = World(seed=seed, num_shoppers=8, num_items=20)
    world.run(pause)
    twin = copy.deepcopy(world)
    assert_frame_equal(world.run(4), twin.run(4))


def test_orders_have_several_items_at_one_moment_and_differ_between_shoppers(world):
    orders = (
        of_kind(world, "purchase")
        .group_by("order_id")
        .agg(pl.len(), pl.col("user_id").n_unique(), pl.col("event_at").n_unique().alias("moments"))
    )
    assert (orders["user_id"] == 1).all()
    assert (orders["moments"] == 1).all()
    assert 2.0 < orders["len"].mean() < 4.0


def test_a_return_cites_an_earlier_order_of_that_item_and_its_price(world):
    keys = ["user_id", "order_id", "item_id", "price_micros"]
    matched = of_kind(world, "return").join(of_kind(world, "purchase"), on=keys, how="left")
    assert len(matched) > 3
    assert (matched["event_at"] > matched["event_at_right"]).all()
    assert (matched["quantity"] <= matched["quantity_right"]).all()


def test_item_events_carry_the_item_text_and_searches_use_its_words(world):
    texts = dict(world.items.select("item_id", "text").iter_rows())
    bought = of_kind(world, "view", "purchase")
    assert (bought["item_id"].replace_strict(texts) == bought["text"]).all()
    words = {word for text in texts.values() for word in text.split()}
    queries = of_kind(world, "search")
    assert set(" ".join(queries["text"]).split()) <= words
    assert queries["item_id"].is_null().all()


def test_complaints_follow_returns(world):
    complaints = of_kind(world, "message").filter(~pl.col("text").str.ends_with("?"))
    returns = of_kind(world, "return").select("user_id", pl.col("event_at") + 300_000_000)
    assert len(complaints) > 1
    assert len(complaints.join(returns, on=["user_id", "event_at"])) == len(complaints)


def test_new_shoppers_and_new_items_arrive_and_take_part():
    world = World(seed=3, num_shoppers=200, num_items=200)
    events = world.run(60)
    first = world.items.filter(pl.col("first_at") > world.start_at)
    assert 5 < len(first) < 40
    assert events["item_id"].is_in(first["item_id"].to_list()).any()
    assert (events["user_id"] > "shopper-00199").any()
    late = events.join(first, on="item_id")
    assert (late["event_at"] >= late["first_at"]).all()
    assert set(world.items["category"]) <= set(CATEGORIES)


def test_actions_are_written_down_as_treatments_and_nothing_is_not():
    world = World(seed=1)
    actions = {"shopper-00002": "reminder", "shopper-00001": "coupon", "shopper-00000": "nothing"}
    events = world.step(actions).filter(kind="treatment")
    assert events.select("user_id", "text").rows() == [
        ("shopper-00001", "coupon"),
        ("shopper-00002", "reminder"),
    ]


def test_a_coupon_takes_a_tenth_off_what_is_paid_while_it_works():
    world = World(seed=2, num_shoppers=300)
    everyone = dict.fromkeys(world.truth.users, "coupon")
    prices = dict(world.items.select("item_id", "price_micros").iter_rows())
    paid = world.step(everyone).filter(kind="purchase")
    ratio = paid["price_micros"] / paid["item_id"].replace_strict(prices)
    assert len(paid) > 10
    assert ((ratio - 0.9).abs() < 0.02).all()


def test_events_cite_the_decision_for_seven_days():
    world = World(seed=4, num_shoppers=300)
    decisions = {user: f"decision-{user}" for user in world.truth.users}
    first = world.step({"shopper-00007": "reminder"}, decisions)
    rest = [world.step() for _ in range(7)]
    for day in [first, *rest[:6]]:
        cited = day.filter(
            (pl.col("kind") != "impression") & (pl.col("user_id") <= "shopper-00299")
        )
        assert (cited["decision_id"] == "decision-" + cited["user_id"]).all()
    assert rest[6]["decision_id"].is_null().all()


def test_the_default_shop_is_of_the_size_that_the_demo_needs():
    world = World(seed=8)
    events = world.run(340)
    assert 10_000 < len(events) < 20_000
    purchases = events.filter(kind="purchase")
    cut = world.now - 90 * DAY
    known = set(purchases.filter(pl.col("event_at") < cut)["user_id"])
    back = set(purchases.filter(pl.col("event_at") >= cut)["user_id"])
    assert 0.25 < len(known - back) / len(known) < 0.40


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        ({"seed": -1}, "seed is -1"),
        ({"num_shoppers": 0}, "num_shoppers is 0"),
        ({"num_items": 1}, "num_items is 1"),
        ({"start_at": 5}, "must be midnight UTC"),
    ],
)
def test_a_world_that_cannot_be_is_refused_by_name(arguments, named):
    with pytest.raises(ValueError, match=named):
        World(**arguments)


def test_unknown_users_and_actions_are_refused_by_name():
    world = World(seed=1)
    with pytest.raises(ValueError, match="'shopper-99999'"):
        world.step({"shopper-99999": "coupon"})
    with pytest.raises(ValueError, match="'voucher' is unknown"):
        world.step({"shopper-00001": "voucher"})
    with pytest.raises(ValueError, match="nobody"):
        index_of("00001", 60)
