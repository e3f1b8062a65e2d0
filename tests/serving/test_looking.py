"""The endpoints that the console looks through: they show what would be, and write nothing."""

from __future__ import annotations

import polars as pl
import pytest
import sqlalchemy as sa

from feature_repo.campaigns import Campaign
from feature_repo.experiments import Arm, Experiment
from feature_repo.exposures import Experiments
from feature_repo.ingest import ingest
from feature_repo.settings import DAY
from feature_repo.tables import metadata
from serving.routes.console import FILES, POLICY
from tests.serving.conftest import NOW, purchase


def ask(client, path: str, **parameters):
    answer = client.get(path, params=parameters)
    assert answer.status_code == 200, answer.text
    return answer.json()


def contents(desk) -> dict[str, int]:
    """Rows of every table of the warehouse."""
    with desk.warehouse.read() as connection:
        return {
            name: connection.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for name, table in metadata.tables.items()
        }


def test_the_outlook_tells_what_the_other_endpoints_would_answer(client, desk):
    found = ask(client, "/outlook", user_id="ada", num_items=3)
    predicted = client.post("/predict", json={"user_id": "ada"}).json()
    decided = client.post("/decide", json={"user_id": "ada"}).json()
    shown = client.post("/recommend", json={"user_id": "ada", "num_items": 3}).json()
    assert {one["task"]: one["probability"] for one in found["risk"]} == predicted["probabilities"]
    reasons = {task: predicted["reasons"][task] for task in predicted["probabilities"]}
    assert {one["task"]: one["reason"] for one in found["risk"]} == reasons
    assert found["amounts"] == predicted["amounts"]
    assert found["weighed"]["alternatives"] == decided["alternatives"]
    assert found["items"] == shown["items"]
    assert found["behaviours"] == client.get("/users/ada").json()["behaviours"]
    assert found["titles"] == {"cup": "a red cup", "plate": "a green plate"}


def test_looking_writes_nothing(client, desk):
    client.post("/decide", json={"user_id": "ada"})
    before = contents(desk)
    for user in ("ada", "bob", "nobody"):
        ask(client, "/outlook", user_id=user)
    for path in ("/shoppers", "/campaigns", "/experiments", "/console"):
        assert client.get(path).status_code == 200
    assert contents(desk) == before


def test_an_action_just_taken_stands_in_the_way_of_the_next_in_the_outlook_too(client, desk):
    spend(desk, "coupon")
    blocked = {
        one["action"]: one["blocked"]
        for one in ask(client, "/outlook", user_id="ada")["weighed"]["alternatives"]
    }
    assert blocked["nothing"] is None
    assert "cap" in blocked["coupon"]


def test_what_is_neither_used_nor_sent_in_time_counts_no_more_without_being_released(client, desk):
    campaign = desk.ledger.campaign("default")
    desk.ledger.upsert_campaign(
        Campaign(
            campaign_id="default",
            daily_budget_micros=campaign.daily_budget_micros,
            cap_num=1,
            cap_days=7.0,
            cost_micros=campaign.cost_micros,
            hold_hours=1.0,
        )
    )
    spend(desk, "coupon")
    assert ask(client, "/campaigns")["campaigns"][0]["spent_today"] == 5.0
    desk.clock.moment = NOW + DAY // 12
    assert ask(client, "/campaigns")["campaigns"][0]["spent_today"] == 0.0
    found = ask(client, "/outlook", user_id="ada")["weighed"]["alternatives"]
    assert not any(one["blocked"] for one in found)


def spend(desk, action: str) -> None:
    """An action for ada, whatever the policy would say."""
    from feature_repo.ledger import Decision

    decision = Decision(
        decision_id=f"made-{action}",
        kind="decide",
        user_id="ada",
        decided_at=NOW,
        model_version="m",
        feature_version="f",
        policy="p",
        action=action,
        probabilities={action: 1.0},
        scores={},
        reason="",
        notices=(),
        campaign_id="default",
        cost_micros=5_000_000,
        request={},
    )
    desk.ledger.decide("ada", "default", NOW, lambda limits: decision)


def test_a_campaigns_money_is_told_with_what_is_left_of_both_budgets(client, desk):
    kept = desk.ledger.campaign("default")
    desk.ledger.upsert_campaign(
        Campaign(
            campaign_id="default",
            daily_budget_micros=kept.daily_budget_micros,
            total_budget_micros=20_000_000,
            cap_num=1,
            cap_days=7.0,
            cost_micros=kept.cost_micros,
        )
    )
    spend(desk, "coupon")
    (found,) = ask(client, "/campaigns")["campaigns"]
    assert found == {
        "campaign_id": "default",
        "daily_budget": 50.0,
        "spent_today": 5.0,
        "left_today": 15.0,
        "num_today": 1,
        "total_budget": 20.0,
        "spent_total": 5.0,
    }


def test_shoppers_are_found_by_the_beginning_of_their_id_as_it_is_written(client, desk):
    odd = ["adam", "Ada", "a%b", "a_b", "ad/a?#", "ädä"]
    events = [purchase(f"o{n}", user, "cup", NOW - DAY) for n, user in enumerate(odd)]
    from feature_repo.events import EVENT_SCHEMA

    ingest(desk.warehouse, pl.DataFrame(events, schema=EVENT_SCHEMA), source="test", now=NOW)

    def found(prefix: str) -> list[str]:
        return ask(client, "/shoppers", prefix=prefix)["shoppers"]

    assert found("ada") == ["ada", "adam"]
    assert found("a%") == ["a%b"]
    assert found("a_") == ["a_b"]
    assert found("ä") == ["ädä"]
    assert found("zz") == []
    assert ask(client, "/outlook", user_id="ad/a?#")["known"]
    client.post("/predict", json={"user_id": "bob"})
    assert ask(client, "/shoppers", limit=2)["shoppers"] == ["bob", "Ada"]


def test_a_running_experiment_is_told_with_its_arms_and_what_it_says(client, desk, tmp_path):
    assert ask(client, "/experiments")["experiments"] == []
    arms = (Arm(name="control", share=0.5, policy="nothing"), Arm(name="treated", share=0.5))
    Experiments(desk.warehouse).start(Experiment(name="quiet", arms=arms), NOW - DAY)
    client.post("/decide", json={"user_id": "ada"})
    (found,) = ask(client, "/experiments")["experiments"]
    assert found["name"] == "quiet"
    assert sum(one["num_shoppers"] for one in found["arms"]) == 1
    assert [one["share"] for one in found["arms"]] == [0.5, 0.5]
    assert "Nothing to compare yet" in found["verdict"][0]
    assert not found["has_page"]
    assert client.get("/experiments/page", params={"name": "quiet"}).status_code == 404
    folder = tmp_path / "experiments" / "quiet"
    folder.mkdir(parents=True)
    (folder / "status.html").write_text("<p>so far</p>")
    assert ask(client, "/experiments")["experiments"][0]["has_page"]
    page = client.get("/experiments/page", params={"name": "quiet"})
    assert page.text == "<p>so far</p>"
    assert page.headers["content-type"].startswith("text/html")


@pytest.mark.parametrize(
    "name", ["..", "../..", ".", "quiet/../..", "/etc", "a/b", "\U0001f511" * 128]
)
def test_no_name_of_an_experiment_leads_out_of_its_folder(client, tmp_path, name):
    (tmp_path / "experiments").mkdir()
    (tmp_path / "secret.html").write_text("secret")
    (tmp_path / "experiments" / "plan.html").write_text("plan")
    answer = client.get("/experiments/page", params={"name": name})
    assert answer.status_code == 404, answer.text
    assert "secret" not in answer.text


def test_the_outlook_goes_on_without_the_ledger_and_says_so(client, desk):
    def broken(*_, **__):
        raise OSError("gone")

    desk.ledger.decisions = broken
    found = ask(client, "/outlook", user_id="ada")
    assert found["stale"] == ["ledger"]
    assert "what was decided is not shown" in found["notices"][0]
    assert found["weighed"]["likeliest"] == "nothing"
    assert "no budget can be reserved" in found["weighed"]["reason"]
    assert len(found["risk"]) == 2


def test_the_outlook_goes_on_without_the_online_store_and_says_so(client, desk):
    desk.fail["features"] = OSError("gone")
    found = ask(client, "/outlook", user_id="ada")
    assert found["missing"] == ["features"]
    assert not found["known"]
    assert found["items"][0]["item_id"] == "cup"
    assert found["weighed"]["likeliest"] == "nothing"


def test_the_console_is_plain_files_that_may_load_nothing_from_elsewhere(client):
    page = client.get("/console")
    assert page.headers.get_list("content-security-policy") == [POLICY]
    assert "unsafe" not in POLICY
    assert client.get("/console/", follow_redirects=False).headers["location"].endswith("/console")
    assert client.get("/console/nothing.js").status_code == 404
    for name, path in FILES.items():
        answer = client.get(f"/console/{name}")
        assert answer.content == path.read_bytes()
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "innerHTML" not in answer.text
        outside = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "//" not in outside.replace("// ", "")
    assert "<script>" not in page.text
    assert "style=" not in page.text
