"""Simulated shops with a dataset, what their truth says of it, and networks trained on parts of it.

Everything goes the real way: warehouse, rollup, Feast's point-in-time rows, the dataset folder, the
training loop, calibration on validation, and the evaluation's own way to ask.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import polars as pl

from feature_repo import publish
from feature_repo.ingest import ingest
from feature_repo.settings import DAY, Settings
from feature_repo.warehouse import Warehouse
from feature_repo.world import World
from training.calibrate import calibrate, predict
from training.datasets.batches import Dataset
from training.datasets.rows import Reads, build
from training.evaluate.answers import ALL_ITEMS, MODEL, Answers, ask, fit_floors
from training.floors import ProbabilityFloor, RankingFloor
from training.loop import Training
from training.metrics.calibration import platt
from training.network import Network, load_state
from training.recipes import shopper
from training.run import Calendar, Run
from training.tasks import TASKS
from training.track import PlainRuntime

HEADS = ("leave_90d", "purchase_30d")
HORIZON = 90
ORACLE = "oracle"


@dataclass(frozen=True)
class Truth:
    """What the simulated shop knew at the moments of the dataset's test."""

    wants: Mapping[tuple[str, int], np.ndarray]
    """(user, UTC day) of each order to the chance of each item, in the world's order of items."""
    items: Sequence[str]
    chances: Mapping[str, Mapping[str, tuple[float, float]]]
    """By what is known ("everything", "events"), by user: the heads' true probabilities."""

    def heads(self, dataset: Dataset, knowing: str) -> np.ndarray:
        """True probabilities (n, 2) of the test's snapshots."""
        rows = snapshots(dataset, "test")
        users = dataset.examples("test").user[rows]
        return np.array([self.chances[knowing][user] for user in users])


@dataclass(frozen=True)
class Oracle(RankingFloor):
    """Ranks by the chances from which the shop itself draws the order's first item."""

    truth: Truth

    def fit(self, dataset: Dataset) -> None:
        """Nothing to learn."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Log chance (m, I); -inf for items that did not exist when the week began."""
        found = dataset.examples(split)
        number = {item: place for place, item in enumerate(self.truth.items)}
        place = np.array([number.get(item, -1) for item in dataset.item_ids])
        scores = np.full((len(rows), len(place)), -np.inf)
        for row, example in enumerate(rows):
            chance = self.truth.wants[str(found.user[example]), int(found.asked_at[example]) // DAY]
            held = (place >= 0) & (place < len(chance))
            scores[row, held] = np.log(chance[place[held]])
            scores[row, ~dataset.items(int(found.week[example])).exists_I] = -np.inf
        return scores


def live(seed: int, shoppers: int, items: int, days: int) -> tuple[pl.DataFrame, Truth]:
    """The events of a simulated shop, and its truth about the last `HORIZON` days."""
    world = World(seed=seed, num_shoppers=shoppers, num_items=items)
    frames, wants, chances = [], {}, {}
    test_day = days - 1 - HORIZON
    for day in range(days):
        if day == test_day:
            truth = world.truth
            for knowing in ("everything", "events"):
                leave = 1.0 - truth.purchase_probability(HORIZON, knowing)
                soon = truth.purchase_probability(HORIZON // 3, knowing)
                pairs = zip(leave.tolist(), soon.tolist(), strict=True)
                chances[knowing] = dict(zip(truth.users, pairs, strict=True))
        before = world.truth.choice_probabilities() if day >= test_day else None
        users = world.truth.users
        today, at = world.now // DAY, world.step()
        frames.append(at)
        if before is not None:
            bought = set(at.filter(kind="purchase")["user_id"])
            wants |= {(u, today): before[row] for row, u in enumerate(users) if u in bought}
    return pl.concat(frames), Truth(wants, world.truth.items, chances)


def dataset_of(
    events: pl.DataFrame, shop: Settings, run: Run, reads: Reads | None = None
) -> Dataset:
    """The dataset folder of `run` on `events`, in the empty shop of `shop`."""
    warehouse = Warehouse(shop.warehouse)
    now = int(events["received_at"].max()) + DAY
    ingest(warehouse, events, source="world", now=now)
    publish.rollup(warehouse, shop)
    calendar = Calendar.from_span(*warehouse.span(), HORIZON)
    tasks = {name: TASKS[name] for name in run.tasks}
    return Dataset(build(run, calendar, tasks, shop, reads))


class PartTraining(Training):
    """Training on the examples of some shoppers alone."""

    users: frozenset[str] | None = None

    def _drawn(self, epoch: int) -> np.ndarray:
        drawn = super()._drawn(epoch)
        if self.users is None:
            return drawn
        mine = np.isin(self.dataset.examples("train").user, sorted(self.users))
        return drawn[mine[drawn]]


@dataclass
class Fitted:
    """A trained, calibrated network as the evaluation asks it."""

    network: Network
    dataset: Dataset
    thresholds: dict[str, float] = field(default_factory=dict)

    def answers(self, split: str, rows: np.ndarray):
        """See ``training.evaluate.answers.Model``."""
        for asked, output in predict(self.network, self.dataset, split):
            kept = np.isin(asked, rows)
            chances = self.network.probabilities(output.logit_BH).numpy()
            yield asked[kept], output.score_BI[kept].numpy(), chances[kept]


def train(
    dataset: Dataset,
    run: Run,
    out: Path,
    users: Sequence[str] | None = None,
) -> Fitted:
    """Train `run` on the examples of `users` (None: of all) and calibrate it on validation."""
    training = PartTraining(run, dataset, out, PlainRuntime(out / "checkpoint"))
    training.users = None if users is None else frozenset(users)
    training.go()
    network = Network(run, dataset.meta)
    load_state(network, training.best)
    calibrate(network, dataset)
    return Fitted(network.eval(), dataset)


def recipe(seed: int, epochs: int = 4) -> Run:
    """The ``shopper`` recipe's tasks of known truth: smallest network, whole history."""
    two = {"tasks": ("next_item", "retention"), "task_weights": (1.0, 1.0)}
    run = replace(shopper("tiny"), task_shares=(1.0, 0.3), **two)
    model = replace(run.model, max_history=200)
    optim = replace(run.optim, num_epochs=epochs)
    return replace(run, seed=seed, model=model, optim=optim)


def ask_all(model: Fitted, truth: Truth | None = None) -> Answers:
    """What the model, all floors and the oracle say of the test."""
    floors: dict[str, RankingFloor | ProbabilityFloor] = fit_floors(model.dataset)
    if truth is not None:
        floors[ORACLE] = Oracle(truth)
    return ask(model.dataset, "test", model, floors)


def ranking(said: Answers, metric: str) -> dict[str, np.ndarray]:
    """`metric` of each order (n,), seen items included, by source."""
    return {source: found.values[ALL_ITEMS][metric] for source, found in said.ranked.items()}


def heads(model: Fitted, said: Answers) -> dict[str, np.ndarray]:
    """Probabilities (n, 2) of the test's snapshots by source, floors calibrated as the model is."""
    assert TASKS["retention"].heads[: len(HEADS)] == HEADS
    dataset, found = model.dataset, {MODEL: said.probability[MODEL][:, : len(HEADS)]}
    rows = snapshots(dataset, "valid")
    labels = np.asarray(dataset.examples("valid").label[rows], dtype=float)
    for name, floor in fit_floors(dataset).items():
        if isinstance(floor, ProbabilityFloor) and not isinstance(floor, RankingFloor):
            valid = floor.probabilities(dataset, "valid", rows)
            test = said.probability[name]
            columns = []
            for head in range(len(HEADS)):
                slope, shift = platt(logit(valid[:, head]), labels[:, head])
                columns.append(sigmoid(slope * logit(test[:, head]) + shift))
            found[name] = np.stack(columns, axis=1)
    return found


def snapshots(dataset: Dataset, split: str) -> np.ndarray:
    """Numbers of the retention examples of `split`."""
    return np.flatnonzero(np.asarray(dataset.examples(split).task) == 1)


def calibration_line(probability: np.ndarray, truth: np.ndarray) -> tuple[float, float]:
    """Slope and intercept of the logistic regression of true chances on a model's logits.

    Cox 1958. 1 and 0 where the probabilities are right on average, at every level.
    """
    from sklearn.linear_model import LogisticRegression

    z = np.tile(logit(probability), 2)[:, None]
    label = np.repeat([1, 0], len(truth))
    weight = np.concatenate([truth, 1 - truth])
    line = LogisticRegression(C=1e9, max_iter=1_000).fit(z, label, weight)
    return float(line.coef_[0, 0]), float(line.intercept_[0])


def expected_auc(score: np.ndarray, truth: np.ndarray) -> float:
    """The AUC that `score` has on average over the draws of labels with the chances `truth`.

    Σ p_i (1 - p_j) [s_i > s_j, ties one half] / Σ p_i (1 - p_j) over i ≠ j.
    """
    above = (score[:, None] > score) + 0.5 * (score[:, None] == score)
    weight = truth[:, None] * (1 - truth)
    np.fill_diagonal(weight, 0.0)
    return float((weight * above).sum() / weight.sum())


def rank_correlation(score: np.ndarray, truth: np.ndarray) -> float:
    """Spearman's, ties at their middle ranks."""
    from scipy.stats import spearmanr

    return float(spearmanr(score, truth).statistic)


def logit(probability: np.ndarray) -> np.ndarray:
    """log(p / (1 - p)), p kept away from 0 and 1."""
    p = np.clip(probability.astype(float), 1e-6, 1 - 1e-6)
    return np.log(p / (1 - p))


def sigmoid(z: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-z))."""
    return 1.0 / (1.0 + np.exp(-z))
