"""Now, later today or not today: chances that obey the limits, and what a log teaches of hours."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.datasets.decision_log import DecisionLog
from training.learn import Plan, fit
from training.policies import Context, Threshold, Timed

UNIT = st.floats(0, 1)
COUPONS = Threshold(reminder_threshold=0.5, coupon_threshold=0.5, epsilon=0.0)


def told(risk: float, now: float, later: float, best: float, n: int = 1) -> dict[str, np.ndarray]:
    values = {"leave_90d": risk, "reach_now": now, "reach_later": later, "reach_next": best}
    return {name: np.full(n, value) for name, value in values.items()}


def chances(policy: Timed, *reach: float, risk: float = 0.9, **context) -> dict[str, float]:
    row = policy.probabilities(told(risk, *reach), Context(**context))[0]
    return dict(zip(policy.actions, row.tolist(), strict=True))


@given(
    UNIT,
    st.tuples(UNIT, UNIT, UNIT),
    st.tuples(*[st.booleans()] * 4),
    UNIT,
    UNIT,
    st.tuples(st.floats(-3, 3), st.floats(-3, 3)),
)
def test_chances_sum_to_one_and_what_is_blocked_stays_blocked(
    risk, reach, open_, epsilon, base_epsilon, value
):
    base = Threshold(epsilon=base_epsilon)
    policy = Timed(base=base, epsilon=epsilon, value=value)
    allowed = np.array([[True, *open_]])
    found = policy.probabilities(told(risk, *reach), Context(allowed=allowed))
    assert found.shape == (1, 5)
    assert found.sum() == pytest.approx(1.0)
    assert (found >= -1e-12).all()
    assert (found[~allowed] == 0).all()


def test_without_a_choice_in_time_an_action_has_the_chance_that_its_base_gives_it():
    policy = Timed(base=Threshold(), epsilon=0.0, discount=0.0)
    scores = told(0.9, 0.5, 0.1, 0.5)
    found = policy.probabilities(scores, Context())[0]
    assert np.allclose(found[:3], Threshold().probabilities(scores, Context())[0])


def test_the_hour_decides_between_now_later_and_another_day():
    policy = Timed(base=COUPONS, epsilon=0.0)
    assert chances(policy, 0.6, 0.2, 0.6)["coupon"] == 1
    assert chances(policy, 0.2, 0.6, 0.6)["coupon@later"] == 1
    assert chances(policy, 0.1, 0.1, 0.6)["nothing"] == 1
    assert chances(policy, 0.5, 0.1, 0.55)["coupon"] == 1  # what waiting leaves is less
    assert chances(policy, 0.2, 0.6, 0.6, risk=0.1)["nothing"] == 1


def test_in_quiet_hours_what_would_be_done_now_is_done_later():
    allowed = np.array([[True, False, False, True, True]])
    policy = Timed(base=COUPONS, epsilon=0.0)
    assert chances(policy, 0.6, 0.3, 0.3, allowed=allowed)["coupon@later"] == 1


def test_how_much_an_hour_matters_is_learnt_from_who_was_met_when():
    rng = np.random.default_rng(5)
    n = 40_000
    reach = {name: rng.random(n) for name in ("reach_now", "reach_later")}
    scores = told(0.9, 0, 0, 1, n) | reach
    policy = Timed(base=Threshold(epsilon=0.6), epsilon=0.6)
    p = policy.probabilities(scores, Context())
    action = (rng.random((n, 1)) > p.cumsum(axis=1)).sum(axis=1).clip(max=4)
    met = np.where(action > 2, reach["reach_later"], reach["reach_now"])
    rewards = 1.0 + np.where(action > 0, -0.2 + 2.0 * met, 0.0) + rng.normal(size=n)
    learnt = policy.fit(scores, action, rewards, p[np.arange(n), action])
    assert learnt.value == pytest.approx((-0.2, 2.0), abs=0.15)
    flat = policy.fit(scores, action, 1.0 + rng.normal(size=n), p[np.arange(n), action])
    assert abs(flat.value[1]) < 0.15


def test_a_log_with_later_actions_is_learnt_by_name():
    rng, n = np.random.default_rng(2), 3000
    actions = ("nothing", "coupon", "coupon@later")
    told = {name: rng.random(n) for name in ("x", "reach_now", "reach_later", "reach_next")}
    action = rng.integers(0, 3, n)
    met = np.choose(action, [np.zeros(n), told["reach_now"], told["reach_later"]])
    spent = 5.0 + 3.0 * met + 0.1 * rng.normal(size=n)
    log = DecisionLog(
        actions=actions,
        told=told,
        chances=np.full((n, 3), 1 / 3),
        action=action,
        purchased=np.ones(n),
        spent=spent,
        spent_until_next=spent,
        cost=np.zeros(n),
        users=rng.integers(0, 500, n).astype(str),
        decided_at=np.arange(n),
        policies=np.full(n, "timed:1"),
    )
    learnt = fit(Plan(name="timed", inputs=("x",)), log, {}).policy
    assert learnt.actions == actions
    assert learnt.base.actions == ("nothing", "coupon")
    assert learnt.value == pytest.approx((0.0, 3.0), abs=0.1)
    assert set(learnt.needs) == set(told)
