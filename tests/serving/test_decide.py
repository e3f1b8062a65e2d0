"""Limits, probabilities and the draw: pure, replayable, and never above budget."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.ledger import Campaign, LimitState
from feature_repo.settings import DAY
from serving import explain
from serving.decide import decide, generator, leave_alone
from training.policies import Budgeted, Effects, Threshold

POLICY = Threshold(coupon_threshold=0.6, reminder_threshold=0.4, epsilon=0.1)
CAMPAIGN = Campaign(
    campaign_id="c",
    daily_budget_micros=10_000_000,
    cap_num=2,
    cap_days=7.0,
    cost_micros={"coupon": 4_000_000},
)


def limits(spent: int = 0, actions: int = 0, last: int | None = None) -> LimitState:
    return LimitState(
        spent_micros=spent,
        daily_budget_micros=CAMPAIGN.daily_budget_micros,
        actions_by_user=actions,
        last_action_at=last,
    )


def choose(risk: float, state: LimitState, seed: str = "d"):
    return decide({"leave_90d": risk}, state, POLICY, CAMPAIGN, generator(seed))


@given(
    risk=st.floats(0, 1),
    spent=st.integers(0, 20_000_000),
    actions=st.integers(0, 4),
    seed=st.text(max_size=12),
)
@settings(deadline=None)
def test_probabilities_sum_to_one_and_nothing_blocked_is_ever_drawn(risk, spent, actions, seed):
    choice = choose(risk, limits(spent, actions), seed)
    assert sum(choice.probabilities.values()) == pytest.approx(1.0)
    assert choice.probabilities[choice.action] > 0
    assert choice.action not in choice.blocked
    assert all(choice.probabilities[action] == 0 for action in choice.blocked)
    assert spent + choice.cost_micros <= max(CAMPAIGN.daily_budget_micros, spent)
    assert choice.action == "nothing" or actions < CAMPAIGN.cap_num


def test_a_decision_can_be_drawn_again_from_its_id():
    first, again = (choose(0.5, limits(), "decision-17") for _ in range(2))
    assert first == again


def test_actions_are_drawn_as_often_as_their_probabilities_say():
    num = 4000
    drawn = Counter(choose(0.7, limits(), f"d{n}").action for n in range(num))
    expected = choose(0.7, limits()).probabilities
    assert expected["coupon"] == pytest.approx(0.9 + 0.1 / 3)
    for action, probability in expected.items():
        spread = (probability * (1 - probability) / num) ** 0.5
        assert drawn[action] / num == pytest.approx(probability, abs=4 * spread)


def test_a_coupon_that_the_budget_cannot_pay_gives_its_place_to_nothing():
    choice = choose(0.9, limits(spent=7_000_000))
    assert choice.probabilities["coupon"] == 0
    assert choice.probabilities["nothing"] == pytest.approx(0.9 + 0.05)
    assert choice.blocked == {"coupon": "daily budget: 7.00 of 10.00 spent, it costs 4.00"}
    assert "reminder" not in choice.blocked


def test_the_last_coupon_may_spend_the_budget_to_the_end():
    assert "coupon" not in choose(0.9, limits(spent=6_000_000)).blocked


def test_the_cap_blocks_every_action_and_says_when_the_last_one_was():
    choice = choose(0.9, limits(actions=2, last=20_000 * DAY))
    assert (choice.action, choice.probabilities["nothing"]) == ("nothing", 1.0)
    assert choice.blocked["reminder"] == (
        "frequency cap: 2 of 2 actions within 7 days, the last on 2024-10-04"
    )


def test_leaving_alone_is_a_decision_with_probability_one():
    choice = leave_alone(POLICY, "unknown")
    assert choice.probabilities == {"nothing": 1.0, "reminder": 0.0, "coupon": 0.0}


def test_many_at_once_never_pass_the_daily_budget(client, desk):
    day_of = desk.clock.moment // DAY * DAY
    shoppers = [f"s{n}" for n in range(40)]
    late = [
        {
            "event_id": f"p-{name}",
            "kind": "purchase",
            "user_id": name,
            "item_id": "cup",
            "order_id": f"o-{name}",
            "quantity": 1,
            "price": 2.5,
            "event_at": "2024-06-01T00:00:00Z",
        }
        for name in shoppers
    ]
    assert client.post("/events", json=late).json()["accepted"] == 40

    def ask(name: str):
        return client.post("/decide", json={"user_id": name}).json()

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(ask, shoppers))
    coupons = [a for a in answers if a["action"] == "coupon"]
    assert len(coupons) == 10, "50.00 a day pay for ten coupons of 5.00"
    assert sum(a["cost"] for a in coupons) == 50.0
    assert desk.ledger.spent_micros("default", day_of) == 50_000_000
    refused = [a for a in answers if "no coupon: daily budget" in a["reason"]]
    assert len(refused) >= 20
    assert all(desk.ledger.get(a["decision_id"]).probabilities["coupon"] == 0 for a in refused)


def test_one_shopper_asked_about_at_once_gets_no_more_than_the_cap_allows(client):
    def ask(_: int):
        return client.post("/decide", json={"user_id": "ada"}).json()["action"]

    with ThreadPoolExecutor(8) as pool:
        actions = list(pool.map(ask, range(24)))
    assert sum(action != "nothing" for action in actions) == 1


def test_a_new_day_brings_a_new_budget(client, desk):
    desk.ledger.upsert_campaign(
        Campaign(
            campaign_id="poor",
            daily_budget_micros=5_000_000,
            cap_num=9,
            cap_days=7.0,
            cost_micros={"coupon": 5_000_000},
        )
    )

    def until_paid() -> int:
        for tries in range(200):
            body = {"user_id": "ada", "campaign_id": "poor"}
            answer = client.post("/decide", json=body).json()
            if answer["action"] == "coupon":
                return tries
            if "no coupon: daily budget" in answer["reason"]:
                return -1
        raise AssertionError("neither paid nor refused")

    assert until_paid() >= 0
    assert until_paid() == -1
    desk.clock.moment += DAY
    assert until_paid() >= 0


def test_the_reason_names_risk_rhythm_policy_and_money():
    known = {"recency_days_purchase": 71.0, "mean_gap_days": 30.0, "num_orders": 4.0}
    risk = explain.prediction("leave_90d", 0.82, known)
    words = explain.treatment(
        "coupon",
        0.93,
        (risk, "uplift_budget"),
        {},
        LimitState(
            spent_micros=12_000_000,
            daily_budget_micros=50_000_000,
            actions_by_user=0,
            last_action_at=None,
        ),
    )
    assert words == (
        "82 % risk of leaving within 90 days: 71 days since the last purchase, 41 days late for a "
        "rhythm of 30 days; decided by what each action changes, at the price of the budget; "
        "coupon allowed (spent 12.00 of 50.00 today); drawn with probability 0.93"
    )


@pytest.mark.parametrize(
    ("features", "words"),
    [
        ({}, "no purchase of this shopper is known"),
        (
            {"recency_days_purchase": 0.6, "num_orders": 1.0},
            "1 day since the last order of 1 known, no rhythm yet",
        ),
        (
            {"recency_days_purchase": 10.2, "mean_gap_days": 30.0},
            "10 days since the last purchase, in time for a rhythm of 30 days",
        ),
    ],
)
def test_a_rhythm_is_told_as_far_as_it_is_known(features, words):
    assert explain.rhythm(features) == words


def test_the_generator_differs_from_decision_to_decision():
    draws = {float(generator(f"d{n}").random()) for n in range(100)}
    assert len(draws) == 100
    assert isinstance(generator("x"), np.random.Generator)


def test_a_policy_is_told_features_the_rest_of_the_budget_and_the_moment():
    """Effects of a feature decide, and the less is left of the day, the dearer a coupon."""
    rng = np.random.default_rng(0)
    values = rng.normal(size=(400, 1))
    pseudo = np.column_stack([np.full(400, 0.2), np.full(400, 0.2), 0.2 + 0.3 * values[:, 0]])
    policy = Budgeted(
        effects=Effects.fit(("num_orders",), values, pseudo, ridge=0.001, width=0),
        draws={"c": {"coupon": 4.0}},
        epsilon=0.0,
    ).fit({"num_orders": values[:, 0]}, np.full(400, DAY // 2))

    def probability(features, spent):
        state = LimitState(
            spent_micros=spent, daily_budget_micros=4_000_000_000, actions_by_user=0,
            last_action_at=None, now=DAY // 2,
        )  # fmt: skip
        campaign = replace(CAMPAIGN, daily_budget_micros=4_000_000_000)
        told = {"num_orders": features, "history_item_id": ["a"]}
        return decide({}, state, policy, campaign, generator("d"), told).probabilities["coupon"]

    assert probability(2.0, 0) == 1.0
    assert probability(-1.0, 0) == 0.0
    assert probability(None, 0) == 0.0  # unknown counts as the mean, which a coupon does not move
    assert probability(0.5, 0) == 1.0
    assert probability(0.5, 3_990_000_000) == 0.0
