"""Policies learnt from a log answer over HTTP, and log the chances that they drew from."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from feature_repo.exposures import Experiments
from feature_repo.settings import DAY
from serving.experiments.running import Assignment
from serving.predictor import Predictor
from serving.start import check_inputs, load_policy, policy_of
from tests.serving.conftest import HEADS, NOW, user_row, write_model
from training.bundle import Bundle
from training.datasets.decision_log import DecisionLog
from training.judging import judge
from training.keeping import keep
from training.learn import Plan, fit
from training.policies import Budgeted, Context

ACTIONS, INPUTS = ("nothing", "coupon"), ("recency_days_purchase", "num_orders", "leave_90d")


def shop_log(num_users=250, each=8, seed=0) -> DecisionLog:
    """Those who bought long ago buy after a coupon, the others anyway."""
    rng, num = np.random.default_rng(seed), num_users * each
    recency, action = rng.uniform(0.0, 80.0, num), rng.integers(0, 2, num)
    bought = rng.random(num) < np.where(recency > 40, 0.1 + 0.6 * action, 0.4)
    spent = 20.0 * bought
    return DecisionLog(
        actions=ACTIONS,
        told={
            "recency_days_purchase": recency,
            "num_orders": rng.integers(1, 6, num).astype(float),
            "leave_90d": rng.random(num),
        },
        chances=np.full((num, 2), 0.5),
        action=action,
        purchased=bought.astype(float),
        spent=spent,
        spent_until_next=spent,
        cost=5.0 * action,
        users=np.array([f"shopper-{number % num_users}" for number in range(num)]),
        decided_at=NOW - 60 * DAY + np.arange(num) * DAY // num_users,
        policies=np.full(num, "threshold:1"),
        num_daily=num_users,
    )


@pytest.fixture(params=["uplift_budget", "bandit", "fitted_q"])
def promoted(request, store, tmp_path) -> Bundle:
    """The bundle of a learnt policy, in the store that the service loads from."""
    from serving.promote import store as put

    log, plan = shop_log(), Plan(name=request.param, inputs=INPUTS)
    learnt = fit(plan, log, {"coupon": 5.0})
    judged = judge(log, learnt, None, {"default": 50.0})
    lineage = {"as_of": NOW, "decisions": {}}
    bundle = keep(tmp_path / "learnt", learnt, judged, lineage, now=NOW)
    put(bundle)
    return bundle


def serve(desk, bundle: Bundle) -> None:
    """Let the service decide by what was promoted, as it does from its start on."""
    policy = load_policy(f"nudge-policy:{bundle.version}")
    running = Experiments(desk.warehouse).running
    name = f"{bundle.name}:{bundle.version}"
    desk.parts = desk.with_parts(
        policy=policy,
        policy_name=bundle.name,
        policy_version=bundle.version,
        assign=Assignment(policy, name, read=running, load=load_policy, refresh_s=0),
    )


@pytest.mark.parametrize("user", ["ada", "bob"])
def test_a_learnt_policy_answers_and_the_chance_it_drew_from_is_logged(
    desk, promoted, user, request
):
    serve(desk, promoted)
    answer = request.getfixturevalue("client").post("/decide", json={"user_id": user}).json()
    kept = desk.ledger.get(answer["decision_id"])
    row = user_row(user, desk.warehouse.events(user_ids=[user]), kept.decided_at)
    told = {name: np.array([row[name][0]], dtype=float) for name in INPUTS[:2]}
    told["leave_90d"] = np.array([kept.scores["leave_90d"]])
    context = Context(budgets_left={"default": 50.0}, asked_at=kept.decided_at)
    said = policy_of(promoted).probabilities(told, context)[0]
    assert kept.probabilities == pytest.approx(dict(zip(ACTIONS, said, strict=True)))
    assert kept.policy == f"{promoted.name}:{promoted.version}"
    assert answer["probability"] == kept.probabilities[answer["action"]]
    assert answer["cost"] == (5.0 if answer["action"] == "coupon" else 0.0)


def test_a_learnt_policy_leaves_alone_whom_it_does_not_know(desk, promoted, request):
    serve(desk, promoted)
    answer = request.getfixturevalue("client").post("/decide", json={"user_id": "eve"}).json()
    assert answer["action"] == "nothing"
    assert answer["probability"] == 1.0


def test_a_model_with_heads_of_effects_feeds_the_budgeted_policy_without_a_table(
    desk, store, tmp_path, request
):
    from serving.promote import save_policy
    from serving.promote import store as put

    heads = {"purchase_7d@nothing": -2.0, "purchase_7d@coupon": 1.0}
    model = write_model(tmp_path / "model", heads={**HEADS, **heads})
    policy = Budgeted(
        actions=ACTIONS, value=20.0, costs={"coupon": 5.0}, draws={"default": {"coupon": 5.0}}
    )
    check_inputs(policy, model, "default")
    bundle = save_policy(tmp_path / "policy", policy, now=NOW)
    put(bundle)
    serve(desk, bundle)
    desk.parts = replace(desk.parts, predictor=Predictor(model, tmp_path / "texts"))
    client, moved = request.getfixturevalue("client"), {}
    for user in ("ada", "bob"):
        answer = client.post("/decide", json={"user_id": user}).json()
        kept = desk.ledger.get(answer["decision_id"])
        gains = policy.gains({name: np.array([kept.scores[name]]) for name in heads})
        moved[user] = bool(gains[0, 1] > 0)
        assert kept.probabilities["coupon"] == pytest.approx(0.975 if moved[user] else 0.025)
    assert moved == {"ada": True, "bob": False}, "ada bought long ago, bob the other day"
