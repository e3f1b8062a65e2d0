"""What is promoted is served, earlier promotions stay, and what does not fit is refused."""

from __future__ import annotations

import json
import shutil

import pytest
from typer.testing import CliRunner

from feature_repo.ledger import Ledger
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training.bundle import Bundle
from training.policies import Threshold

NOW = 1_750_000_000_000_000


@pytest.fixture
def settings(tmp_path):
    made = Settings(home=tmp_path / "home")
    made.home.mkdir()
    Warehouse(made.warehouse).migrate()
    return made


def test_a_promoted_bundle_is_what_the_service_finds(store, settings, model):
    from serving.promote import promote
    from serving.settings import ServingSettings
    from serving.start import find_bundles, policy_of

    kept = promote(str(model.folder), settings, now=NOW, policy={"epsilon": 0.02})
    found, policy = find_bundles(settings, ServingSettings())
    assert (found.version, found.kind) == (model.version, "model")
    assert kept.model == f"nudge-model:{model.version}"
    assert policy_of(policy) == Threshold(
        coupon_threshold=0.5, reminder_threshold=0.35, epsilon=0.02
    )
    assert json.loads((settings.home / "promoted.json").read_text())["serving"]["model"]


def test_a_run_is_found_by_its_recipe(store, settings, model):
    from serving.promote import find_model
    from training.track import keep_as_latest

    run = settings.home / "runs" / "shopper-1"
    shutil.copytree(model.folder, run / "bundle")
    (run / "run.json").write_text("{}")
    keep_as_latest(run, "shopper")
    assert find_model("shopper", settings.home).version == model.version
    with pytest.raises(ValueError, match="there is no run 'nothing'"):
        find_model("nothing", settings.home)


def test_rolling_back_serves_what_was_served_before(store, settings, model):
    from serving.promote import promote, roll_back
    from serving.settings import Promotion

    first = promote(str(model.folder), settings, now=NOW)
    with pytest.raises(ValueError, match="no earlier promotion"):
        roll_back(settings, now=NOW)
    second = promote(str(model.folder), settings, now=NOW, policy={"epsilon": 0.5})
    assert first.policy != second.policy
    assert roll_back(settings, now=NOW + 1).policy == first.policy
    assert roll_back(settings, now=NOW + 2).policy == second.policy
    assert len(Promotion.history(settings.home)) == 4


def test_a_changed_bundle_is_not_served(store, settings, model, tmp_path):
    from serving.promote import promote
    from serving.settings import ServingSettings
    from serving.start import RefusedToStart, find_bundles

    kept = promote(str(model.folder), settings, now=NOW)
    with (tmp_path / "store").joinpath(*kept.model.split(":"), "user.onnx").open("ab") as file:
        file.write(b"!")
    with pytest.raises(RefusedToStart, match=r"user\.onnx should have SHA-256"):
        find_bundles(settings, ServingSettings())


def test_a_service_without_a_promotion_refuses_and_says_what_to_run(store, settings):
    from serving.settings import ServingSettings
    from serving.start import RefusedToStart, find_bundles

    with pytest.raises(RefusedToStart, match="run `python -m serving promote RUN`"):
        find_bundles(settings, ServingSettings())


def test_a_promotion_into_another_store_is_named(store, settings, model):
    from serving.promote import promote
    from serving.settings import ServingSettings
    from serving.start import RefusedToStart, find_bundles

    kept = promote(str(model.folder), settings, now=NOW)
    store.delete(kept.model)
    with pytest.raises(RefusedToStart, match="set BENTOML_HOME to the store"):
        find_bundles(settings, ServingSettings())


def test_settings_name_bundles_in_place_of_promoted_ones(store, settings, model, tmp_path):
    from serving.promote import save_policy
    from serving.settings import ServingSettings
    from serving.start import find_bundles

    policy = save_policy(tmp_path / "policy", Threshold(epsilon=0.0), NOW)
    serving = ServingSettings(bundle=model.folder, policy=policy.folder)
    found = find_bundles(settings, serving)
    assert [bundle.version for bundle in found] == [model.version, policy.version]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda s: s.pop("spend"), "feature 'spend' is gone from the registry"),
        (
            lambda s: s.update(spend="Int64"),
            "feature 'spend' was Float64 and is Int64 in the registry",
        ),
        (lambda s: s.update(moon="Float64"), "feature 'moon' of the registry is unknown"),
    ],
)
def test_the_first_feature_that_differs_is_named(change, words):
    from serving.stores import first_difference

    trained = {"tenure_days": "Float64", "spend": "Float64"}
    registered = dict(trained)
    assert first_difference(trained, registered) == ""
    change(registered)
    assert words in first_difference(trained, registered)


def test_a_model_without_the_policys_head_is_not_promoted(store, settings, model):
    from serving.promote import threshold_of

    manifest = model.manifest | {"heads": ["purchase_30d"]}
    with pytest.raises(ValueError, match="the policy needs 'leave_90d'"):
        threshold_of(Bundle(model.folder, manifest), {})
    with pytest.raises(ValueError, match="unknown setting"):
        threshold_of(model, {"boldness": 1.0})
    with pytest.raises(ValueError, match="epsilon is 7"):
        threshold_of(model, {"epsilon": 7.0})


def test_the_command_promotes_and_makes_the_campaign(store, settings, model, monkeypatch):
    from serving.__main__ import app

    monkeypatch.setenv("NUDGE_HOME", str(settings.home))
    command = ["promote", str(model.folder), "--policy", "epsilon=0.05"]
    done = CliRunner().invoke(app, [*command, "--daily-budget", "12.5", "--coupon-cost", "2"])
    assert done.exit_code == 0, done.output
    assert "12.50 a day" in done.output
    ledger = Ledger(Warehouse(settings.warehouse))
    assert ledger.campaign("default").cost_micros == {"coupon": 2_000_000}
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    assert ledger.campaign("default").daily_budget_micros == 12_500_000, "kept as it was"
    bad = CliRunner().invoke(app, ["promote", str(model.folder), "--policy", "bold"])
    assert bad.exit_code == 2


def test_the_command_shows_decisions_and_what_came_of_them(client, desk, monkeypatch):
    from serving.__main__ import app, console

    database = desk.warehouse.url
    monkeypatch.setenv("NUDGE_WAREHOUSE_URL", database)
    monkeypatch.setattr(console, "width", 200)
    made = client.post("/recommend", json={"user_id": "bob"}).json()["decision_id"]
    assert "0 of 1 decisions shown" in CliRunner().invoke(app, ["outcomes"]).output
    event = {"event_id": "n1", "kind": "purchase", "user_id": "bob", "item_id": "cup"}
    client.post("/events", json=event | {"quantity": 1, "price": 2.5, "decision_id": made})
    shown = CliRunner().invoke(app, ["outcomes"]).output
    assert made in shown
    assert "purchase 2.50" in shown
    unknown = CliRunner().invoke(app, ["outcomes", "--decision", "made-up"])
    assert unknown.exit_code == 2
