"""Effects by a trained network and by boosting on features, held against a simulated shop's truth.

``python -m tests.truth.uplift_heads --seeds 3`` prints the tables of ``docs/interventions.md``. The
shop draws actions by chance, weekly for each customer; all learn from the same decisions and are
asked about later ones, whose true effects on visit, purchase, profit and leaving the world knows.
First read ``true_effects.py``. Next: ``campaigns.py``.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
import torch

from feature_repo import publish
from feature_repo.ingest import ingest
from feature_repo.scratch import scratch
from feature_repo.settings import DAY, Settings
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from feature_repo.world.shoppers import ACTIONS
from tests.truth import shops
from tests.truth.campaigns import EXPLORING
from tests.truth.true_effects import profit, truth_of
from training.calibrate import predict
from training.datasets.batches import Dataset
from training.datasets.rows import build
from training.effects import LEARNERS, Log
from training.effects.base import BASES
from training.effects.log import over_nothing
from training.effects.targeting import best_actions
from training.run import Calendar, Run
from training.tasks import NextItem, Uplift

SHOPPERS, ITEMS, WARM_UP, LOG_DAYS, VALID_DAYS, TEST_DAYS = 1_200, 100, 240, 140, 30, 30
ACTIVE, WEEK, SHARE = 150, 7, 0.2
TASKS = ("next_item", "uplift")
HEADS = Uplift().heads
HEAD = {
    "purchase": "purchase_7d",
    "visit": "visit_7d",
    "profit": "spend_7d",
    "leaving": "leave_28d",
}
"""Each outcome's head: profit is counted from what is spent."""
SIGN = {"purchase": 1, "visit": 1, "profit": 1, "leaving": -1}
MEASURES = {"rank correlation": 2, "error": 3, "gained": 0}
"""With the digits they are shown with."""
LEARNT = (("dr_learner", "linear"), ("dr_learner", "boosting"), ("s_learner", "boosting"))
KEYS = {"user_id": pl.String}
Table = dict[str, dict[str, dict[str, float]]]
"""By outcome, by way of telling effects, by measure."""


@dataclass(frozen=True, slots=True)
class Lived:
    """A shop that acted by chance: all that learning may see, and what is true of the end."""

    events: pl.DataFrame
    decisions: pl.DataFrame
    calendar: Calendar
    true: pl.DataFrame
    """Of the test's decisions: ``user_id``, ``asked_at`` and OUTCOME@ACTION, as the heads."""


def live(seed: int, shoppers: int, twins: int) -> Lived:
    """Events and decisions of a shop; `twins` of each shopper tell what is spent."""
    world, rng = World(seed, shoppers, ITEMS), np.random.default_rng([seed, 5])
    frames = [world.run(WARM_UP)]
    ordered: dict[str, int] = {}
    made, true = [], []
    for ahead in range(LOG_DAYS + VALID_DAYS + TEST_DAYS):
        for user, at in frames[-1].filter(kind="purchase").select("user_id", "event_at").rows():
            ordered[user] = at // DAY
        today, users = world.now // DAY, world.truth.users
        asked_days = np.array([ordered.get(user, -(10**6)) + ACTIVE - today for user in users])
        mine = np.arange(len(users)) % WEEK == (WARM_UP + ahead) % WEEK
        asked = np.flatnonzero(mine & (asked_days >= 0))
        action = rng.choice(len(ACTIONS), size=len(asked), p=EXPLORING)
        keys = {"user_id": [users[one] for one in asked], "asked_at": [world.now] * len(asked)}
        if ahead >= LOG_DAYS + VALID_DAYS:
            told = truth_of(world, asked, EXPLORING, asked_days, twins)
            true.append(pl.DataFrame(keys | told, schema_overrides=KEYS))
        acts = [ACTIONS[one] for one in action]
        drawn = keys | {"action": acts, "propensity": EXPLORING[action]}
        made.append(pl.DataFrame(drawn, schema_overrides=KEYS | {"action": pl.String}))
        pairs = zip(keys["user_id"], acts, strict=True)
        frames.append(world.step({user: act for user, act in pairs if act != "nothing"}))
    end = world.now
    calendar = Calendar(
        train_end=end - (VALID_DAYS + TEST_DAYS) * DAY, valid_end=end - TEST_DAYS * DAY,
        test_end=end, horizon_days=VALID_DAYS,
    )  # fmt: skip
    return Lived(pl.concat(frames), pl.concat(made), calendar, pl.concat(true))


Found = dict[str, dict[str, np.ndarray]]
"""By outcome, by way of telling: effects (n, A)."""


def measure(seed: int, shoppers: int, epochs: int, twins: int, folder: Path) -> Table:
    """How near each way of telling effects comes to the truth."""
    lived = live(seed, shoppers, twins)
    recipe = shops.recipe(seed, epochs)
    run = replace(recipe, tasks=TASKS, task_weights=(1.0, 1.0), task_shares=(0.5, 1.0))
    with scratch(Settings()) as shop:
        warehouse = Warehouse(shop.warehouse)
        now = int(lived.events["received_at"].max()) + DAY
        ingest(warehouse, lived.events, source="world", now=now)
        publish.rollup(warehouse, shop)
        tasks = {"next_item": NextItem(), "uplift": Uplift(lived.decisions)}
        dataset = Dataset(build(run, lived.calendar, tasks, shop))
        fitted = shops.train(dataset, run, folder / str(seed))
        told = effects(fitted, dataset, run)
    rows = uplifts(dataset, "test")
    examples = dataset.examples("test")
    keys = pl.DataFrame({"user_id": examples.user[rows], "asked_at": examples.asked_at[rows]})
    true = keys.join(lived.true, on=["user_id", "asked_at"], how="left").select(HEADS).to_numpy()
    table = {}
    for outcome, by_way in told.items():
        known = over_nothing(answers(outcome, true))
        by_way["chance"] = np.random.default_rng(seed).random(known.shape) * [0, 1, 1]
        by_way["the truth"] = known
        table[outcome] = {way: against(one, known, SIGN[outcome]) for way, one in by_way.items()}
    return table


def answers(outcome: str, told: np.ndarray) -> np.ndarray:
    """`outcome` (n, A) under each action, from what is `told` (n, heads) in the order of `HEADS`.

    Profit comes from spend.
    """
    first = HEADS.index(f"{HEAD[outcome]}@{ACTIONS[0]}")
    under = told[:, first : first + len(ACTIONS)]
    return profit(under) if outcome == "profit" else under


def effects(fitted: shops.Fitted, dataset: Dataset, run: Run) -> Found:
    """What each action adds, by every way, for the test."""
    network, seen = fitted.network, []
    network.user.heads["uplift"].register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    vectors, logits = {}, {}
    for split in ("train", "test"):
        rows = uplifts(dataset, split)
        width = network.user.readout[-1].out_features
        vectors[split] = np.zeros((len(dataset.examples(split)), width))
        logits[split] = np.zeros(dataset.examples(split).label.shape)
        for asked, output in predict(network, dataset, split):
            vectors[split][asked] = seen.pop()[:, :width].numpy()
            logits[split][asked] = output.logit_BH.numpy()
        vectors[split], logits[split] = vectors[split][rows], logits[split][rows]
    with torch.no_grad():
        told = network.probabilities(torch.as_tensor(logits["test"], dtype=torch.float32)).numpy()
    plain = {
        split: np.asarray(dataset.examples(split).scalars, dtype=float)[uplifts(dataset, split)]
        for split in ("train", "test")
    }
    found: Found = {}
    for outcome in HEAD:
        found[outcome] = {"network's heads": over_nothing(answers(outcome, told))}
        for what, features in (("features", plain), ("user vectors", vectors)):
            log = log_of(dataset, outcome, features["train"])
            for learner, base in LEARNT:
                rng = np.random.default_rng(run.seed)
                name = f"{learner}, {base}, {what}"
                found[outcome][name] = LEARNERS[learner](log, BASES[base], rng)(features["test"])
    return found


def uplifts(dataset: Dataset, split: str) -> np.ndarray:
    """Numbers of the decisions among the examples of `split`."""
    return np.flatnonzero(np.asarray(dataset.examples(split).task) == TASKS.index("uplift"))


def log_of(dataset: Dataset, outcome: str, features: np.ndarray) -> Log:
    """The decisions of training whose `outcome` is known, as learners take them."""
    rows = uplifts(dataset, "train")
    label = answers(outcome, np.asarray(dataset.examples("train").label, dtype=float)[rows])
    known = ~np.isnan(label).all(axis=1)
    features, label = features[known], label[known]
    action = np.argmax(~np.isnan(label), axis=1)
    came = label[np.arange(len(label)), action]
    return Log(features, action, came, EXPLORING[action], ACTIONS)


def against(effects: np.ndarray, true: np.ndarray, sign: int) -> dict[str, float]:
    """How near `effects` (n, A) are to the `true` ones (n, A), both above doing nothing.

    Rank correlation of the coupon's, its root mean squared error, and what is gained for each 1,000
    decisions by treating the `SHARE` with the greatest effects above 0, times `sign`. Effects that
    are the same for everybody rank nobody: 0.
    """
    rank = shops.rank_correlation(effects[:, 2], true[:, 2]) if np.ptp(effects[:, 2]) else 0.0
    error = np.sqrt(np.mean((effects[:, 2] - true[:, 2]) ** 2))
    chosen = best_actions(sign * effects, SHARE)
    return {
        "rank correlation": rank,
        "error": float(error),
        "gained": 1_000 * float(sign * true[np.arange(len(true)), chosen].mean()),
    }


def show(tables: list[Table]) -> None:
    """For each measure a table of ways and outcomes: the mean of the seeds, and each."""
    outcomes, ways = list(SIGN), list(tables[0]["purchase"])
    for measure, digits in MEASURES.items():
        print(
            f"\n| {measure}: effects by | {' | '.join(outcomes)} |\n|---{'|---' * len(outcomes)}|"
        )
        for way in ways:
            cells = []
            for outcome in outcomes:
                each = [table[outcome][way][measure] for table in tables]
                mean, *seeds = (
                    f"{round(one, digits) + 0.0:.{digits}f}"
                    for one in (float(np.mean(each)), *each)
                )
                cells.append(f"{mean} ({', '.join(seeds)})")
            print(f"| {way} | {' | '.join(cells)} |")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shoppers", type=int, default=SHOPPERS)
    parser.add_argument("--epochs", type=int, default=4)
    parser.add_argument("--twins", type=int, default=200)
    asked = parser.parse_args()
    tables = []
    with TemporaryDirectory() as folder:
        for seed in range(1, asked.seeds + 1):
            tables.append(measure(seed, asked.shoppers, asked.epochs, asked.twins, Path(folder)))
            print(seed, flush=True)
    show(tables)


if __name__ == "__main__":
    main()
