"""From a shop's events to a bundle, in this process: a run, a LoRA run on it, a refit, a resume."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from typer.testing import CliRunner

import training.__main__ as cli
from feature_repo.ledger import Decision, Ledger
from feature_repo.settings import DAY, Settings
from feature_repo.warehouse import Warehouse
from tests.conftest import copy_home
from training.bundle import Bundle
from training.datasets.batches import Dataset
from training.fit import fit, resume
from training.policies import Budgeted
from training.recipes import shopper, text_lora
from training.run import OptimConfig, Run
from training.tasks import Uplift
from training.tasks.uplift import ACTIONS
from training.track import find_run

NOW = 1_790_000_000_000_000
SHORT = OptimConfig(num_epochs=2, max_positions=4096, min_batches=1)


@pytest.fixture(scope="module")
def base(shop):
    """A tiny finished run on the simulated shop."""
    return fit(replace(shopper("tiny"), optim=SHORT), shop.settings, now=NOW)


def test_a_fit_leaves_run_history_checkpoint_and_bundle(shop, base):
    run = Run.from_json((base / "run.json").read_text())
    _first, last = shop.warehouse.span()
    assert run.calendar.test_end == last + 1
    history = [json.loads(line) for line in (base / "history.jsonl").read_text().splitlines()]
    assert [line["epoch"] for line in history] == [1, 2]
    assert all(math.isfinite(line["train_loss"] + line["valid_loss"]) for line in history)
    bundle = Bundle.load(base / "bundle")
    assert bundle.manifest["origin"] == base.name
    assert bundle.manifest["created_at"] == NOW
    assert bundle.manifest["service"] == "shopper"
    assert set(bundle.manifest["schema"]) == {"shopper", "item"}
    assert set(bundle.manifest["thresholds"]) == set(bundle.chances)
    assert bundle.amounts == ("spend_90d",)
    assert 0 < bundle.manifest["metrics"]["recall@10"] <= 1
    assert find_run(shop.settings.home, "shopper") == base


def test_lora_starts_from_the_finished_run_and_makes_a_bundle_of_its_own(shop, base):
    recipe = text_lora("tiny")
    folder = fit(recipe, shop.settings, now=NOW)
    old, new = Bundle.load(base / "bundle"), Bundle.load(folder / "bundle")
    assert new.manifest["lineage"]["started_from"] == old.version
    assert new.version != old.version
    assert new.manifest["vocabulary"] == old.manifest["vocabulary"]
    moved = new.manifest["lineage"]["num_trained_parameters"]
    assert 0 < moved <= 0.02 * new.manifest["lineage"]["num_parameters"]
    assert any(name.startswith("text.") for name in new.weights())
    assert not any("lora" in name for name in new.weights())
    vectors = [Dataset(place / "data").text_vectors for place in (base, folder)]
    assert np.abs(vectors[0] - vectors[1]).max() > 1e-4
    assert Dataset(folder / "data").meta == Dataset(base / "data").meta


def test_a_refit_trains_up_to_the_test_for_the_epochs_that_validation_chose(shop, base):
    kept = Bundle.load(base / "bundle").manifest
    folder = fit(replace(shopper("tiny"), optim=SHORT, refit=True), shop.settings, now=NOW)
    manifest = Bundle.load(folder / "bundle").manifest
    run = Run.from_json((folder / "run.json").read_text())
    assert run.calendar.train_end == run.calendar.valid_end
    assert run.optim.num_epochs == kept["lineage"]["best_epoch"]
    assert manifest["calibration"] == kept["calibration"]
    assert manifest["thresholds"] == kept["thresholds"]
    assert manifest["habit"] == kept["habit"]
    counts = [Dataset(place / "data").meta["counts"] for place in (base, folder)]
    assert counts[1]["train"] > counts[0]["train"]
    assert counts[1]["valid"] == 0


def test_a_run_cut_short_goes_on_where_it_stopped(shop, base, monkeypatch):
    import training.fit

    class Killed(Exception):
        pass

    def die(*told):
        raise Killed

    run = replace(shopper("tiny"), optim=SHORT)
    with monkeypatch.context() as changed, pytest.raises(Killed):
        changed.setattr(training.fit, "finish", die)
        fit(run, shop.settings, now=NOW)
    folder = max((base.parent).glob("shopper-*"), key=lambda path: path.stat().st_mtime)
    before = (folder / "history.jsonl").read_text()
    resume(folder, shop.settings, now=NOW)
    assert (folder / "history.jsonl").read_text() == before
    versions = [Bundle.load(place / "bundle").version for place in (base, folder)]
    weights = [Bundle.load(place / "bundle").weights() for place in (base, folder)]
    for name, value in weights[0].items():
        np.testing.assert_array_equal(value, weights[1][name])
    assert versions[0] == versions[1]


def test_what_is_missing_is_told(shop, tmp_path):
    with pytest.raises(ValueError, match="holds no events"):
        fit(shopper("tiny"), empty(tmp_path), now=NOW)
    with pytest.raises(ValueError, match="no run 'shopper'"):
        fit(text_lora("tiny"), empty(tmp_path), now=NOW)


def empty(home):
    from feature_repo.warehouse import Warehouse

    settings = Settings(home=home)
    Warehouse(settings.warehouse).migrate()
    return settings


def test_show_lists_runs_and_marks_the_newest(shop, base, monkeypatch):
    monkeypatch.setenv("NUDGE_HOME", str(shop.settings.home))
    monkeypatch.setenv("COLUMNS", "200")
    shown = CliRunner().invoke(cli.app, ["show"])
    assert shown.exit_code == 0
    assert base.name in shown.output
    newest = find_run(shop.settings.home, "shopper").name
    line = next(line for line in shown.output.splitlines() if newest in line)
    assert "*" in line


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (["nothing"], "choose from shopper"),
        (["shopper", "--set", "optim"], "write it as optim.num_epochs=3"),
        (["shopper", "--set", "optim.speed=1"], "optim.speed"),
        (["shopper", "--size", "huge"], "huge"),
    ],
)
def test_what_cannot_be_fitted_is_refused(shop, monkeypatch, told, message):
    monkeypatch.setenv("NUDGE_HOME", str(shop.settings.home))
    answered = CliRunner().invoke(cli.app, ["fit", *told])
    assert answered.exit_code != 0
    assert message in answered.output.replace("\n", " ")


@pytest.mark.long
@pytest.mark.timeout(600)
def test_heads_of_effects_are_learnt_from_the_decisions_of_the_ledger(shop, tmp_path):
    copy_home(shop.settings.home, tmp_path / "home")
    settings = Settings(home=tmp_path / "home")
    run = replace(
        shopper("tiny"),
        tasks=("next_item", "uplift"),
        task_weights=(1.0, 1.0),
        task_shares=(0.2, 1.0),
        horizon_days=28,
        optim=replace(SHORT, num_epochs=1),
    )
    with pytest.raises(ValueError, match="the ledger holds 0 decisions and none with a choice"):
        fit(run, settings, now=NOW)
    warehouse, rng = Warehouse(settings.warehouse), np.random.default_rng(0)
    first, last = warehouse.span()
    users = warehouse.events()["user_id"].unique().sort().to_list()
    chances = dict(zip(ACTIONS, (0.5, 0.25, 0.25), strict=True))
    for number, day in enumerate(range(200, (last - first) // DAY - 8, 3)):
        for user in users[number % 3 :: 3]:
            decision = Decision(
                decision_id=f"{day}-{user}", kind="decide", user_id=user,
                decided_at=first + day * DAY, model_version="m", feature_version="f",
                action=str(rng.choice(ACTIONS, p=list(chances.values()))), probabilities=chances,
            )  # fmt: skip
            Ledger(warehouse).write(decision)
    manifest = Bundle.load(fit(run, settings, now=NOW) / "bundle").manifest
    assert manifest["heads"] == list(Uplift().heads)
    assert set(Budgeted().needs) <= set(manifest["thresholds"])
    assert all(f"{head}/auc" in manifest["metrics"] for head in Budgeted().needs)
    assert manifest["lineage"]["dataset"]["told"]["uplift"]
