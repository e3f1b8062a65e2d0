"""Experiments in the simulated shop, whose true effects are known, by the path that a shop takes.

Shoppers are dealt by hashing, exposed on the morning after a visit, treated by the world, measured
by ``outcomes`` and looked at every day.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

from feature_repo.experiments import Arm, Experiment, Kept
from feature_repo.exposures import COST_SCHEMA
from feature_repo.settings import DAY
from feature_repo.world import World
from serving.experiments.analysis import Setup, find
from serving.experiments.assignment import arm_of
from serving.experiments.outcomes import outcomes
from serving.experiments.questions import metric_of
from serving.experiments.shop import setup_of
from tests.truth.peeking import ALPHA, Told
from training.metrics.experiment import sample_ratio

WARM_UP, DAYS, WINDOW = 40, 14, 7


def experiment(name: str, metric: str) -> Experiment:
    arms = (Arm(name="control", share=0.5, policy="nothing"), Arm(name="coupon", share=0.5))
    return Experiment(name=name, arms=arms, metrics=(metric,), planned_num=1_500)


@dataclass
class Played:
    """A shop in which an experiment ran."""

    exposed: pl.DataFrame
    events: pl.DataFrame
    truth: np.ndarray
    """True effect of a coupon on buying within the window, of each exposed shopper."""
    ended_at: int


def play(seed: int, name: str | None, num_shoppers: int = 2_000) -> Played:
    """Coupons for the treated arm of experiment `name`; None exposes everyone and treats nobody."""
    world = World(seed=seed, num_shoppers=num_shoppers, num_items=60)
    days = [world.run(WARM_UP)]
    made = experiment(name or "none", "purchase")
    kept = Kept(experiment=made, position=0.0, started_at=world.now)
    exposed: dict[str, tuple[str, int]] = {}
    truth: list[float] = []
    for _ in range(DAYS):
        came = sorted(set(days[-1].filter(pl.col("event_at") >= world.now - DAY)["user_id"]))
        actions = {}
        gain = world.truth.conversion_probability("coupon", WINDOW)
        gain = gain - world.truth.conversion_probability("nothing", WINDOW)
        for user in came:
            if user in exposed:
                continue
            arm = arm_of(kept, user, world.now).name
            exposed[user] = (arm, world.now)
            truth.append(float(gain[int(user.rpartition("-")[2])]))
            actions[user] = "coupon" if name and arm == "coupon" else "nothing"
        days.append(world.step(actions))
    days.append(world.run(WINDOW))
    rows = [(user, arm, at) for user, (arm, at) in exposed.items()]
    frame = pl.DataFrame(rows, schema=["user_id", "arm", "exposed_at"], orient="row")
    return Played(frame, pl.concat(days), np.array(truth), world.now)


def measured(played: Played, name: str, metric: str) -> tuple[pl.DataFrame, Setup]:
    made = experiment(name, metric)
    table = outcomes(
        played.exposed, played.events, pl.DataFrame(schema=COST_SCHEMA), made, played.ended_at
    )
    return table, setup_of(made)


def daily(table: pl.DataFrame, setup: Setup):
    """The finding of each day, once there are enough shoppers."""
    for end in np.cumsum(table.group_by("exposed_at").len().sort("exposed_at")["len"]):
        finding = find(table.head(int(end)), setup.metrics[0], setup)[0]
        if finding.is_enough:
            yield int(end), finding


def equal_arms(num_runs: int, metric: str, seed: int = 1) -> tuple[Told, int]:
    """One shop without treatment, dealt anew by `num_runs` names; how often an effect is told."""
    played = play(seed, None)
    table, setup = measured(played, "none", metric)
    users, mismatched = [], 0
    for run in range(num_runs):
        kept = Kept(experiment=experiment(f"equal {run}", metric), position=0.0, started_at=0)
        dealt = [arm_of(kept, user, 1).name for user in table["user_id"]]
        again = table.with_columns(arm=pl.Series(dealt))
        first = next((end for end, finding in daily(again, setup) if finding.is_told), None)
        users += [first] if first else []
        counts = [dealt.count(arm) for arm in setup.arms]
        mismatched += sample_ratio.p_value(counts, setup.shares) < sample_ratio.ALARM
    return Told(len(users), num_runs, users), mismatched


def test_dealing_a_shop_anew_tells_no_effect_where_there_is_none():
    told, mismatched = equal_arms(40, "spend")
    assert told.interval[0] <= ALPHA
    assert mismatched == 0


@pytest.mark.long
@pytest.mark.parametrize("metric", ["purchase", "spend", "order_value"])
def test_a_thousand_deals_of_one_shop_looked_at_daily(metric):
    told, mismatched = equal_arms(1_000, metric)
    print(f"\n{metric}, one shop dealt 1,000 times: {told}; sample ratio told {mismatched} times")
    assert told.rate <= ALPHA
    assert mismatched <= 5


@pytest.mark.long
def test_true_effects_stay_within_the_interval_on_every_day():
    covered, told, days, errors, cuts = 0, 0, [], [], []
    for seed in range(1, 41):
        played = play(seed, f"coupons {seed}")
        table, setup = measured(played, f"coupons {seed}", "purchase")
        assert metric_of("purchase") == setup.metrics[0]
        found = list(daily(table, setup))
        inside = [
            finding.interval[0] <= played.truth[:end].mean() <= finding.interval[1]
            for end, finding in found
        ]
        covered += all(inside)
        hits = [place for place, (_, finding) in enumerate(found) if finding.is_told]
        told += bool(hits)
        days += [DAYS - len(found) + hits[0] + 1] if hits else []
        errors.append(found[-1][1].effect.value - played.truth.mean())
        spend = find(table, metric_of("spend"), setup)[0]
        cuts.append(spend.variance_cut)
    print(
        f"\n40 shops: truth inside on every day in {covered}, effect told in {told}, on day "
        f"{np.mean(days):.1f} of {DAYS} on average; mean error {np.mean(errors):+.4f} "
        f"± {np.std(errors) / np.sqrt(40):.4f}; CUPED takes {np.mean(cuts):.0%} of spend's noise"
    )
    assert covered >= 36
    assert abs(np.mean(errors)) < 3 * np.std(errors) / np.sqrt(40)
