"""A store is down: answers are flagged and durable, nothing is lost, and all comes back.

Faults enter through the parts' seams here; ``tests/faults`` kills real servers.
"""

from __future__ import annotations

import errno
import os
import threading
import time
from dataclasses import replace

import pytest
import sqlalchemy as sa
from fastapi.testclient import TestClient

from feature_repo.ledger import Decision
from serving.service import create_app
from serving.spool import Spool
from serving.upkeep import Upkeep

ASKED = ("/recommend", "/predict", "/decide")


def until(is_true, limit_s: float = 10.0) -> None:
    """Wait for something that happens in the background."""
    deadline = time.monotonic() + limit_s
    while not is_true():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


def ask(client, path, user="ada"):
    answer = client.post(path, json={"user_id": user})
    assert answer.status_code == 200, answer.text
    return answer.json()


def flagged(client, path) -> bool:
    answer = ask(client, path)
    return bool({"features", "ledger"} & {*answer["missing"], *answer["stale"]})


@pytest.fixture
def without_ledger(desk):
    """The ledger is down while the block runs, and back afterwards."""
    with desk.warehouse.begin() as connection:
        connection.execute(sa.text("ALTER TABLE decisions RENAME TO away"))

    def mend():
        with desk.warehouse.begin() as connection:
            connection.execute(sa.text("ALTER TABLE away RENAME TO decisions"))

    return mend


def test_without_features_shoppers_get_what_sells_average_figures_and_no_action(client, desk):
    desk.fail["features"] = OSError("disk is gone at /secret/place")
    for path in ASKED:
        answer = ask(client, path)
        assert answer["missing"] == ["features"]
        assert "the online store cannot be read" in " ".join(answer["notices"])
        assert "secret" not in str(answer)
        assert desk.ledger.get(answer["decision_id"]).notices == tuple(answer["notices"])
    shown = ask(client, "/recommend")["items"]
    assert [item["item_id"] for item in shown[:2]] == ["cup", "plate"]
    assert ask(client, "/predict")["probabilities"] == {"leave_90d": 0.4, "purchase_30d": 0.3}
    decided = ask(client, "/decide")
    assert (decided["action"], decided["probability"]) == ("nothing", 1.0)
    assert client.get("/users/ada").status_code == 503


def test_a_dead_store_is_asked_by_nobody_but_the_upkeep_and_comes_back_by_itself(client, desk):
    asked_by = []
    read = desk.parts.read_user

    def slow(user_id, asked_at):
        asked_by.append(threading.current_thread().name)
        return read(user_id, asked_at)

    object.__setattr__(desk.parts, "read_user", slow)
    desk.fail["features"] = OSError("gone")
    for _ in range(20):
        ask(client, "/recommend")
    assert len(asked_by) <= 3
    del desk.fail["features"]
    until(lambda: not flagged(client, "/recommend"))


def test_flags_and_failures_are_counted(client, desk, figures):
    names = ('nudge_flags_total{flag="features"}', 'nudge_store_failures_total{store="features"}')
    desk.fail["features"] = OSError("gone")
    ask(client, "/predict")
    before = figures(client)
    ask(client, "/predict")
    after = figures(client)
    assert [after[name] - before[name] for name in names] == [1, 1]


def test_without_ledger_decisions_are_kept_aside_flagged_and_follow_once(
    client, desk, without_ledger
):
    answers = [ask(client, path) for path in ASKED]
    assert all(answer["stale"] == ["ledger"] for answer in answers)
    assert all("kept on this machine" in answer["notices"][-1] for answer in answers)
    assert (answers[2]["action"], answers[2]["probability"]) == ("nothing", 1.0)
    assert client.get(f"/decisions/{answers[0]['decision_id']}").status_code == 503
    without_ledger()
    until(lambda: desk.parts.spool.is_empty() and not flagged(client, "/recommend"))
    for answer in answers:
        kept = client.get(f"/decisions/{answer['decision_id']}").json()
        assert kept["notices"] == answer["notices"]
    assert {d.decision_id for d in desk.ledger.decisions()} >= {a["decision_id"] for a in answers}
    assert ask(client, "/predict")["stale"] == []


def test_what_a_dead_process_left_in_the_spool_follows_at_the_next_start(desk, without_ledger):
    with TestClient(create_app(lambda: desk.parts)) as client:
        answer = ask(client, "/recommend")
    without_ledger()
    chores = desk.parts.upkeep._chores
    fresh = desk.with_parts(upkeep=Upkeep(chores, Spool(desk.parts.spool._folder)))
    fresh.upkeep.catch_up()
    assert desk.ledger.get(answer["decision_id"]).user_id == "ada"
    assert fresh.spool.is_empty()


def test_all_rows_are_compared_once_when_the_warehouse_is_back(desk):
    """Its last commits may be done though nobody heard of them."""
    healed = []

    def heal():
        healed.append(len(healed))
        if len(healed) == 2:
            upkeep.failed("ledger")  # a request meets the next fault while rows are compared
        return 0

    upkeep = Upkeep(replace(desk.parts.upkeep._chores, heal=heal), desk.parts.spool)
    upkeep.catch_up()
    upkeep.catch_up()
    assert len(healed) == 1, "at the start, and no more while nothing fails"
    upkeep.failed("ledger")
    upkeep.catch_up()
    assert len(healed) == 2
    upkeep.catch_up()
    upkeep.catch_up()
    assert len(healed) == 3


def test_a_comparison_that_failed_is_made_again(desk):
    faults = [OSError("gone")]
    healed = []

    def heal():
        if faults:
            raise faults.pop()
        healed.append("whole")
        return 0

    upkeep = Upkeep(replace(desk.parts.upkeep._chores, heal=heal), desk.parts.spool)
    for _ in range(3):
        upkeep.catch_up()
    assert healed == ["whole"]


def test_a_shopper_who_lags_again_while_being_caught_up_is_written_again(desk):
    written = []

    def refresh(user_ids):
        written.append(user_ids)
        if len(written) == 1:
            upkeep.lag(["bob"])

    chores = replace(desk.parts.upkeep._chores, heal=lambda: 0, refresh=refresh)
    upkeep = Upkeep(chores, desk.parts.spool)
    upkeep.lag(["ada", "bob"])
    upkeep.catch_up()
    assert (upkeep.lags("ada"), upkeep.lags("bob")) == (False, True)
    upkeep.catch_up()
    assert written == [["ada", "bob"], ["bob"]]
    assert not upkeep.lags("bob")


def test_an_outcome_of_a_decision_that_waits_is_attached_when_both_are_in(
    client, desk, without_ledger, monkeypatch
):
    decided = ask(client, "/recommend")["decision_id"]
    without_ledger()
    monkeypatch.setattr(desk.parts.spool, "drain", lambda keep: 0)
    event = {"event_id": "n1", "kind": "click", "user_id": "ada", "item_id": "cup"}
    until(lambda: not desk.parts.upkeep.is_down("ledger"))
    receipt = client.post("/events", json=event | {"decision_id": decided}).json()
    assert (receipt["accepted"], receipt["notices"]) == (1, [])
    waiting = client.get(f"/decisions/{decided}")
    assert waiting.status_code == 503
    assert "not in the ledger yet" in waiting.json()["message"]
    monkeypatch.undo()
    until(lambda: desk.ledger.outcomes(decided))
    assert desk.ledger.attach_missing() == 0


def test_without_ledger_and_without_spool_nothing_is_acknowledged(
    client, desk, without_ledger, monkeypatch
):
    def full(decision):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(desk.parts.spool, "append", full)
    for path in ASKED:
        answer = client.post(path, json={"user_id": "ada"})
        assert answer.status_code == 503
        assert answer.headers["retry-after"] == "1"
        assert "no space is left on its disk" in answer.json()["message"]


def test_events_are_refused_without_warehouse_and_taken_without_online_store(client, desk):
    event = {"event_id": "n1", "kind": "click", "user_id": "ada", "item_id": "cup"}
    desk.fail["rows"] = OSError("gone")
    taken = client.post("/events", json=event).json()
    assert taken["accepted"] == 1
    assert "follow by themselves" in taken["notices"][0]
    assert ask(client, "/predict")["stale"] == ["features"]
    assert ask(client, "/predict", "bob")["stale"] == []
    del desk.fail["rows"]
    until(lambda: ask(client, "/predict")["stale"] == [])
    with desk.warehouse.begin() as connection:
        connection.execute(sa.text("ALTER TABLE events RENAME TO away"))
    refused = client.post("/events", json=event | {"event_id": "n2"})
    assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
    with desk.warehouse.begin() as connection:
        connection.execute(sa.text("ALTER TABLE away RENAME TO events"))
    until(lambda: client.post("/events", json=event | {"event_id": "n2"}).status_code == 200)


def test_a_registry_that_changes_under_the_service_is_told(desk):
    desk.fail["schema"] = "feature 'lateness' is gone from the registry"
    with TestClient(create_app(lambda: desk.parts)) as client:
        until(lambda: client.get("/ready").json()["stale"] == ["schema"])
        assert "the registry was changed" in " ".join(ask(client, "/predict")["notices"])


def decision(decision_id: str, **more) -> Decision:
    told = {"kind": "predict", "user_id": "ä", "decided_at": 1, "model_version": "m"}
    return Decision(decision_id=decision_id, feature_version="f", **told | more)


def test_a_spool_gives_back_what_it_took_and_drops_a_line_that_was_cut(tmp_path):
    spool, taken = Spool(tmp_path), []
    kept = [decision("a", notices=("x\ny",), scores={"p": 0.1}), decision("b")]
    for one in kept:
        spool.append(one)
    assert spool.holds("b")
    assert not spool.holds("c")
    assert Spool(tmp_path).drain(taken.extend) == 0, "a file in use is left to its writer"
    spool.close()
    path = next(tmp_path.glob("*.jsonl"))
    path.write_bytes(path.read_bytes() + b'{"decision_id": "cut')
    assert Spool(tmp_path).drain(taken.extend) == 2
    assert taken == kept
    assert spool.is_empty()


def test_a_spool_keeps_its_file_until_the_ledger_has_it_and_sets_an_unreadable_one_aside(tmp_path):
    spool, taken = Spool(tmp_path), []
    (tmp_path / "0.jsonl").write_bytes(b"\0\0\n")
    spool.append(decision("a"))

    def refuse(decisions):
        raise OSError("down")

    with pytest.raises(OSError, match="down"):
        spool.drain(refuse)
    spool.append(decision("b"))
    assert spool.drain(taken.extend) == 2
    assert {one.decision_id for one in taken} == {"a", "b"}
    assert [path.suffix for path in tmp_path.iterdir()] == [".unreadable"]


def test_half_a_line_on_a_full_disk_does_not_stand_before_the_next(tmp_path, monkeypatch):
    spool, taken = Spool(tmp_path), []
    spool.append(decision("a"))
    whole = os.fsync

    def full(_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        spool.append(decision("b"))
    monkeypatch.setattr(os, "fsync", whole)
    spool.append(decision("c"))
    assert spool.drain(taken.extend) == 2
    assert [one.decision_id for one in taken] == ["a", "c"]
