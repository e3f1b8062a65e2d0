"""Experiments and exposures are kept once, on either database, together with the decision."""

from __future__ import annotations

from dataclasses import replace

import pytest

from feature_repo.experiments import Arm, Experiment
from feature_repo.exposures import Experiments
from feature_repo.ledger import Decision, Ledger

ARMS = (Arm(name="a", share=0.5, policy="nothing"), Arm(name="b", share=0.5, settings={"x": 1.5}))


def decision(number: int, user_id: str = "ada", **arms: str) -> Decision:
    return Decision(
        decision_id=f"d{number}",
        kind="decide",
        user_id=user_id,
        decided_at=number,
        model_version="m",
        feature_version="f",
        arms=arms,
    )


def test_an_experiment_comes_back_as_it_was_started(warehouse):
    store = Experiments(warehouse)
    made = Experiment(
        name="e",
        arms=ARMS,
        traffic=0.5,
        steps=((0.0, 0.1), (3.0, 1.0)),
        metrics=("spend", "profit"),
        guardrails=("returned<1",),
    )
    started = store.start(made, now=5)
    assert store.running() == [started]
    assert started.experiment == made
    stopped = store.stop("e", "enough", now=9)
    assert stopped == replace(started, stopped_at=9, stop_reason="enough")
    assert store.running() == []
    with pytest.raises(ValueError, match=r"there is no experiment 'f'; there are \['e'\]"):
        store.get("f")


def test_the_first_exposure_stays_whichever_way_decisions_come(warehouse):
    ledger = Ledger(warehouse)
    ledger.write(decision(1, e="a"))
    ledger.write(decision(2, e="a", other="b"))
    ledger.absorb([decision(2, e="a"), decision(3, "bob", e="b"), decision(4, "bob", e="b")])
    assert Experiments(warehouse).exposures("e").rows() == [("ada", "a", 1), ("bob", "b", 3)]
    assert Experiments(warehouse).exposures("other").rows() == [("ada", "b", 2)]
    assert ledger.get("d2").arms == {"e": "a", "other": "b"}
    assert ledger.get("d4") == decision(4, "bob", e="b")
