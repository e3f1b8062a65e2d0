"""Assignment is stable and balanced, layers are independent, and /decide obeys what runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from feature_repo.events import EVENT_SCHEMA
from feature_repo.experiments import Arm, Experiment, Kept
from feature_repo.exposures import Experiments
from feature_repo.ingest import ingest
from feature_repo.settings import DAY
from serving.experiments.assignment import arm_of, arms_of, is_held_out, place
from serving.experiments.running import Assignment, changed
from serving.experiments.shop import look
from training.metrics.experiment import sample_ratio

from .conftest import NOW, purchase

HALVES = (Arm(name="control", share=0.5, policy="nothing"), Arm(name="treated", share=0.5))


def experiment(name: str = "first", **changes) -> Experiment:
    return Experiment(**{"name": name, "arms": HALVES} | changes)


def kept(name: str = "first", position: float = 0.0, **changes) -> Kept:
    return Kept(experiment=experiment(name, **changes), position=position, started_at=NOW)


def shoppers(num: int) -> list[str]:
    return [f"shopper-{number:05d}" for number in range(num)]


@settings(max_examples=25, deadline=None)
@given(
    name=st.text(min_size=1, max_size=20),
    shares=st.lists(st.integers(1, 9), min_size=2, max_size=5),
    prefix=st.text(max_size=8),
)
def test_assignment_is_stable_and_as_balanced_as_chance_allows(name, shares, prefix):
    arms = tuple(Arm(name=f"arm {i}", share=share / sum(shares)) for i, share in enumerate(shares))
    one = kept(name, arms=arms)
    users = [f"{prefix}{number}" for number in range(3_000)]
    found = [arm_of(one, user, NOW).name for user in users]
    assert found == [arm_of(one, user, NOW + 9 * DAY).name for user in users]
    counts = Counter(found)
    # The property is looked at many times: the level is far below any one of them.
    expected = [arm.share for arm in arms]
    assert sample_ratio.chi_square_p_value([counts[arm.name] for arm in arms], expected) > 1e-7


def test_an_assignment_is_the_same_on_every_machine_for_ever():
    assert place("arm first", "shopper-00001") == pytest.approx(0.4925350790072367, abs=1e-12)


def test_layers_deal_independently_of_each_other_and_of_the_holdout():
    one, other = kept("one"), kept("other", layer="messages")
    users = shoppers(20_000)
    table = np.zeros((2, 2, 2))
    for user in users:
        dealt = arms_of([one, other], user, NOW)
        held = int(is_held_out(user, 0.3))
        table[int(dealt["one"].name == "treated"), int(dealt["other"].name == "treated"), held] += 1
    for axis in range(3):
        assert stats.chi2_contingency(table.sum(axis=axis)).pvalue > 1e-4


def test_experiments_of_one_layer_exclude_each_other_and_the_next_deals_anew():
    one, two = kept("one", 0.0, traffic=0.5), kept("two", 0.5, traffic=0.5)
    users = shoppers(4_000)
    dealt = [arms_of([one, two], user, NOW) for user in users]
    assert all(len(arms) == 1 for arms in dealt)
    later = kept("three", 0.0, traffic=0.5)
    before = [user for user, arms in zip(users, dealt, strict=True) if "one" in arms]
    pairs = Counter((arm_of(one, user, NOW).name, arm_of(later, user, NOW).name) for user in before)
    assert stats.chi2_contingency(np.array(list(pairs.values())).reshape(2, 2)).pvalue > 1e-4


def test_ramping_up_takes_in_more_shoppers_and_moves_nobody_between_arms():
    one = kept(traffic=0.8, steps=((0.0, 0.1), (2.0, 0.5), (5.0, 1.0)))
    users, before = shoppers(5_000), {}
    for days, share in ((0, 0.08), (2, 0.4), (5, 0.8), (30, 0.8)):
        now = NOW + days * DAY
        dealt = {user: arm.name for user in users if (arm := arm_of(one, user, now))}
        assert before.items() <= dealt.items()
        assert len(dealt) / len(users) == pytest.approx(share, abs=0.02)
        before = dealt
    assert arm_of(one, users[0], NOW - 1) is None


def test_a_layer_has_room_for_its_whole_only(desk):
    store = Experiments(desk.warehouse)
    store.start(experiment("a", traffic=0.4), NOW)
    assert store.start(experiment("b", traffic=0.6), NOW).position == pytest.approx(0.4)
    with pytest.raises(ValueError, match="has 0% of its shoppers left"):
        store.start(experiment("c", traffic=0.1), NOW)
    with pytest.raises(ValueError, match="in layer 'decide' sets policy too"):
        store.start(experiment("c", layer="other"), NOW)
    quiet = (Arm(name="a", share=0.5), Arm(name="b", share=0.5, settings={"epsilon": 0.2}))
    store.start(experiment("d", layer="other", arms=quiet), NOW)
    store.stop("a", "enough", NOW)
    assert store.start(experiment("e", traffic=0.4), NOW).position == 0.0
    with pytest.raises(ValueError, match="'a' was there before"):
        store.start(experiment("a", traffic=0.1), NOW)
    with pytest.raises(ValueError, match="was stopped before"):
        store.stop("a", "again", NOW)
    assert store.get("a").experiment == experiment("a", traffic=0.4)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"arms": HALVES[:1]}, "at least two different"),
        ({"arms": (HALVES[0], replace(HALVES[1], share=0.6))}, "1 together"),
        ({"steps": ((0.0, 0.5), (1.0, 0.2))}, "ramp-up steps"),
        ({"traffic": 1.5}, "traffic is 1.5"),
        ({"metrics": ()}, "measures nothing"),
    ],
)
def test_an_experiment_that_cannot_be_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        experiment(**changes)


def ask(client, user_id: str = "ada") -> dict:
    answer = client.post("/decide", json={"user_id": user_id})
    assert answer.status_code == 200, answer.text
    return answer.json()


def only(arm: str) -> tuple[Arm, ...]:
    """Arms of which nearly every shopper is in `arm`."""
    shares = {"control": 1e-9, "treated": 1e-9} | {arm: 1 - 1e-9}
    policies = {"control": {"policy": "nothing"}, "treated": {"settings": {"epsilon": 0.0}}}
    return tuple(Arm(name=n, share=s, **policies[n]) for n, s in shares.items())


def test_the_arm_chooses_the_policy_and_the_ledger_holds_arm_and_its_probabilities(desk, client):
    Experiments(desk.warehouse).start(experiment("gentle", arms=only("treated")), NOW)
    answer = ask(client)
    assert answer["arms"] == {"gentle": "treated"}
    # Without chance the preferred action is certain: these are the probabilities of the arm.
    assert {a["action"]: a["probability"] for a in answer["alternatives"]}["coupon"] == 1.0
    record = client.get(f"/decisions/{answer['decision_id']}").json()
    assert record["arms"] == {"gentle": "treated"}
    assert record["policy"] == "threshold:p0 epsilon=0"
    assert record["probabilities"] == {"nothing": 0.0, "reminder": 0.0, "coupon": 1.0}


def test_an_arm_that_does_nothing_says_so_and_is_obeyed_until_the_stop(desk, client):
    store = Experiments(desk.warehouse)
    store.start(experiment("quiet", arms=only("control")), NOW)
    answer = ask(client)
    assert (answer["action"], answer["probability"]) == ("nothing", 1.0)
    assert "arm 'control' of experiment 'quiet' does nothing" in answer["reason"]
    store.stop("quiet", "seen enough", NOW)
    assert ask(client)["arms"] == {}


def test_the_first_exposure_is_kept_once_and_only_of_those_the_policy_is_asked_about(desk, client):
    store = Experiments(desk.warehouse)
    store.start(experiment("quiet", arms=only("control")), NOW)
    ask(client, "ada")
    desk.clock.moment += DAY
    ask(client, "ada")
    ask(client, "bob")
    assert ask(client, "a stranger")["arms"] == {}
    exposed = store.exposures("quiet")
    assert exposed.rows() == [("ada", "control", NOW), ("bob", "control", NOW + DAY)]


def test_a_held_out_shopper_gets_nothing_in_any_experiment_and_is_told_apart(desk):
    from fastapi.testclient import TestClient

    from serving.service import create_app

    Experiments(desk.warehouse).start(experiment("gentle", arms=only("treated")), NOW)
    assign = Assignment(
        desk.parts.policy,
        "threshold:p0",
        read=Experiments(desk.warehouse).running,
        load=lambda tag: desk.parts.policy,
        holdout_share=0.3,
    )
    parts = desk.with_parts(assign=assign)
    with TestClient(create_app(lambda: parts)) as client:
        held, served = ask(client, "bob"), ask(client, "ada")
    assert held["action"] == "nothing"
    assert "in the holdout" in held["reason"]
    assert held["arms"] == {"holdout": "held_out"}
    assert served["arms"] == {"holdout": "served", "gentle": "treated"}
    assert Experiments(desk.warehouse).exposures("holdout").height == 2


def test_settings_of_two_layers_come_together_and_unknown_ones_are_refused(desk):
    policy = desk.parts.policy
    both = [
        kept("a", arms=(Arm(name="x", share=0.5), Arm(name="y", share=0.5))),
        kept("b", layer="l", arms=only("treated")),
    ]
    assign = Assignment(policy, "threshold:p0", read=lambda: both, load=lambda tag: policy)
    found = assign("ada", NOW)
    assert found.policy == replace(policy, epsilon=0.0)
    assert set(found.arms) == {"a", "b"}
    with pytest.raises(ValueError, match="has no setting warmth"):
        changed(policy, {"warmth": 1.0})


def test_running_experiments_are_read_again_only_after_a_while(desk):
    reads, clock = [], [0.0]
    assign = Assignment(
        desk.parts.policy,
        "threshold:p0",
        read=lambda: reads.append(1) or [],
        load=lambda tag: desk.parts.policy,
        refresh_s=1.0,
        passing=lambda: clock[0],
    )
    for moment in (0.0, 0.5, 0.9, 1.1):
        clock[0] = moment
        assign("ada", NOW)
    assert len(reads) == 2


def test_a_known_effect_and_a_crossed_guardrail_are_found_in_the_warehouse(desk):
    rng, store = np.random.default_rng(3), Experiments(desk.warehouse)
    store.start(
        experiment(
            "gift",
            arms=HALVES,
            metrics=("purchase", "spend", "order_value", "profit"),
            guardrails=("purchase<0.05", "visit>-0.5"),
            planned_num=1_000,
        ),
        NOW - 20 * DAY,
    )
    running, rows, decisions = store.running(), [], []
    for number, user in enumerate(shoppers(1_200)):
        at = NOW - 20 * DAY + number * DAY // 200
        arm = arms_of(running, user, at)["gift"].name
        decisions.append((user, arm, at))
        if rng.random() < 0.5:
            rows.append(purchase(f"old {user}", user, "cup", at - 9 * DAY))
        if rng.random() < {"control": 0.2, "treated": 0.45}[arm]:
            rows.append(purchase(f"new {user}", user, "cup", at + DAY))
        rows.append(purchase(f"late {user}", user, "cup", at + 8 * DAY))
    rows = [row for row in rows if row["event_at"] <= NOW]
    ingest(desk.warehouse, pl.DataFrame(rows, schema=EVENT_SCHEMA), source="t", now=NOW)
    expose_all(desk, decisions)
    seen = look("gift", desk.warehouse, NOW, segments=())
    finding = seen.analysis.findings[0]
    assert finding.is_told
    assert finding.interval[0] < 0.25 < finding.interval[1]
    assert finding.plain[0].mean == pytest.approx(0.2, abs=0.05), "purchases after the window count"
    assert not seen.analysis.is_mismatched
    assert [str(g.guardrail) for g in seen.analysis.crossed] == ["purchase<0.05"]
    segments = {found.segment for found, _ in seen.analysis.segments}
    assert segments == {"bought before no", "bought before yes"}
    early = look("gift", desk.warehouse, NOW - 13 * DAY + 1)
    assert len(early.table) < len(seen.table)


def expose_all(desk, dealt: list[tuple[str, str, int]]) -> None:
    from feature_repo.exposures import expose
    from feature_repo.ledger import Decision

    made = [
        Decision(
            decision_id=user,
            kind="decide",
            user_id=user,
            decided_at=at,
            model_version="m",
            feature_version="f",
            arms={"gift": arm},
        )
        for user, arm, at in dealt
    ]
    with desk.warehouse.begin() as connection:
        expose(connection, made)
