"""The commands of experiments: on a shop's warehouse, and on a user's own table."""

from __future__ import annotations

import os
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from feature_repo.exposures import Experiments
from feature_repo.ingest import ingest
from feature_repo.settings import DAY, SystemClock
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from serving.experiment_commands import app
from serving.experiments import own_table
from serving.experiments.analysis import analyse
from serving.experiments.own_table import Columns
from serving.promote import save_policy
from training.policies import Threshold

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
HILLSTROM = DATA / "hillstrom_email_rct" / "hillstrom.parquet"
START = ("start", "mild", "--arm", "control:0.5:nothing", "--arm", "mild:0.5:epsilon=0.3")


def run(*options: object) -> str:
    found = CliRunner().invoke(app, [str(option) for option in options], env={"COLUMNS": "300"})
    text = " ".join(re.sub("[│╭╰─╮╯]", " ", found.output).split())
    return text if found.exit_code == 0 else f"FAILED {text}"


@pytest.fixture(scope="module")
def events():
    """Fifty days of a small simulated shop, and its last midnight."""
    world = World(seed=11, num_shoppers=400, num_items=60)
    return world.run(50), world.now


@pytest.fixture
def shop(events, tmp_path, monkeypatch) -> Warehouse:
    monkeypatch.setenv("NUDGE_HOME", str(tmp_path))
    monkeypatch.delenv("NUDGE_WAREHOUSE_URL", raising=False)
    warehouse = Warehouse(f"sqlite:///{tmp_path / 'warehouse.db'}")
    warehouse.migrate()
    frame, now = events
    ingest(warehouse, frame, source="sim", now=now)
    SystemClock(tmp_path).move_to(now)
    return warehouse


@pytest.fixture
def promoted(model, tmp_path, monkeypatch) -> None:
    """A model and a threshold policy that a service here would serve."""
    policy = save_policy(tmp_path / "policy", Threshold(), now=0)
    monkeypatch.setenv("NUDGE_SERVING_BUNDLE", str(model.folder))
    monkeypatch.setenv("NUDGE_SERVING_POLICY", str(policy.folder))


def table(tmp_path, lift: float = 0.0, num: int = 6_000, name: str = "users.csv"):
    """A file of an experiment: half of the noise in `bought` amounts was known before."""
    rng = np.random.default_rng(8)
    treated = rng.random(num) < 0.5
    before = rng.gamma(2.0, 5.0, num)
    frame = pl.DataFrame(
        {
            "variant": np.where(treated, "new", "control"),
            "amount": before + rng.gamma(2.0, 5.0, num) + lift * treated,
            "clicked": (rng.random(num) < 0.2 + 0.05 * treated).astype(int),
            "orders": rng.poisson(2.0, num),
            "before": before,
            "country": rng.choice(["NL", "FR"], num),
        }
    )
    path = tmp_path / name
    frame.write_csv(path) if path.suffix == ".csv" else frame.write_parquet(path)
    return path


def test_a_plan_says_shoppers_and_days_from_the_shops_own_traffic(shop, tmp_path):
    told = run("plan", "--effect", 0.2, "--metric", "spend")
    assert "One look at the end" in told, told
    with_cuped = re.search(r"One look at the end: ([\d,]+).*?With CUPED.*?: ([\d,]+)", told)
    plain, cuped = (int(number.replace(",", "")) for number in with_cuped.groups())
    assert cuped <= plain
    smaller = run("plan", "--effect", 0.1, "--metric", "spend")
    four_times = int(re.search(r"the end: ([\d,]+)", smaller)[1].replace(",", ""))
    assert four_times == pytest.approx(4 * plain, rel=0.01)
    assert "<svg" in (tmp_path / "experiments" / "plan.html").read_text()
    assert "FAILED" in run("plan", "--effect", 0.2, "--metric", "luck")


def test_an_experiment_is_started_watched_stopped_and_analysed(shop, promoted, tmp_path):
    told = run(*START, "--metric", "spend", "--guardrail", "returned<5")
    assert "experiment 'mild' runs in layer 'decide'" in told, told
    assert "was there before" in run(*START)
    unknown = run("start", "bold", "--arm", "control:0.5", "--arm", "bold:0.5:warmth=1")
    assert "policy 'threshold' has no setting warmth" in unknown
    assert "BentoML's model store has no nudge-policy:none" in run(
        "start", "bold", "--arm", "control:0.5", "--arm", "bold:0.5:nudge-policy:none"
    )
    assert "Nothing to compare yet" in run("status")
    assert "is stopped: enough" in run("stop", "mild", "--reason", "enough")
    told = run("analyse", "mild")
    assert "Stopped: enough" in told, told
    for page in ("start", "status", "stop", "analysis"):
        assert (tmp_path / "experiments" / "mild" / f"{page}.html").exists()
    assert "no experiment is running" in run("status")
    assert "there is no experiment 'other'" in run("analyse", "other")
    assert "nobody was held out yet" in run("analyse", "holdout")


def test_a_status_stops_an_experiment_whose_guardrail_is_crossed(shop, promoted, tmp_path):
    run(*START, "--metric", "visit", "--guardrail", "visit>0.9", "--window-days", 0.5)
    store = Experiments(shop)
    began = store.get("mild").started_at
    deal(shop, began)
    SystemClock(tmp_path).move_to(began + 2 * DAY)
    told = run("status")
    assert "stopped mild" in told, told
    assert "Guardrail visit>0.9 is crossed by mild" in store.get("mild").stop_reason


def deal(warehouse: Warehouse, at: int) -> None:
    """Six hundred shoppers in two arms, a third of whom come back, whatever their arm."""
    from feature_repo.events import EVENT_SCHEMA
    from feature_repo.exposures import expose
    from feature_repo.ledger import Decision

    from .conftest import purchase

    users = [f"guest-{number}" for number in range(600)]
    made = [
        Decision(
            decision_id=user,
            kind="decide",
            user_id=user,
            decided_at=at,
            model_version="m",
            feature_version="f",
            arms={"mild": ("control", "mild")[number % 2]},
        )
        for number, user in enumerate(users)
    ]
    with warehouse.begin() as connection:
        expose(connection, made)
    rows = [purchase(f"e-{user}", user, "cup", at + 1_000) for user in users[::3]]
    ingest(warehouse, pl.DataFrame(rows, schema=EVENT_SCHEMA), source="t", now=at + DAY)


@pytest.mark.parametrize("name", ["users.csv", "users.parquet"])
def test_an_own_table_is_analysed_with_a_page(tmp_path, name):
    path = table(tmp_path, lift=1.0, name=name)
    page = tmp_path / "page.html"
    told = run(
        "analyse", path, "--arm", "variant", "--outcome", "amount", "--before", "before",
        "--segment", "country", "--output", page,
    )  # fmt: skip
    assert "new raises amount per user by" in told, told
    text = page.read_text()
    assert text.count("<svg") >= 3
    assert re.search(r"takes (4|5)\d% of the noise", text)
    assert "country FR" in text


def test_a_ratio_a_proportion_and_no_effect_are_told_for_what_they_are(tmp_path):
    path, page = table(tmp_path), tmp_path / "page.html"
    common = ("analyse", path, "--arm", "variant", "--output", page)
    assert "new raises share with clicked by" in run(*common, "--outcome", "clicked")
    ratio = run(*common, "--outcome", "amount", "--ratio-of", "orders")
    assert "no effect on amount per orders is told yet" in ratio, ratio
    assert "no effect on amount per user" in run(*common, "--outcome", "amount")
    mismatch = run(*common, "--outcome", "amount", "--share", "control=0.7", "--share", "new=0.3")
    assert "No conclusion: shoppers fell into the arms in other shares" in mismatch


@pytest.mark.skipif(not HILLSTROM.exists(), reason="hillstrom_email_rct is not at hand")
def test_the_published_effects_of_a_real_experiment_are_found(tmp_path):
    columns = Columns(arm="segment", outcome="visit", before="history")
    users, _ = own_table.read(HILLSTROM, columns)
    setup = own_table.setup_of(users, columns)
    assert setup.control == "No E-Mail"
    found = analyse(users, setup)
    plain = {f.arm: f.plain[1].mean - f.plain[0].mean for f in found.findings}
    published = {"Mens E-Mail": 0.0766, "Womens E-Mail": 0.0452}
    assert plain == pytest.approx(published, abs=5e-5)
    for finding in found.findings:
        assert finding.is_told
        assert finding.effect.value == pytest.approx(published[finding.arm], abs=5e-4)
    assert not found.is_mismatched


def test_rows_of_one_user_are_one_draw(tmp_path):
    frame = pl.DataFrame(
        {"user": ["a", "b", "a", "c"], "arm": ["x", "y", "x", "y"], "out": [1.0, 2.0, 3.0, 4.0]}
    )
    frame.write_csv(tmp_path / "rows.csv")
    users, notes = own_table.read(
        tmp_path / "rows.csv", Columns(arm="arm", outcome="out", user="user")
    )
    assert users.select("user", "arm", "outcome").rows() == [
        ("a", "x", 4.0),
        ("b", "y", 2.0),
        ("c", "y", 4.0),
    ]
    assert notes == ["4 rows of 3 users: outcomes of a user are added up."]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        ("arm,out\nx,1\n", ("--outcome", "o"), "has no column 'o'; it has arm, out"),
        ("arm,out\nx,1\ny,two\n", (), "holds String"),
        ("arm,out\nx,1\ny,\n", (), "is empty in 1 of 2 rows"),
        ("arm,out\nx,1\n,2\n", (), "column 'arm' is empty in 1 of 2 rows"),
        ("arm,out\nx,1\nx,2\n", (), "has 1 different values"),
        ("arm,out\nx,1\ny,2\n", ("--control", "z"), "there is no arm 'z'"),
        ("arm,out\nx,1\ny,2\n", ("--share", "x=1"), "shares are given of x"),
        ("arm,out\nx,1\ny,2\n", ("--share", "x=half"), "cannot be read"),
        ("arm,out\nx,1\ny,2\n", ("--correction", "none"), "there is no correction"),
        ("arm,out,u\nx,1,k\ny,2,k\n", ("--user", "u"), "1 users are in more than one arm, 'k'"),
        ("arm,out\n", (), "has no rows"),
        ("", (), "cannot be read"),
        ("arm,out\nx,1\ny,NaN\n", (), "holds NaN or infinity"),
    ],
)
def test_a_table_that_cannot_be_read_so_is_refused_in_words(tmp_path, content, options, message):
    path = tmp_path / "t.csv"
    path.write_text(content)
    chosen = ("--outcome", "out", *options) if "--outcome" not in options else options
    told = run("analyse", path, "--arm", "arm", "--output", tmp_path / "p.html", *chosen)
    assert "FAILED" in told
    assert message in told, told
    assert "name its columns with --arm and --outcome" in run("analyse", path)


def test_arms_are_read_from_the_command_line_and_bad_ones_named(shop):
    for arm in ("control", "control:half", "a:0.5:epsilon=much"):
        assert "cannot be read" in run("start", "x", "--arm", arm, "--arm", "b:0.5")
    told = run("start", "x", "--arm", "a:0.5", "--arm", "b:0.5")
    assert "nothing was promoted" in told
