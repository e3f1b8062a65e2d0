"""Limits of every kind: exact in the transaction that reserves, and each refusal in its words."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feature_repo.campaigns import Campaign, ChannelCap
from feature_repo.ledger import Ledger
from feature_repo.obstacles import quiet_until
from feature_repo.rules import Rules
from feature_repo.settings import DAY, microseconds
from tests.feature_repo.limits import NOW, citing, decide, keep_users

HOUR = DAY // 24
PLAIN = Campaign(
    campaign_id="win",
    daily_budget_micros=10_000_000,
    cap_num=9,
    cap_days=7,
    cost_micros={"coupon": 3_000_000},
    channels={"coupon": "email", "reminder": "push"},
)


@pytest.fixture
def ledger(warehouse) -> Ledger:
    made = Ledger(warehouse)
    made.upsert_campaign(PLAIN)
    return made


@pytest.fixture
def rules(warehouse) -> Rules:
    return Rules(warehouse)


def why(ledger: Ledger, user: str = "u", at: int = NOW, **asked) -> str:
    """What stands in the way of a coupon; empty when it was given."""
    return decide(ledger, user, at=at, **asked)[1]


def test_a_campaign_reads_back_as_it_was_laid_down(ledger, rules):
    made = replace(
        PLAIN,
        total_budget_micros=5,
        needs_consent=True,
        conditions=("num_purchases >= 1", "attributes.country == GB"),
        quiet_hours="21:00-08:00",
        exclusion_group="g",
        exclusion_days=3.0,
        hold_hours=2.0,
    )
    ledger.upsert_campaign(made)
    assert ledger.campaign("win") == made
    assert rules.campaigns() == [made]


def test_who_said_no_to_a_channel_gets_nothing_by_it(ledger, warehouse):
    keep_users(warehouse, u={"consent": {"email": False, "push": True}})
    assert why(ledger) == "no consent: the shopper said no to email"
    assert why(ledger, action="reminder") == ""
    ledger.upsert_campaign(replace(PLAIN, channels={}))
    assert why(ledger) == "no consent: the shopper said no to a channel, and this has none"


def test_a_shopper_of_unknown_consent_follows_the_campaign(ledger, warehouse):
    assert why(ledger) == ""
    ledger.upsert_campaign(replace(PLAIN, needs_consent=True))
    assert why(ledger, "v") == "no consent: the shopper never said yes to email"
    keep_users(warehouse, v={"consent": {"email": True}})
    assert why(ledger, "v") == ""


def test_only_the_eligible_are_acted_on(ledger, warehouse):
    keep_users(warehouse, u={"attributes": {"country": "GB"}})
    conditions = ("num_purchases >= 1", "leave_90d > 0.5", "attributes.country == GB")
    ledger.upsert_campaign(replace(PLAIN, conditions=conditions))
    told = {"num_purchases": 2.0, "leave_90d": 0.7}
    assert why(ledger, features=told) == ""
    few = told | {"num_purchases": 0.0}
    assert why(ledger, features=few) == "not eligible: num_purchases is 0.0, num_purchases >= 1"
    assert why(ledger, features={}) == "not eligible: num_purchases is unknown, num_purchases >= 1"
    assert why(ledger, "v", features=told).startswith("not eligible: attributes.country is unknown")


def test_a_condition_that_is_none_is_refused_with_an_example():
    with pytest.raises(ValueError, match=r"'many orders'.*'num_purchases >= 1'"):
        replace(PLAIN, conditions=("many orders",))
    with pytest.raises(ValueError, match=r"'9pm-8am'.*21:00-08:00"):
        replace(PLAIN, quiet_hours="9pm-8am")


@pytest.mark.parametrize(
    ("zone", "local", "until"),
    [
        ("Europe/London", "2025-07-01T20:59:00+01:00", None),
        ("Europe/London", "2025-07-01T21:00:00+01:00", "2025-07-02T08:00:00+01:00"),
        ("Europe/London", "2025-07-02T07:59:59+01:00", "2025-07-02T08:00:00+01:00"),
        ("Europe/London", "2025-07-02T08:00:00+01:00", None),
        # The night in which the clock goes forward ends an hour sooner, the other an hour later.
        ("Europe/London", "2025-03-29T23:00:00+00:00", "2025-03-30T08:00:00+01:00"),
        ("Europe/London", "2025-10-25T23:00:00+01:00", "2025-10-26T08:00:00+00:00"),
        ("Asia/Tokyo", "2025-07-01T22:00:00+09:00", "2025-07-02T08:00:00+09:00"),
    ],
)
def test_quiet_hours_are_those_of_the_shoppers_own_clock(zone, local, until):
    wanted = None if until is None else microseconds(until)
    assert quiet_until(microseconds(local), zone, "21:00-08:00") == wanted


def test_quiet_hours_within_a_day_and_around_midnight():
    noon = microseconds("2025-07-01T12:00:00")
    assert quiet_until(noon, "UTC", "11:00-13:00") == microseconds("2025-07-01T13:00:00")
    assert quiet_until(noon, "UTC", "13:00-14:00") is None
    assert quiet_until(noon, "UTC", "12:00-12:00") is None


def test_nobody_is_acted_on_at_night_where_the_shopper_lives(warehouse):
    shops = Ledger(warehouse, zone="America/New_York")
    shops.upsert_campaign(replace(PLAIN, quiet_hours="21:00-08:00"))
    keep_users(warehouse, tokyo={"zone": "Asia/Tokyo"}, nowhere={"zone": "Atlantis/Center"})
    at = microseconds("2025-07-01T13:00:00")  # 22:00 in Tokyo, 9:00 in New York
    assert why(shops, "tokyo", at) == (
        "quiet hours: 21:00-08:00 in Asia/Tokyo, until 2025-07-01T23:00:00Z"
    )
    assert why(shops, "unknown", at) == ""
    assert why(shops, "nowhere", at) == ""
    assert "in America/New_York" in why(shops, "unknown", at + 14 * HOUR)


def test_a_channel_carries_so_many_of_all_campaigns_together(ledger, rules):
    ledger.upsert_campaign(replace(PLAIN, campaign_id="other"))
    rules.cap(ChannelCap(channel="email", num=2, days=3))
    assert [why(ledger), why(ledger, campaign="other")] == ["", ""]
    assert why(ledger) == "channel cap: 2 of 2 by email within 3 days"
    assert why(ledger, action="reminder") == ""
    assert why(ledger, at=NOW + 3 * DAY) == ""
    rules.uncap("email")
    assert rules.caps() == []
    assert why(ledger, at=NOW + 3 * DAY) == ""


def test_the_total_budget_holds_over_all_days(ledger):
    ledger.upsert_campaign(replace(PLAIN, total_budget_micros=7_000_000))
    assert [why(ledger, f"u{day}", NOW + day * DAY) for day in range(3)] == [
        "",
        "",
        "total budget: 6.00 of 7.00 spent, it costs 3.00",
    ]


def test_campaigns_of_one_group_leave_each_others_shoppers_alone(ledger):
    ledger.upsert_campaign(replace(PLAIN, exclusion_group="g", exclusion_days=7))
    ledger.upsert_campaign(
        replace(PLAIN, campaign_id="short", exclusion_group="g", exclusion_days=1)
    )
    ledger.upsert_campaign(replace(PLAIN, campaign_id="free"))
    assert why(ledger) == ""
    refused = "exclusion: campaign win of the group g acted on this shopper"
    assert why(ledger, campaign="short") == refused
    assert why(ledger, campaign="short", at=NOW + 6 * DAY) == refused, "the longer window counts"
    assert why(ledger, campaign="free") == ""
    assert why(ledger, campaign="short", at=NOW + 7 * DAY) == ""
    assert "campaign short" in why(ledger, at=NOW + 8 * DAY)
    assert why(ledger, "v", campaign="short") == ""


def test_a_suppressed_shopper_is_left_alone_until_that_is_taken_back(ledger, rules):
    rules.suppress("u", "asked by letter", NOW)
    assert why(ledger) == "suppressed: asked by letter"
    assert [row["user_id"] for row in rules.suppressed()] == ["u"]
    assert rules.unsuppress("u")
    assert not rules.unsuppress("u")
    assert why(ledger) == ""
    with pytest.raises(ValueError, match="for no reason"):
        rules.suppress("u", " ", NOW)


def test_what_is_held_is_released_when_its_time_is_over(ledger):
    ledger.upsert_campaign(replace(PLAIN, hold_hours=2, daily_budget_micros=3_000_000))
    made, refused = decide(ledger, "u")
    assert refused == ""
    assert "daily budget" in why(ledger, "v", NOW + HOUR)
    assert why(ledger, "v", NOW + 2 * HOUR) == "", "the money is back, on the same day"
    assert not ledger.confirm(made.decision_id, NOW + 2 * HOUR)
    assert ledger.spent_micros("win", NOW) == 3_000_000


def test_what_is_released_comes_back_to_the_day_it_was_reserved_on(ledger):
    ledger.upsert_campaign(replace(PLAIN, hold_hours=30, daily_budget_micros=3_000_000))
    assert why(ledger, "u", NOW) == ""
    later = NOW + DAY + 8 * HOUR
    assert why(ledger, "v", later) == ""
    assert ledger.spent_micros("win", NOW) == 0
    assert ledger.spent_micros("win", later) == 3_000_000
    assert "daily budget" in why(ledger, "w", later)


def test_what_is_confirmed_counts_for_good_and_what_is_cancelled_no_more(ledger, rules):
    ledger.upsert_campaign(replace(PLAIN, hold_hours=1))
    kept, _ = decide(ledger, "u")
    dropped, _ = decide(ledger, "v")
    assert ledger.confirm(kept.decision_id, NOW + 1)
    assert ledger.cancel(dropped.decision_id)
    assert not ledger.cancel(kept.decision_id)
    assert not ledger.confirm(dropped.decision_id, NOW + 1)
    why(ledger, "w", NOW + 3 * HOUR)
    assert ledger.spent_micros("win", NOW) == 6_000_000
    found = rules.use("win", NOW)
    assert found == {
        "confirmed": (1, 3_000_000),
        "cancelled": (1, 3_000_000),
        "held": (1, 3_000_000),
        "today": (2, 6_000_000),
    }


def test_an_event_that_cites_the_decision_in_time_keeps_what_it_holds(ledger, warehouse):
    ledger.upsert_campaign(replace(PLAIN, hold_hours=1))
    used, _ = decide(ledger, "u")
    late, _ = decide(ledger, "v")
    citing(warehouse, ledger, used, NOW + 5)
    citing(warehouse, ledger, late, NOW + HOUR)
    why(ledger, "w", NOW + 3 * HOUR)
    assert ledger.spent_micros("win", NOW) == 6_000_000


def test_a_treatment_is_no_outcome_of_the_decision_that_made_it(ledger, warehouse):
    made, _ = decide(ledger, "u")
    citing(warehouse, ledger, made, NOW + 5, kind="treatment", text="coupon")
    assert ledger.outcomes(made.decision_id) == []
    assert ledger.attach_missing() == 0


def test_a_choice_against_a_limit_is_not_kept(ledger, rules):
    rules.suppress("u", "a reason", NOW)
    with pytest.raises(AssertionError, match="suppressed"):
        decide(ledger, "u", obey=False)
    assert ledger.decisions() == []
