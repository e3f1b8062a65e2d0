"""Rollups and derive against a plain reading of the definitions, event by event."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo import derive, rollups
from feature_repo.events import EVENT_SCHEMA, KIND_CODES
from feature_repo.settings import DAY, SECOND
from feature_repo.treatments import treatment_rows

HOUR = 3600 * SECOND
moments = st.integers(0, 24 * 130).map(lambda hours: 15_000 * DAY + hours * HOUR)


@st.composite
def shop_events(draw):
    rows = []
    for number in range(draw(st.integers(1, 25))):
        event_at = draw(moments)
        late = draw(st.sampled_from([0, 0, 0, HOUR, 30 * HOUR, 20 * DAY]))
        rows.append(
            {
                "event_id": f"e{number:03}",
                "kind": draw(
                    st.sampled_from(
                        [*rollups.BEHAVIOURS, "purchase", "impression", "treatment", "treatment"]
                    )
                ),
                "user_id": draw(st.sampled_from(["a", "b"])),
                "event_at": event_at,
                "received_at": event_at + late,
                "item_id": draw(st.sampled_from(["x", "y", None])),
                "order_id": draw(st.sampled_from(["o1", "o2", None])),
                "quantity": draw(st.sampled_from([1, 3])),
                "price_micros": draw(st.sampled_from([0, 2_550_000, None])),
                "text": draw(st.sampled_from(["old", "new", None])),
            }
        )
    return pl.DataFrame(rows, schema_overrides=dict(EVENT_SCHEMA)).select(
        pl.col(name) if name in rows[0] else pl.lit(None, dtype=kind).alias(name)
        for name, kind in EVENT_SCHEMA.items()
    )


def as_of(rows: pl.DataFrame, key: str, moment: int) -> pl.DataFrame:
    """What Feast reads: rows stamped at or before the moment."""
    stamp = pl.lit(moment).cast(pl.Datetime("us", "UTC"))
    return rows.filter(pl.col("event_timestamp") <= stamp)


def read_user(
    rows: rollups.UserRows, user: str, moment: int, treated_at: list[int]
) -> dict[str, float]:
    known = as_of(rows.state, "user_id", moment).filter(user_id=user).tail(1)
    days = as_of(rows.days, "user_id", moment).filter(user_id=user)
    columns = {"asked_at": derive.scalars([moment])}
    for name in rollups.USER_STATE:
        columns[name] = derive.scalars(known[name].to_list() or [None])
    for name in rollups.USER_DAYS:
        columns[name] = derive.Lists.pad([days[name].to_list()])
    columns["treatment_at"] = derive.Lists.pad([treated_at])
    return {name: float(values[0]) for name, values in derive.user(columns).items()}


def plain_user(events: list[dict], moment: int, treated_at: list[int]) -> dict[str, float]:
    """The definitions in words, over one user's events known before the moment."""
    nan, today = math.nan, moment // DAY
    found = dict.fromkeys(derive.USER_FEATURES, nan)
    if events or treated_at:
        for window in derive.WINDOWS:
            days = [at // DAY for at in treated_at]
            found[f"num_treatment_{window}d"] = sum(today - window < day <= today for day in days)
    if treated_at:
        found["recency_days_treatment"] = (moment - max(treated_at)) / DAY
    if not events:
        return found
    purchases = [e for e in events if e["kind"] == "purchase"]
    orders = {}
    for e in purchases:
        orders.setdefault(e["order_id"] or e["event_id"], e["event_at"] // DAY)
    days = sorted({e["event_at"] // DAY for e in purchases})
    amount = lambda e: (e["price_micros"] or 0) * e["quantity"]  # noqa: E731
    spend = sum(map(amount, purchases))
    gap = nan
    if len(days) > 1:
        gap = (days[-1] - days[0]) / (len(days) - 1)
    found |= {
        "tenure_days": (moment - min(e["event_at"] for e in events)) / DAY,
        "num_purchases": len(purchases),
        "num_days_with_purchase": len(days),
        "tenure_days_purchase": nan,
        "num_orders": len(orders),
        "spend": spend / 1e6,
        "returned_spend": sum(amount(e) for e in events if e["kind"] == "return") / 1e6,
        "average_order_value": spend / 1e6 / len(orders) if orders else nan,
        "mean_gap_days": gap,
    }
    if purchases:
        first = min(e["event_at"] for e in purchases)
        found["tenure_days_purchase"] = (moment - first) / DAY
    for kind in rollups.BEHAVIOURS:
        times = [e["event_at"] for e in events if e["kind"] == kind]
        found[f"recency_days_{kind}"] = (moment - max(times)) / DAY if times else nan
    found["lateness"] = found["recency_days_purchase"] / gap
    for window in derive.WINDOWS:
        inside = [e for e in events if today - window < e["event_at"] // DAY <= today]
        for kind in rollups.BEHAVIOURS:
            found[f"num_{kind}_{window}d"] = sum(e["kind"] == kind for e in inside)
        bought = [e for e in inside if e["kind"] == "purchase"]
        found[f"spend_{window}d"] = sum(map(amount, bought)) / 1e6
        opened = [day for day in orders.values() if today - window < day <= today]
        found[f"num_orders_{window}d"] = len(opened)
    return found


def known_before(events: pl.DataFrame, moment: int) -> list[dict]:
    rows = [e for e in events.to_dicts() if max(e["event_at"], e["received_at"]) < moment]
    return sorted(
        rows, key=lambda e: (max(e["event_at"], e["received_at"]), e["event_at"], e["event_id"])
    )


@settings(max_examples=150, deadline=None)
@given(shop_events(), moments)
def test_user_features_equal_the_definitions_at_any_moment(events, moment):
    rows = rollups.user_rows(events)
    for user in ("a", "b"):
        mine = [
            e
            for e in known_before(events, moment)
            if e["user_id"] == user and e["kind"] in rollups.BEHAVIOURS
        ]
        treated = as_of(treatment_rows(events), "user_id", moment).filter(user_id=user)
        told = [
            (e["event_at"], e["text"] or "")
            for e in known_before(events, moment)
            if e["user_id"] == user and e["kind"] == "treatment"
        ]
        assert treated.select("treatment_at", "treatment_action").rows() == told
        wanted = plain_user(mine, moment, [at for at, _ in told])
        found = read_user(rows, user, moment, treated["treatment_at"].to_list())
        for name in derive.USER_FEATURES:
            np.testing.assert_allclose(found[name], wanted[name], rtol=1e-12, err_msg=name)


@settings(max_examples=100, deadline=None)
@given(shop_events(), moments)
def test_item_features_are_those_of_the_last_midnight(events, moment):
    rows = rollups.item_rows(events)
    midnight = moment // DAY * DAY
    kinds = ("view", "click", "cart", "purchase")
    for item in ("x", "y"):
        mine = [
            e for e in known_before(events, midnight) if e["item_id"] == item and e["kind"] in kinds
        ]
        state = as_of(rows.state, "item_id", moment).filter(item_id=item).tail(1)
        days = as_of(rows.days, "item_id", moment).filter(item_id=item)
        columns = {"asked_at": derive.scalars([moment])}
        columns |= {n: derive.scalars(state[n].to_list() or [None]) for n in rollups.ITEM_STATE}
        columns |= {n: derive.Lists.pad([days[n].to_list()]) for n in rollups.ITEM_DAYS}
        found = {name: float(values[0]) for name, values in derive.item(columns).items()}
        assert (state.height == 0) == (not mine)
        if not mine:
            assert all(math.isnan(value) for value in found.values())
            continue
        assert found["age_days"] == (moment - min(e["event_at"] for e in mine)) / DAY
        texts = [e["text"] for e in mine if e["text"] is not None]
        assert state["text"][0] == (texts[-1] if texts else "")
        bought = [e for e in mine if e["kind"] == "purchase"]
        assert found["num_buyers"] == len({e["user_id"] for e in bought})
        prices = [e["price_micros"] for e in bought if e["price_micros"]]
        np.testing.assert_equal(found["price"], prices[-1] / 1e6 if prices else math.nan)
        today = moment // DAY
        for window in derive.WINDOWS:
            inside = [e for e in bought if today - window <= e["event_at"] // DAY < today]
            assert found[f"num_purchases_{window}d"] == len(inside)


@settings(max_examples=50, deadline=None)
@given(shop_events())
def test_history_is_in_order_of_becoming_known(events):
    history = rollups.user_rows(events).history
    wanted = [
        e
        for user in ("a", "b")
        for e in known_before(events, 10**18)
        if e["user_id"] == user and e["kind"] in rollups.BEHAVIOURS
    ]
    assert history["event_id"].to_list() == [e["event_id"] for e in wanted]
    assert history["history_kind"].to_list() == [KIND_CODES[e["kind"]] for e in wanted]
    stamps = history["event_timestamp"].cast(pl.Int64).to_list()
    assert stamps == [max(e["event_at"], e["received_at"]) + 1 for e in wanted]


@settings(max_examples=50, deadline=None)
@given(shop_events(), st.randoms())
def test_rows_do_not_depend_on_the_order_of_arrival_in_the_frame(events, random):
    order = list(range(events.height))
    random.shuffle(order)
    one, other = rollups.user_rows(events), rollups.user_rows(events[order])
    assert one.state.equals(other.state)
    assert one.days.equals(other.days)
    assert one.history.equals(other.history)


@settings(max_examples=50, deadline=None)
@given(shop_events())
def test_one_user_alone_gives_the_same_rows_as_the_whole_shop(events):
    whole = rollups.user_rows(events)
    alone = rollups.user_rows(events.filter(user_id="a"))
    assert alone.state.equals(whole.state.filter(user_id="a"))
    assert alone.days.equals(whole.days.filter(user_id="a"))
    assert alone.history.equals(whole.history.filter(user_id="a"))


def test_no_behaviour_gives_empty_rows():
    empty = pl.DataFrame(schema=EVENT_SCHEMA)
    rows = rollups.user_rows(empty)
    assert rows.state.height == rows.days.height == rows.history.height == 0
    assert rollups.item_rows(empty).state.height == 0


def test_an_amount_is_the_same_alone_and_among_others():
    """A live update computes one shopper's rows, the batch everybody's: not a bit may differ."""
    pennies = range(1, 400)
    purchase = {"kind": "purchase", "user_id": "a", "item_id": "x", "quantity": 1}
    rows = [
        purchase
        | {"event_id": f"e{n:03}", "event_at": n, "received_at": n, "price_micros": 10_000 * n}
        for n in pennies
    ]
    blank = dict.fromkeys(EVENT_SCHEMA)
    frame = pl.DataFrame([blank | row for row in rows], schema=EVENT_SCHEMA)
    amounts = rollups.user_rows(frame).history["history_amount"].to_list()
    alone = [rollups.user_rows(frame[n]).history["history_amount"][0] for n in range(len(frame))]
    assert amounts == alone == [n / 100 for n in pennies]
