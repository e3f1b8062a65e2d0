"""One source of scores, trained or counted, and what it answers to every shopper of the test.

The networks are trained by the one loop; ``recipes.sequences`` says with which switches. Next:
``next_item.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from safetensors.torch import load_file

from training.benchmarks.ranked import Ranked, Score, rank
from training.benchmarks.sequence_floors import CoOccurrence
from training.datasets.batches import Dataset
from training.loop import train
from training.network import Network, load_state, prepare
from training.recipes import sequences as recipe
from training.run import SIZES, Run
from training.track import PlainRuntime

INPUTS = ("ids", "content")
SEEN = ("excluded", "included")
WEIGHTS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0)
"""Of co-occurrence beside a model's scores; validation chooses one."""
NUM_CHOOSING = 4096
"""Shoppers at most whose validation chooses it."""
Tell = Callable[[str], None]


class Rule(Protocol):
    """A floor for sequences: see ``sequence_floors.py``."""

    name: str

    def fit(self, dataset: Dataset) -> None:
        """Learn from the split "train" alone."""

    def scores(self, dataset: Dataset, split: str, rows: np.ndarray) -> np.ndarray:
        """Scores (m, I) for examples number `rows` (m,) of `split`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """What is trained, how often, and how it is ranked."""

    inputs: tuple[str, ...] = INPUTS
    size: str = "base"
    num_epochs: int | None = None
    """None: as many as the recipe says."""
    seen: str = "excluded"
    """Whether items of the history are ranked too ("included"): shops re-buy."""
    asks_cold: bool = False
    """Whether items that training never saw are asked about in a training of their own."""
    seed: int = 0
    num_seeds: int = 1

    def __post_init__(self) -> None:
        if unknown := [one for one in self.inputs if one not in INPUTS]:
            raise ValueError(f"there is no input {unknown[0]!r}; choose from {', '.join(INPUTS)}")
        if self.seen not in SEEN:
            raise ValueError(f"seen items are {self.seen!r}; choose from {', '.join(SEEN)}")
        if self.size not in SIZES:
            raise ValueError(f"size is {self.size!r}; choose one of {', '.join(SIZES)}")

    @property
    def keeps_seen(self) -> bool:
        """Whether items of the history are ranked too."""
        return self.seen == "included"

    @property
    def seeds(self) -> range:
        """The seeds of the trainings."""
        return range(self.seed, self.seed + self.num_seeds)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one source ranks, once for each seed."""

    name: str
    ranked: tuple[Ranked, ...]
    cpu_s: tuple[float, ...] = ()
    """Of each training, validation included; empty for a rule."""
    num_parameters: int = 0
    note: str = ""

    @property
    def ndcg(self) -> np.ndarray:
        """NDCG@10 by seed."""
        return np.array([one.ndcg.mean() for one in self.ranked])

    @property
    def hit(self) -> np.ndarray:
        """HR@10 by seed."""
        return np.array([one.hit.mean() for one in self.ranked])


@dataclass(frozen=True, slots=True)
class Trained:
    """A network as a source of scores."""

    network: Network
    dataset: Dataset
    cpu_s: float

    def score(self, split: str) -> Score:
        """Scores (m, I) of all items for rows of `split`."""
        texts_ND = torch.as_tensor(np.array(self.dataset.text_vectors))

        def of(rows: np.ndarray) -> np.ndarray:
            lengths = np.diff(self.dataset.examples(split).history.offsets)[rows]
            order = np.argsort(lengths, kind="stable")  # blocks hold histories of like length
            batch = self.dataset.batch(split, rows[order]).to("cpu")
            items = self.dataset.items(batch.week).to("cpu")
            with torch.no_grad():
                found = self.network(batch, items, texts_ND).scores.whole().numpy()
            return np.asarray(found[np.argsort(order)])

        return of


def by_rule(rule: Rule, dataset: Dataset, question: Question, tell: Tell) -> Answer:
    """Fit `rule` and rank the test."""
    tell(rule.name)
    rule.fit(dataset)
    ranked = rank(
        dataset,
        "test",
        lambda rows: rule.scores(dataset, "test", rows),
        keeps_seen=question.keeps_seen,
    )
    return Answer(rule.name, (ranked,))


def by_model(
    kind: str, dataset: Dataset, question: Question, folder: Path, tell: Tell
) -> Iterator[Answer]:
    """Train `kind` once for each seed; its answers alone, and with co-occurrence added."""
    rule = CoOccurrence()
    rule.fit(dataset)
    alone, added, weights, costs, num = [], [], [], [], 0
    for seed in question.seeds:
        tell(f"{kind}, seed {seed}")
        run = run_of(question, seed, has_text=bool(dataset.text_vectors.any()))
        trained = train_model(run, dataset, folder / f"{kind}-{seed}")
        weight = _weight(trained, rule, question)
        alone.append(_rank(trained, rule, 0.0, "test", question))
        added.append(_rank(trained, rule, weight, "test", question))
        weights.append(weight)
        costs.append(trained.cpu_s)
        num = trained.network.num_parameters()[0]
    yield Answer(kind, tuple(alone), tuple(costs), num)
    note = f"weight of co-occurrence by validation: {', '.join(f'{one:g}' for one in weights)}"
    yield Answer(f"{kind} + {rule.name}", tuple(added), tuple(costs), num, note)


def run_of(question: Question, seed: int, *, has_text: bool) -> Run:
    """The recipe with what `question` says."""
    run = replace(recipe(question.size, has_text=has_text), seed=seed)
    if question.keeps_seen:
        run = replace(run, model=replace(run.model, bars_seen=False))
    if question.num_epochs is None:
        return run
    return replace(run, optim=replace(run.optim, num_epochs=question.num_epochs))


def train_model(run: Run, dataset: Dataset, folder: Path) -> Trained:
    """Train `run` by the one loop; checkpoints go to `folder`."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = replace(run.model, text_width=dataset.text_vectors.shape[1])
    run, began = replace(run, model=shape), time.process_time()
    train(run, dataset.folder, folder, PlainRuntime(folder / "checkpoint", device=device))
    cpu_s = time.process_time() - began
    network = prepare(run, dataset)
    load_state(network, load_file(folder / "checkpoint" / "best.safetensors"))
    return Trained(network.eval(), dataset, cpu_s)


def _weight(trained: Trained, rule: Rule, question: Question) -> float:
    """The weight of `rule` with the best NDCG@10 on some shoppers' validation."""
    num = len(trained.dataset.examples("valid"))
    rng = np.random.default_rng(question.seed)
    some = rng.choice(num, min(num, NUM_CHOOSING), replace=False)
    found = [_rank(trained, rule, one, "valid", question, some).ndcg.mean() for one in WEIGHTS]
    return WEIGHTS[int(np.argmax(found))]


def _rank(
    trained: Trained,
    rule: Rule,
    weight: float,
    split: str,
    question: Question,
    asked: np.ndarray | None = None,
) -> Ranked:
    """Rank by the sum of a model's scores and `weight` of a rule's."""
    dataset, score = trained.dataset, trained.score(split)

    def total(rows: np.ndarray) -> np.ndarray:
        found = score(rows)
        return found + weight * rule.scores(dataset, split, rows) if weight else found

    return rank(dataset, split, total, keeps_seen=question.keeps_seen, asked=asked)
