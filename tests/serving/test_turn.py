"""Policies from a shop's own log: learnt, judged, promoted or refused, tried, and held to account.

The shop is simulated, lets chance decide for eight weeks and is read by the real commands.
"""

from __future__ import annotations

import copy
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from feature_repo.experiments import Arm, Experiment
from feature_repo.exposures import Experiments
from feature_repo.ledger import Campaign, Decision, Ledger
from feature_repo.settings import DAY, Settings, SystemClock
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from serving.settings import Promotion
from tests.conftest import copy_home, run, shop_env
from training.bundle import Bundle

SHOPPERS, PAST, LIVED, ACTIONS = 1_000, 100, 63, ("nothing", "coupon")


def decided(world: World, user: str, action: str, chance: float, policy: str, **more) -> Decision:
    told = f"{user} {world.day} {policy} {more}"
    return Decision(
        decision_id=hashlib.sha256(told.encode()).hexdigest()[:32],
        kind="decide",
        user_id=user,
        decided_at=world.now + DAY // 6,
        model_version="m",
        feature_version="f",
        policy=policy,
        action=action,
        probabilities={"nothing": 1 - chance, "coupon": chance},
        scores={"leave_90d": 0.3, "purchase_30d": 0.3},
        campaign_id="default",
        **more,
    )


def live(world: World, ledger: Ledger, days: int, policy: str, arms=None) -> pl.DataFrame:
    """Days in which a seventh of the shoppers is decided about each morning, by chance."""
    frames, rng = [], np.random.default_rng(5)
    for _ in range(days):
        users = [f"shopper-{n:05d}" for n in range(world.day % 7, SHOPPERS, 7)]
        made = []
        for user in users:
            action = ACTIONS[int(rng.random() < 0.5)]
            made.append(decided(world, user, action, 0.5, policy, **(arms(user) if arms else {})))
        ledger.absorb(made)
        frames.append(world.step({d.user_id: str(d.action) for d in made}))
    return pl.concat(frames)


def keep(warehouse: Warehouse, events: pl.DataFrame, settings: Settings, now: int) -> None:
    from feature_repo import publish
    from feature_repo.ingest import ingest

    ingest(warehouse, events, source="world", now=now)
    publish.rollup(warehouse, settings)


@pytest.fixture(scope="module")
def lived(tmp_path_factory) -> tuple[Path, World]:
    """The home of a shop after weeks of chance, and its world."""
    home = tmp_path_factory.mktemp("lived") / "home"
    home.mkdir()
    settings = Settings(home=home)
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    ledger = Ledger(warehouse)
    campaign = {"cap_num": 1, "cap_days": 6.0, "cost_micros": {"coupon": 1_000_000}}
    budget = {"daily_budget_micros": 30_000_000}
    ledger.upsert_campaign(Campaign(campaign_id="default", **budget, **campaign))
    world = World(seed=3, num_shoppers=SHOPPERS, num_items=60)
    past = world.run(PAST)
    lately = live(world, ledger, LIVED, "threshold:p0")
    keep(warehouse, pl.concat([past, lately]), settings, world.now)
    run("feast", "apply", env=shop_env(home))
    with pytest.MonkeyPatch.context() as patch:
        addressed(patch, home)
        SystemClock(home).move_to(world.now)
        learn("uplift_budget", "--window-days", "7")
    return home, world


def addressed(patch: pytest.MonkeyPatch, home: Path) -> None:
    for name, value in shop_env(home).items():
        if name.startswith(("NUDGE_", "FEAST_")):
            patch.setenv(name, value)


@pytest.fixture
def shop(lived, store, tmp_path, model, monkeypatch) -> Settings:
    """A copy of it that serves the hand-made model and a threshold."""
    from serving.promote import promote

    home = tmp_path / "home"
    copy_home(lived[0], home)
    addressed(monkeypatch, home)
    settings = Settings(home=home)
    promote(str(model.folder), settings, now=SystemClock(home).now(), policy={"epsilon": 0.5})
    return settings


def told(app, *words: str, code: int = 0) -> str:
    done = CliRunner().invoke(app, list(words), env={"COLUMNS": "400"})
    assert done.exit_code == code, done.output
    return " ".join(done.output.replace("│", " ").split())


def serving(*words: str, code: int = 0) -> str:
    from serving.__main__ import app

    return told(app, *words, code=code)


def learn(*words: str, code: int = 0) -> str:
    from training.__main__ import app

    return told(app, "policy", *words, code=code)


def test_a_policy_is_learnt_judged_promoted_and_rolled_back(shop):
    bundle = Bundle.load(next(shop.home.glob("policies/uplift_budget-*")))
    assert bundle.manifest["lineage"]["window_days"] == 7
    assert bundle.manifest["metrics"]["num_rows"] > 500
    card = (bundle.folder / "card.md").read_text()
    assert "5 siblings, each learnt without a part of the shoppers" in card
    first = Promotion.read(shop.home)
    said = serving("promote", "uplift_budget")
    assert "by the log it leads the served policy by" in said
    kept = Promotion.read(shop.home)
    assert (kept.model, kept.policy) == (first.model, f"nudge-policy:{bundle.version}")
    assert kept.judged["lead_value"] > 0
    assert not kept.forced
    assert "too early" in serving("promotions")
    serving("rollback")
    assert Promotion.read(shop.home).policy == first.policy


@pytest.mark.parametrize("name", ["bandit", "fitted_q"])
def test_other_policies_are_learnt_from_the_same_log(shop, name):
    from serving.settings import ServingSettings
    from serving.start import find_bundles, policy_of
    from training.policies import Context

    said = learn(name, "--inputs", "recency_days_purchase,num_orders,leave_90d")
    assert "each judged by what did not learn from its shopper" in said
    serving("promote", name, "--force", "to see it serve")
    policy = policy_of(find_bundles(shop, ServingSettings())[1])
    assert policy.name == name
    asked = {one: np.array([0.5]) for one in policy.needs}
    assert policy.probabilities(asked, Context()).sum() == pytest.approx(1)


def test_a_policy_that_the_log_speaks_against_needs_force_which_is_kept(shop, tmp_path):
    from serving.promote import save_policy
    from training.policies import Threshold

    never = Threshold(coupon_threshold=1.0, reminder_threshold=1.0, epsilon=0.0)
    folder = str(save_policy(tmp_path / "never", never, now=0).folder)
    before = Promotion.read(shop.home)
    refused = serving("promote", folder, code=2)
    assert "is not promoted: it may earn" in refused
    assert "--force REASON" in refused
    assert Promotion.read(shop.home) == before
    assert "promoted by force: peace" in serving("promote", folder, "--force", "peace")
    assert Promotion.read(shop.home).forced == "peace"
    assert Promotion.read(shop.home).judged["lead_value"] < 0


def test_a_policy_that_the_served_model_cannot_feed_is_refused_even_by_force(shop, tmp_path):
    from serving.promote import save_policy
    from training.policies import Budgeted, Threshold

    unfed = save_policy(tmp_path / "unfed", Threshold(score="moon"), now=0).folder
    assert "reads moon, which model hand" in serving("promote", str(unfed), "--force", "x", code=2)
    other = Budgeted(actions=ACTIONS, outcome="purchase_30d", draws={"spring": {"coupon": 1.0}})
    spring = save_policy(tmp_path / "spring", other, now=0).folder
    assert "reads purchase_30d@nothing" in serving("promote", str(spring), code=2)


def test_a_new_model_keeps_the_learnt_policy(shop, model):
    serving("promote", "uplift_budget")
    kept = Promotion.read(shop.home)
    serving("promote", str(model.folder))
    assert Promotion.read(shop.home).policy == kept.policy
    assert "is served" in serving("promote", str(model.folder), "--policy", "epsilon=0.1", code=2)
    serving("promote", str(model.folder), "--force", "back to the floor")
    assert Promotion.read(shop.home).policy != kept.policy


def test_a_policy_without_a_log_is_not_learnt(shop):
    assert "none with a choice" in learn("bandit", "--as-of", "2000-01-01", code=1)
    assert "no policy 'moon' learns from a log" in learn("moon", code=1)
    assert "bandit needs the inputs ['moon']" in learn("bandit", "--inputs", "moon", code=1)
    assert "no policy 'bandit' was learnt" in serving("promote", "bandit", code=2)


def test_turns_learn_try_and_promote_what_wins_and_estimates_are_held_to_account(shop, lived):
    asks = ("turn", "--metric", "purchase", "--planned", "1000")
    said = serving(*asks)
    assert "started turn-uplift_budget-" in said
    assert "waiting for turn-uplift_budget-" in serving("turn"), "twice does no harm"
    warehouse = Warehouse(shop.warehouse)
    (kept,) = Experiments(warehouse).running()
    name, tag = kept.experiment.name, kept.experiment.arms[1].policy
    world = copy.deepcopy(lived[1])
    lately = experiment_days(world, Ledger(warehouse), name, days=21)
    keep(warehouse, lately, shop, world.now)
    clock = SystemClock(shop.home)
    clock.move_to(world.now)
    said = serving("turn")
    assert f"{tag}; restart the service" in said
    assert "won: candidate raises share of shoppers who buy" in said
    assert Promotion.read(shop.home).policy == tag
    assert not Experiments(warehouse).running()
    assert "the last experiment ended 0.0 days ago" in serving("turn")
    lately = live(world, Ledger(warehouse), 14, tag)
    keep(warehouse, lately, shop, world.now)
    clock.move_to(world.now)
    assert "as told" in serving("promotions")


def experiment_days(
    world: World, ledger: Ledger, *names: str, days: int, wins: bool = True
) -> pl.DataFrame:
    """Days in which one half gets what the truth says is best, the other what is worst."""
    frames = []
    for _ in range(days):
        made = []
        for number in range(world.day % 7, SHOPPERS, 7):
            user = f"shopper-{number:05d}"
            is_treated = number % 2 == 1
            coupon_for = "persuadable" if is_treated is wins else "sleeping dog"
            action = ACTIONS[int(world.truth.uplift_class[number] == coupon_for)]
            arms = dict.fromkeys(names, "candidate" if is_treated else "served")
            made.append(decided(world, user, action, 0.5, "in a trial", arms=arms))
        ledger.absorb(made)
        frames.append(world.step({d.user_id: str(d.action) for d in made}))
    return pl.concat(frames)


def begun(shop: Settings, folder: Path, name: str, **more) -> str:
    """The tag of the policy that a running experiment, as a turn begins it, tries."""
    from serving.promote import save_policy, store
    from training.policies import Threshold

    tag = store(save_policy(folder / name, Threshold(epsilon=0.3), now=0))
    arms = (Arm(name="served", share=0.5), Arm(name="candidate", share=0.5, policy=tag))
    asked = Experiment(name=name, arms=arms, metrics=("purchase",), planned_num=1_000, **more)
    Experiments(Warehouse(shop.warehouse)).start(asked, SystemClock(shop.home).now())
    return tag


def test_a_turn_stops_what_crosses_a_guardrail_and_what_loses(shop, lived, tmp_path):
    begun(shop, tmp_path, "turn-harmful", traffic=0.5, guardrails=("purchase>-0.01",))
    tag = begun(shop, tmp_path, "turn-losing", traffic=0.5)
    world, warehouse = copy.deepcopy(lived[1]), Warehouse(shop.warehouse)
    names = ("turn-harmful", "turn-losing")
    lately = experiment_days(world, Ledger(warehouse), *names, days=21, wins=False)
    keep(warehouse, lately, shop, world.now)
    SystemClock(shop.home).move_to(world.now)
    serving("turn")
    stopped = {name: Experiments(warehouse).get(name).stop_reason for name in names}
    assert "Guardrail purchase>-0.01 is crossed by candidate" in stopped["turn-harmful"]
    assert "lost: candidate lowers share of shoppers who buy" in stopped["turn-losing"]
    assert Promotion.read(shop.home).policy != tag


def test_a_turn_ends_what_a_kill_left_running_after_the_promotion(shop, tmp_path):
    serving("promote", begun(shop, tmp_path, "turn-1"), "--force", "as a turn that was killed")
    assert "its candidate is promoted" in serving("turn")


def test_a_turn_ends_an_experiment_that_tells_nothing(shop, lived, tmp_path):
    begun(shop, tmp_path, "turn-1")
    SystemClock(shop.home).move_to(lived[1].now + 50 * DAY)
    assert "told nothing in 50 days" in serving("turn")


def test_only_one_turn_runs_at_a_time(shop):
    from training.folders import alone

    with alone(shop.home / "turn.lock", wait_s=0, otherwise=""):
        assert "another turn is running" in serving("turn", code=2)
