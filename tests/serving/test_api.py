"""Each endpoint, over a hand-made model and a real ledger."""

from __future__ import annotations

import pytest

from feature_repo.settings import DAY

SHARED = {
    "decision_id",
    "user_id",
    "asked_at",
    "model_version",
    "feature_version",
    "stale",
    "missing",
    "notices",
}


def ask(client, path: str, **body):
    answer = client.post(path, json=body)
    assert answer.status_code == 200, answer.text
    return answer.json()


def test_recommendations_come_best_first_with_words_prices_and_reasons(client, desk):
    found = ask(client, "/recommend", user_id="ada", num_items=3)
    assert set(found) == SHARED | {"items"}
    scores = [item["score"] for item in found["items"]]
    assert scores == sorted(scores, reverse=True)
    assert [item["rank"] for item in found["items"]] == [1, 2, 3]
    cup = next(item for item in found["items"] if item["item_id"] == "cup")
    assert (cup["text"], cup["price"]) == ("a red cup", 2.5)
    assert cup["reason"] == "in the shopper's history 2 times, last 41 days ago"
    assert found["model_version"] == desk.parts.model_version
    assert found["feature_version"] == "feed5eed"


def test_the_ledger_holds_what_was_shown_and_with_which_scores(client, desk):
    found = ask(client, "/recommend", user_id="ada", num_items=2)
    kept = desk.ledger.get(found["decision_id"])
    shown = {item["item_id"]: item["score"] for item in found["items"]}
    assert kept.scores == shown
    assert kept.probabilities == dict.fromkeys(shown, 1.0)
    assert kept.request["num_items"] == 2


def test_seen_items_named_items_and_dear_items_can_be_left_out(client):
    def shown(**body):
        return {i["item_id"] for i in ask(client, "/recommend", user_id="ada", **body)["items"]}

    assert shown() == {"cup", "lamp", "plate", "vase"}
    assert shown(exclude_seen=True) == {"lamp", "vase"}
    assert shown(context={"exclude_items": ["cup", "unheard-of"]}) == {"lamp", "plate", "vase"}
    assert shown(context={"max_price": 4.0}) == {"cup", "plate"}
    few = ask(client, "/recommend", user_id="ada", num_items=3, exclude_seen=True)
    assert "only 2 of 3 items are left after the filters" in few["notices"]


def test_a_new_shopper_gets_what_sells_and_the_answer_says_so(client):
    found = ask(client, "/recommend", user_id="nobody-yet", num_items=2)
    assert [item["item_id"] for item in found["items"]] == ["cup", "plate"]
    assert found["items"][0]["reason"] == "popular: bought 40 times in the last 30 days"
    assert found["missing"] == ["shopper"]
    assert "nothing is known of this shopper" in found["notices"][0]


def test_an_item_new_since_training_is_scored_by_its_text_and_flagged(client):
    found = ask(client, "/recommend", user_id="ada")
    new = {item["item_id"]: item["is_new"] for item in found["items"]}
    assert new == {"cup": False, "lamp": False, "plate": False, "vase": True}
    assert "1 of 4 items are new since training" in " ".join(found["notices"])


def test_predictions_carry_the_shoppers_rhythm_as_their_reason(client):
    found = ask(client, "/predict", user_id="ada")
    assert set(found) == SHARED | {"probabilities", "amounts", "next_actions", "reasons"}
    assert set(found["probabilities"]) == {"leave_90d", "purchase_30d"}
    percent = f"{100 * found['probabilities']['leave_90d']:.0f} %"
    assert found["reasons"]["leave_90d"] == (
        f"{percent} risk of leaving within 90 days: 41 days since the last purchase, "
        "11 days late for a rhythm of 30 days"
    )
    assert "feature: spend" in found["missing"]


def test_expected_spend_stands_beside_the_probabilities_and_an_untaught_head_says_nothing(client):
    found = ask(client, "/predict", user_id="ada")
    assert found["amounts"] == {"spend_90d": pytest.approx(0.5)}
    assert found["reasons"]["spend_90d"].startswith("0.50 expected to be spent within 90 days: 41")
    refused = client.post("/predict", json={"user_id": "ada", "tasks": ["visit_30d"]})
    assert refused.status_code == 404
    stranger = ask(client, "/predict", user_id="nobody", tasks=["spend_90d"])
    assert (stranger["probabilities"], stranger["amounts"]) == ({}, {"spend_90d": 12.5})


def test_the_next_steps_have_chances_a_time_and_a_category_and_stand_in_the_ledger(client, desk):
    found = ask(client, "/predict", user_id="ada", tasks=["next_actions"])
    assert found["probabilities"] == {}
    first, second = found["next_actions"]
    assert (first["step"], first["kind"], second["kind"]) == (1, "purchase", "leave")
    assert first["probabilities"]["purchase"] == pytest.approx(0.5)
    assert sum(second["probabilities"].values()) == pytest.approx(1.0)
    assert (first["days"], first["at"]) == (4.0, "2025-06-19T12:00:00Z")
    assert (first["category"], second["category"]) == ("kitchen", "garden")
    assert first["category_probability"] == pytest.approx(0.7)
    assert found["reasons"] == {
        "next_actions": "50 % purchase next, in about 4 days; 30 % nothing more"
    }
    assert desk.ledger.get(found["decision_id"]).scores["leave@2"] == pytest.approx(0.5)


def test_of_whom_nothing_is_known_the_next_steps_are_the_average_shoppers(client):
    first = ask(client, "/predict", user_id="nobody-yet")["next_actions"][0]
    assert (first["kind"], first["probabilities"]["view"]) == ("view", 0.5)
    assert (first["days"], first["category"], first["category_probability"]) == (7.0, None, None)


def test_only_the_tasks_asked_for_are_answered(client):
    assert set(ask(client, "/predict", user_id="ada", tasks=["leave_90d"])["probabilities"]) == {
        "leave_90d"
    }


def test_a_new_shopper_gets_the_average_probabilities(client):
    found = ask(client, "/predict", user_id="nobody-yet")
    assert found["probabilities"] == {"leave_90d": 0.4, "purchase_30d": 0.3}
    assert found["reasons"]["leave_90d"].endswith("no purchase of this shopper is known")


def test_without_a_measured_average_the_answer_says_whose_figure_it_is(desk, make_model, tmp_path):
    from serving.predictor import Predictor
    from serving.routes.asked import ask as read

    silent = make_model(tmp_path / "silent")
    silent.manifest["metrics"].clear()
    parts = desk.with_parts(predictor=Predictor(silent, tmp_path / "texts"))
    asked = read(parts, "nobody-yet")
    assert asked.probabilities == asked.scores.probabilities
    assert "what the model says of an empty row" in asked.notices[0]


def test_a_decision_comes_with_its_propensity_alternatives_and_reason(client, desk):
    found = ask(client, "/decide", user_id="ada")
    extra = {
        "action",
        "probability",
        "reason",
        "alternatives",
        "predictions",
        "campaign_id",
        "cost",
        "policy_version",
        "act_at",
        "arms",
    }
    assert set(found) == SHARED | extra
    chances = {line["action"]: line["probability"] for line in found["alternatives"]}
    assert sum(chances.values()) == pytest.approx(1.0)
    assert found["probability"] == chances[found["action"]]
    kept = desk.ledger.get(found["decision_id"])
    assert kept.probabilities == chances
    assert (kept.action, kept.reason) == (found["action"], found["reason"])
    assert kept.policy == "threshold:p0"
    assert found["cost"] == (5.0 if found["action"] == "coupon" else 0.0)


def test_an_unknown_shopper_is_left_alone_for_certain(client):
    found = ask(client, "/decide", user_id="nobody-yet")
    assert (found["action"], found["probability"], found["cost"]) == ("nothing", 1.0, 0.0)
    assert {line["action"]: line["blocked"] for line in found["alternatives"]} == {
        "nothing": None,
        "reminder": "no purchase of this shopper is known",
        "coupon": "no purchase of this shopper is known",
    }


def test_a_second_action_within_the_cap_is_blocked_and_named(client, desk):
    while (first := ask(client, "/decide", user_id="ada"))["action"] == "nothing":
        pass
    desk.clock.moment += DAY
    second = ask(client, "/decide", user_id="ada")
    assert second["action"] == "nothing"
    assert "frequency cap: 1 of 1 actions within 7 days, the last on 2025-06-15" in second["reason"]
    assert first["campaign_id"] == second["campaign_id"] == "default"


def test_an_event_changes_the_next_recommendation(client):
    before = ask(client, "/recommend", user_id="bob")
    sent = {"event_id": "n1", "kind": "purchase", "user_id": "bob", "item_id": "vase"}
    receipt = ask(client, "/events", **sent, quantity=1, price=9.0, order_id="o9")
    assert (receipt["read"], receipt["accepted"], receipt["rejected"]) == (1, 1, [])
    after = ask(client, "/recommend", user_id="bob")
    reasons = {item["item_id"]: item["reason"] for item in after["items"]}
    assert reasons["vase"] == "in the shopper's history once, last 0 days ago"
    assert [i["score"] for i in before["items"]] != [i["score"] for i in after["items"]]


def test_events_are_counted_once_and_refused_by_name(client, desk):
    good = {"event_id": "n1", "kind": "view", "user_id": "bob", "item_id": "cup"}
    bad = {"event_id": "n2", "kind": "dance", "user_id": "bob"}
    late = good | {"event_id": "n3", "event_at": "2025-06-15T12:02:00Z"}
    odd = good | {"event_id": "n4", "event_at": "yesterday"}
    dear = good | {"event_id": "n5", "price": "a lot"}
    receipt = client.post("/events", json=[good, good, bad, late, odd, dear]).json()
    assert (receipt["read"], receipt["accepted"], receipt["duplicates"]) == (6, 1, 1)
    assert {(r["event_id"], r["reason"]) for r in receipt["rejected"]} == {
        ("n2", "unknown_kind"),
        ("n3", "future"),
        ("n4", "bad_time"),
        ("n5", "bad_price"),
    }
    assert all(r["message"] for r in receipt["rejected"])
    assert len(desk.warehouse.dead_letters()) == 4


def test_an_event_sent_again_later_without_a_time_stays_a_repeat(client, desk):
    view = {"event_id": "n1", "kind": "view", "user_id": "bob", "item_id": "cup", "event_at": None}
    assert client.post("/events", json=view).json()["accepted"] == 1
    desk.clock.moment += 90_000_000
    again = client.post("/events", json=[view]).json()
    assert (again["duplicates"], again["rejected"]) == (1, [])


def test_an_event_that_cites_a_decision_becomes_its_outcome(client):
    decision = ask(client, "/recommend", user_id="bob")["decision_id"]
    ask(
        client,
        "/events",
        event_id="n1",
        kind="purchase",
        user_id="bob",
        item_id="cup",
        quantity=2,
        price=2.5,
        decision_id=decision,
    )
    found = client.get(f"/decisions/{decision}").json()
    assert [(o["event_id"], o["kind"], o["value"]) for o in found["outcomes"]] == [
        ("n1", "purchase", 5.0)
    ]
    known = client.get("/users/bob").json()
    assert known["decisions"][0]["decision_id"] == decision
    assert known["decisions"][0]["outcomes"] == found["outcomes"]


def test_an_event_that_cites_nobodys_decision_is_kept_and_the_receipt_says_so(client):
    receipt = ask(
        client,
        "/events",
        event_id="n1",
        kind="view",
        user_id="bob",
        item_id="cup",
        decision_id="made-up",
    )
    assert receipt["accepted"] == 1
    assert receipt["notices"] == ["no decision 'made-up' was made: its events are no outcomes"]


def test_a_shoppers_page_shows_features_and_the_newest_behaviour_first(client):
    known = client.get("/users/ada").json()
    assert known["known"] is True
    assert known["features"]["recency_days_purchase"] == pytest.approx(41.0)
    assert [b["item_id"] for b in known["behaviours"]] == ["cup", "plate", "cup"]
    assert known["behaviours"][0]["kind"] == "purchase"
    unknown = client.get("/users/nobody-yet").json()
    assert (unknown["known"], unknown["behaviours"], unknown["decisions"]) == (False, [], [])


def test_readiness_tells_what_is_loaded(client, desk):
    ready = client.get("/ready").json()
    assert ready["ready"] is True
    assert (ready["model"], ready["policy"], ready["num_items"]) == ("hand", "threshold", 4)
    assert ready["catalogue_at"] == "2025-06-15T00:00:00Z"


def test_figures_count_answers_actions_events_and_flags(client, figures):
    def use(event_id):
        ask(client, "/recommend", user_id="nobody-yet")
        ask(client, "/events", event_id=event_id, kind="view", user_id="bob", item_id="cup")
        return ask(client, "/decide", user_id="ada")["action"]

    # Figures of one process add up over its services, and show once they are used: use each first.
    used = {use("n0")}
    before = figures(client)
    action = use("n1")
    after = figures(client)
    for name, more in {
        'nudge_answers_total{endpoint="recommend"}': 1,
        'nudge_events_total{result="accepted"}': 1,
        'nudge_flags_total{flag="shopper"}': 1,
        'nudge_stage_seconds_count{stage="ledger"}': 6,
    }.items():
        assert after[name] - before[name] == more, name
    acted = f'nudge_actions_total{{action="{action}",campaign="default"}}'
    assert action not in used or after[acted] - before[acted] == 1
    assert after[acted] >= 1


def test_the_api_page_asks_no_outside_address(client):
    page = client.get("/docs")
    assert page.status_code == 200
    addresses = [part.split('"')[0] for part in page.text.split('"http')[1:]]
    assert addresses == []
    for asset in ("swagger-ui-bundle.js", "swagger-ui.css", "favicon-light-32x32.png"):
        assert f"/docs/assets/{asset}" in page.text
        assert client.get(f"/docs/assets/{asset}").status_code == 200
    assert client.get("/", follow_redirects=False).headers["location"] == "/docs"
