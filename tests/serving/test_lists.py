"""Experiments about lists: each shopper's order is that of an arm, and decisions stay apart."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient

from feature_repo.experiments import LISTS, Arm, Experiment
from feature_repo.exposures import Experiments
from serving.lists import Lists, check_lists, ordering_of
from serving.service import create_app
from serving.slate import Ordering
from tests.serving.conftest import NOW
from training.policies.slate import Slate

LEARNT = Ordering(slate=Slate(temperature=0.5, appeals={"vase": 9.0}), name="slate:learnt")
BEST, STORED = Arm(name="best", share=0.5), Arm(name="learnt", share=0.5, policy="nudge-policy:1")
ABOUT_LISTS = Experiment(name="order", arms=(BEST, STORED), layer=LISTS)


def load(tag: str) -> Ordering:
    if tag != STORED.policy:
        raise ValueError(f"there is no {tag}")
    return LEARNT


@pytest.fixture
def listing(desk):
    """A client, with an experiment about lists under way."""
    experiments = Experiments(desk.warehouse)
    experiments.start(ABOUT_LISTS, NOW - 1)
    lists = Lists(running=experiments.running, load=load)
    with TestClient(create_app(lambda: desk.with_parts(lists=lists))) as client:
        yield client


def test_each_shopper_is_shown_the_list_of_an_arm_and_is_exposed_by_it(listing, desk):
    seen = {}
    for number in range(40):
        user = f"shopper-{number}"
        asked = {"user_id": user, "num_items": 2}
        found = [listing.post("/recommend", json=asked).json() for _ in range(2)]
        kept = desk.ledger.get(found[0]["decision_id"])
        seen[user] = kept.arms["order"]
        assert kept.policy == {"best": "greedy", "learnt": "slate:learnt"}[seen[user]]
        if seen[user] == "learnt":
            assert found[0]["items"][0]["item_id"] == found[1]["items"][0]["item_id"] == "vase"
    assert 10 < list(seen.values()).count("learnt") < 30
    exposed = Experiments(desk.warehouse).exposures("order")
    assert dict(zip(exposed["user_id"], exposed["arm"], strict=True)) == seen


def test_decisions_know_nothing_of_experiments_about_lists_nor_these_of_them(listing, desk):
    halves = (Arm(name="a", share=0.5), Arm(name="b", share=0.5, policy="nothing"))
    Experiments(desk.warehouse).start(Experiment(name="deeds", arms=halves), NOW - 1)
    decided = listing.post("/decide", json={"user_id": "ada"}).json()
    assert set(decided["arms"]) == {"deeds"}
    listed = listing.post("/recommend", json={"user_id": "ada", "num_items": 1}).json()
    assert set(desk.ledger.get(listed["decision_id"]).arms) == {"order"}


def test_while_the_warehouse_is_down_lists_are_as_served(desk):
    def broken():
        raise OSError("no warehouse")

    with TestClient(create_app(lambda: desk.with_parts(lists=Lists(running=broken)))) as client:
        found = client.post("/recommend", json={"user_id": "ada", "num_items": 2})
    assert found.status_code == 200
    assert len(found.json()["items"]) == 2


def test_an_arm_may_set_the_temperature_of_what_is_served():
    warm = Arm(name="warm", share=0.5, settings={"temperature": 0.7})
    made = ordering_of(warm, LEARNT, load)
    assert made.slate.appeals == LEARNT.slate.appeals
    assert (made.slate.temperature, made.name) == (0.7, "slate:learnt temperature=0.7")
    assert ordering_of(Arm(name="off", share=0.5, policy="nothing"), LEARNT, load) == Ordering()


@pytest.mark.parametrize(
    ("arm", "message"),
    [
        (Arm(name="b", share=0.5, policy="nudge-policy:2"), "there is no nudge-policy:2"),
        (Arm(name="b", share=0.5, settings={"epsilon": 0.1}), "sets epsilon of a list"),
        (Arm(name="b", share=0.5, settings={"temperature": -1.0}), "temperature is -1.0"),
    ],
)
def test_an_arm_that_no_list_could_obey_is_refused(arm, message):
    asked = Experiment(name="wrong", arms=(BEST, arm), layer=LISTS)
    with pytest.raises(ValueError, match=message):
        check_lists(asked, Ordering(), load)
