"""Policies give probabilities, and those obey the limits."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from training.policies import POLICIES, Context, Threshold

UNIT = st.floats(0, 1)


@st.composite
def cases(draw):
    low, high = sorted((draw(UNIT), draw(UNIT)))
    policy = Threshold(reminder_threshold=low, coupon_threshold=high, epsilon=draw(UNIT))
    scores = np.array(draw(st.lists(UNIT, min_size=1, max_size=8)))
    allowed = np.array(
        [[True, *draw(st.tuples(st.booleans(), st.booleans()))] for _ in scores], dtype=np.bool_
    )
    return policy, scores, allowed


@given(cases())
def test_probabilities_sum_to_one_and_never_touch_what_is_not_allowed(case):
    policy, scores, allowed = case
    found = policy.probabilities({"leave_90d": scores}, Context(allowed=allowed))
    assert found.shape == (len(scores), 3)
    assert np.allclose(found.sum(axis=1), 1.0, atol=1e-12)
    assert (found >= 0).all()
    assert (found[~allowed] == 0).all()


@given(cases())
def test_every_allowed_action_keeps_its_share_of_chance(case):
    policy, scores, allowed = case
    found = policy.probabilities({"leave_90d": scores}, Context(allowed=allowed))
    least = policy.epsilon / allowed.sum(axis=1, keepdims=True)
    assert (found >= least - 1e-12)[allowed].all()


def test_the_risk_decides_what_is_preferred():
    policy = Threshold(reminder_threshold=0.4, coupon_threshold=0.6, epsilon=0.0)
    scores = {"leave_90d": np.array([0.0, 0.39, 0.4, 0.59, 0.6, 1.0])}
    found = policy.probabilities(scores, Context()).argmax(axis=1)
    assert [policy.actions[a] for a in found] == [
        "nothing",
        "nothing",
        "reminder",
        "reminder",
        "coupon",
        "coupon",
    ]


def test_a_coupon_beyond_the_budget_becomes_nothing():
    policy = Threshold(epsilon=0.2)
    allowed = np.array([[True, True, False]])
    found = policy.probabilities({"leave_90d": np.array([0.9])}, Context(allowed=allowed))
    assert np.allclose(found, [[0.9, 0.1, 0.0]])


@pytest.mark.parametrize("name", POLICIES)
def test_settings_survive_a_bundle(name):
    policy = POLICIES[name]()
    assert POLICIES[name].from_dict(json.loads(json.dumps(policy.to_dict()))) == policy
    assert policy.actions[0] == "nothing"


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"epsilon": 1.2}, "epsilon is 1.2"),
        ({"coupon_threshold": -0.1}, "coupon_threshold is -0.1"),
        ({"coupon_threshold": 0.3, "reminder_threshold": 0.5}, "is above"),
    ],
)
def test_settings_that_make_no_sense_are_refused_by_name(wrong, message):
    with pytest.raises(ValueError, match=message):
        Threshold(**wrong)


def test_a_mask_that_forbids_doing_nothing_is_refused():
    allowed = np.array([[True, True, True], [False, True, True]])
    with pytest.raises(ValueError, match="row 1"):
        Threshold().probabilities({"leave_90d": np.zeros(2)}, Context(allowed=allowed))


def test_a_missing_or_unknown_score_is_refused():
    with pytest.raises(ValueError, match="purchase_30d"):
        Threshold().probabilities({"purchase_30d": np.zeros(1)}, Context())
    with pytest.raises(ValueError, match="NaN"):
        Threshold().probabilities({"leave_90d": np.array([np.nan])}, Context())
