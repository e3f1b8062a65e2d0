"""Effects by a trained network and by boosting on features, held against a simulated shop's truth.

``python -m tests.truth.uplift_heads --seeds 3`` prints the table of ``docs/interventions.md``. The
shop draws actions by chance, weekly for each customer; all learn from the same decisions and are
asked about later ones, whose true effects the world knows. Next: ``campaigns.py``.
"""

from __future__ import annotations

import argparse
from dataclasses import replace
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
from tests.truth.campaigns import EXPLORING, true_chances
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


def live(seed: int, shoppers: int) -> tuple[pl.DataFrame, pl.DataFrame, Calendar]:
    """Events and decisions of a shop, the latter with the true chance under each action."""
    world, rng = World(seed, shoppers, ITEMS), np.random.default_rng([seed, 5])
    frames = [world.run(WARM_UP)]
    ordered: dict[str, int] = {}
    made: list[pl.DataFrame] = []
    for day in range(WARM_UP, WARM_UP + LOG_DAYS + VALID_DAYS + TEST_DAYS):
        for user, at in frames[-1].filter(kind="purchase").select("user_id", "event_at").rows():
            ordered[user] = at // DAY
        now = world.now
        users = world.truth.users
        asked = [
            number for number in range(day % WEEK, len(users), WEEK)
            if ordered.get(users[number], -(10**6)) >= now // DAY - ACTIVE
        ]  # fmt: skip
        action = rng.choice(len(ACTIONS), size=len(asked), p=EXPLORING)
        true = true_chances(world)[asked]
        made.append(
            pl.DataFrame(
                {
                    "user_id": [users[number] for number in asked],
                    "asked_at": [now] * len(asked),
                    "action": [ACTIONS[one] for one in action],
                    "propensity": EXPLORING[action],
                    **{f"true@{name}": true[:, place] for place, name in enumerate(ACTIONS)},
                },
                schema_overrides={"user_id": pl.String, "action": pl.String},
            )
        )
        acts = dict(zip(made[-1]["user_id"], made[-1]["action"], strict=True))
        frames.append(world.step({user: act for user, act in acts.items() if act != "nothing"}))
    end = world.now
    calendar = Calendar(
        train_end=end - (VALID_DAYS + TEST_DAYS) * DAY, valid_end=end - TEST_DAYS * DAY,
        test_end=end, horizon_days=VALID_DAYS,
    )  # fmt: skip
    return pl.concat(frames), pl.concat(made), calendar


def measure(seed: int, shoppers: int, epochs: int, folder: Path) -> dict[str, dict[str, float]]:
    """How near each way of telling effects comes to the truth, by way and measure."""
    events, decisions, calendar = live(seed, shoppers)
    recipe = shops.recipe(seed, epochs)
    run = replace(recipe, tasks=TASKS, task_weights=(1.0, 1.0), task_shares=(0.5, 1.0))
    with scratch(Settings()) as shop:
        warehouse = Warehouse(shop.warehouse)
        ingest(warehouse, events, source="world", now=int(events["received_at"].max()) + DAY)
        publish.rollup(warehouse, shop)
        tasks = {"next_item": NextItem(), "uplift": Uplift(decisions)}
        dataset = Dataset(build(run, calendar, tasks, shop))
        fitted = shops.train(dataset, run, folder / str(seed))
        told = effects(fitted, dataset, run)
    rows = uplifts(dataset, "test")
    examples = dataset.examples("test")
    keys = pl.DataFrame({"user_id": examples.user[rows], "asked_at": examples.asked_at[rows]})
    columns = [f"true@{name}" for name in ACTIONS]
    true = keys.join(decisions, on=["user_id", "asked_at"], how="left").select(columns).to_numpy()
    true = over_nothing(true)
    told["the truth"] = true
    told["chance"] = np.random.default_rng(seed).random(true.shape) * [0, 1, 1]
    return {name: against(one, true) for name, one in told.items()}


def effects(fitted: shops.Fitted, dataset: Dataset, run: Run) -> dict[str, np.ndarray]:
    """What each action adds (n, A) to the chance of an order, by every way, for the test."""
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
    found = {"network's heads": over_nothing(told[:, : len(ACTIONS)])}
    plain = {
        split: np.asarray(dataset.examples(split).scalars, dtype=float)[uplifts(dataset, split)]
        for split in ("train", "test")
    }
    both = {split: np.column_stack([plain[split], vectors[split]]) for split in plain}
    for what, features in (("features", plain), ("user vectors", vectors), ("both", both)):
        log = log_of(dataset, features["train"])
        for learner, base in (("dr_learner", "linear"), ("dr_learner", "boosting"),
                              ("s_learner", "boosting")):  # fmt: skip
            rng = np.random.default_rng(run.seed)
            name = f"{learner}, {base}, {what}"
            found[name] = LEARNERS[learner](log, BASES[base], rng)(features["test"])
    return found


def uplifts(dataset: Dataset, split: str) -> np.ndarray:
    """Numbers of the decisions among the examples of `split`."""
    return np.flatnonzero(np.asarray(dataset.examples(split).task) == TASKS.index("uplift"))


def log_of(dataset: Dataset, features: np.ndarray) -> Log:
    """The decisions of training, as learners take them."""
    rows = uplifts(dataset, "train")
    label = np.asarray(dataset.examples("train").label, dtype=float)[rows][:, : len(ACTIONS)]
    action = np.argmax(~np.isnan(label), axis=1)
    outcome = label[np.arange(len(rows)), action]
    return Log(features, action, outcome, EXPLORING[action], ACTIONS)


def against(effects: np.ndarray, true: np.ndarray) -> dict[str, float]:
    """How near `effects` (n, A) are to the `true` ones (n, A), both above doing nothing.

    Rank correlation of the coupon's, its root mean squared error, and orders gained for each 1,000
    decisions by treating the `SHARE` with the greatest effects above 0.
    """
    error = np.sqrt(np.mean((effects[:, 2] - true[:, 2]) ** 2))
    chosen = best_actions(effects, SHARE)
    return {
        "rank": shops.rank_correlation(effects[:, 2], true[:, 2]),
        "error": float(error),
        "orders": 1_000 * float(true[np.arange(len(true)), chosen].mean()),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--shoppers", type=int, default=SHOPPERS)
    parser.add_argument("--epochs", type=int, default=4)
    asked = parser.parse_args()
    found = []
    with TemporaryDirectory() as folder:
        for seed in range(1, asked.seeds + 1):
            found.append(measure(seed, asked.shoppers, asked.epochs, Path(folder)))
            print(seed, found[-1], flush=True)
    for name, measures in found[0].items():
        columns = {key: [one[name][key] for one in found] for key in measures}
        print(f"{name:36s}", *(f"{np.mean(c):8.4f} ± {np.std(c):.4f}" for c in columns.values()))


if __name__ == "__main__":
    main()
