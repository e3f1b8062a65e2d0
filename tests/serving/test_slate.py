"""``/recommend`` that leaves something to chance: logged, replayable, and learnt from."""

from __future__ import annotations

import json
import re

import numpy as np
import pytest
from fastapi.testclient import TestClient
from typer.testing import CliRunner

from feature_repo.settings import DAY, iso
from serving.lists import Lists
from serving.routes.recommend import recommend
from serving.schemas import RecommendRequest
from serving.service import create_app
from serving.slate import Ordering, draw, open_ordering
from serving.start import load_ordering
from tests.serving.conftest import NOW
from training.policies.slate import Slate, logits_of

CHANCE = Ordering(slate=Slate(temperature=1.0), name="slate:1")


@pytest.fixture
def drawing(desk):
    with TestClient(create_app(lambda: desk.with_parts(lists=Lists(CHANCE)))) as client:
        yield client


def ask(client, user: str = "ada", num: int = 2, **more):
    answer = client.post("/recommend", json={"user_id": user, "num_items": num, **more})
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_without_the_setting_the_best_come_first_for_certain(client, desk):
    found = ask(client, num=4)
    assert [item["probability"] for item in found["items"]] == [1.0] * 4
    scores = [item["score"] for item in found["items"]]
    assert scores == sorted(scores, reverse=True)
    kept = desk.ledger.get(found["decision_id"])
    assert kept.policy == "greedy"
    assert kept.scores == {item["item_id"]: item["score"] for item in found["items"]}


def test_the_ledger_holds_each_place_and_what_was_left_out_with_its_chance(drawing, desk):
    orders = set()
    for _ in range(30):
        found = ask(drawing)
        shown = [item["item_id"] for item in found["items"]]
        kept = desk.ledger.get(found["decision_id"])
        assert kept.policy == "slate:1"
        assert list(kept.probabilities)[:2] == shown
        assert [kept.probabilities[item] for item in shown] == [
            item["probability"] for item in found["items"]
        ]
        assert [item["rank"] for item in found["items"]] == [1, 2]
        assert set(kept.probabilities) == set(kept.scores) == {"cup", "lamp", "plate", "vase"}
        chances = np.array([list(kept.probabilities.values())])
        assert np.exp(logits_of(chances, np.array([2]))).sum() == pytest.approx(1.0)
        orders.add(tuple(shown))
    assert len(orders) > 3


def test_a_list_can_be_drawn_again_from_its_record(drawing, desk):
    found = ask(drawing, num=3)
    kept = desk.ledger.get(found["decision_id"])
    best_first = sorted(kept.scores, key=lambda item: -kept.scores[item])
    scores = np.array([kept.scores[item] for item in best_first])
    again = draw(scores, best_first, 3, CHANCE, found["decision_id"])
    assert [best_first[row] for row in again.shown] == [i["item_id"] for i in found["items"]]
    assert again.logged(best_first, again.chances) == pytest.approx(kept.probabilities)


def test_what_may_not_be_shown_is_never_drawn(drawing):
    for _ in range(20):
        found = ask(drawing, num=4, context={"exclude_items": ["cup"], "max_price": 10.0})
        assert {item["item_id"] for item in found["items"]} == {"plate", "vase"}
    assert ask(drawing, num=4, context={"max_price": 0.01})["items"] == []


def collect(desk, num: int) -> None:
    """Lists of two of three items, nearly all by chance, and clicks that no score foretells."""
    rng, events = np.random.default_rng(3), []
    liking = {"cup": 0.1, "plate": 0.2, "vase": 0.9}
    ordering = Ordering(slate=Slate(temperature=5.0), name="slate:5")
    with TestClient(create_app(lambda: desk.with_parts(lists=Lists(ordering)))) as client:
        for number in range(num):
            user = f"user-{number % 400}"
            found = ask(client, user=user, context={"exclude_items": ["lamp"]})
            for place, item in enumerate(found["items"]):
                if rng.random() < liking[item["item_id"]] * (1.0, 0.5)[place]:
                    click = {"event_id": f"c{number}-{place}", "kind": "click", "user_id": user}
                    click |= {"item_id": item["item_id"], "event_at": iso(NOW)}
                    events.append(click | {"decision_id": found["decision_id"]})
        for at in range(0, len(events), 500):
            assert client.post("/events", json=events[at : at + 500]).status_code == 200


def test_clicks_become_an_order_that_is_told_and_served(desk, store, tmp_path, monkeypatch):
    from feature_repo.settings import FixedClock
    from serving import slate_commands
    from serving.__main__ import app

    collect(desk, 900)
    monkeypatch.setenv("NUDGE_HOME", str(tmp_path))
    url = f"sqlite:///{tmp_path / 'warehouse.db'}"
    monkeypatch.setenv("NUDGE_WAREHOUSE_URL", url)
    monkeypatch.setattr(slate_commands, "SystemClock", lambda home: FixedClock(NOW + 2 * DAY))
    folder = tmp_path / "learnt"
    told = CliRunner().invoke(app, ["slate", "--output", str(folder), "--temperature", "0.2"])
    assert told.exit_code == 0, told.output
    assert "learnt over today's, best first: +0." in told.output
    tag = re.search(r"--arm learnt:0.5:(nudge-policy:\w+)", told.output)[1]
    assert load_ordering(tag).slate == open_ordering(folder, None).slate
    served = open_ordering(folder, None)
    assert max(served.slate.appeals, key=served.slate.appeals.get) == "vase"
    assert served.slate.examination[1] == pytest.approx(0.5, abs=0.12)
    surely = open_ordering(folder, 0.0)
    request = RecommendRequest(user_id="stranger", num_items=3)
    found = json.loads(recommend(request, desk.with_parts(lists=Lists(surely))).body)
    assert found["items"][0]["item_id"] == "vase"
    assert desk.ledger.get(found["decision_id"]).policy == surely.name


def test_a_folder_that_holds_no_slate_is_refused(model):
    with pytest.raises(ValueError, match="is no bundle of a slate"):
        open_ordering(model.folder, None)


def test_a_log_without_chance_says_what_to_set(desk, tmp_path, monkeypatch):
    from serving.__main__ import app

    monkeypatch.setenv("NUDGE_HOME", str(tmp_path))
    monkeypatch.setenv("NUDGE_WAREHOUSE_URL", f"sqlite:///{tmp_path / 'warehouse.db'}")
    told = CliRunner().invoke(app, ["slate", "--output", str(tmp_path / "learnt")])
    assert told.exit_code == 2
    assert "NUDGE_SERVING_SLATE_TEMPERATURE" in told.output
    assert not (tmp_path / "learnt").exists()
