"""One source of scores, trained or counted, and what it answers to every shopper of the test.

The networks are trained by the one loop; ``recipes.sequences`` says with which switches. Next:
``next_item.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from training.benchmarks.beginnings import beginnings
from training.benchmarks.ranked import Ranked, rank
from training.benchmarks.sequence_floors import CoOccurrence, NewItems
from training.benchmarks.trained import Rule, Trained, best_weight, longest_lead
from training.datasets.batches import Dataset
from training.loop import train
from training.methods.gradients import IDS
from training.network import load_state, prepare
from training.recipes import sequences as recipe
from training.run import SIZES, Run
from training.track import PlainRuntime

INPUTS = ("ids", "content")
SEEN = ("excluded", "included")
Tell = Callable[[str], None]


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
    kind: str,
    dataset: Dataset,
    question: Question,
    folder: Path,
    tell: Tell,
    *,
    leads: bool = False,
) -> Iterator[Answer]:
    """Train `kind` once for each seed; its answers alone, and with co-occurrence added.

    With `leads` a third answer puts items that training never saw a step ahead.
    """
    rule, keeps = CoOccurrence(), question.keeps_seen
    rule.fit(dataset)
    alone, added, ahead = [], [], []
    weights, steps, costs, num = [], [], [], 0
    for seed in question.seeds:
        tell(f"{kind}, seed {seed}")
        has_text = bool(dataset.text_vectors.any())
        run = run_of(question, seed, has_text=has_text, ids_alone=not tells(dataset))
        trained = train_model(run, dataset, folder / f"{kind}-{seed}")
        weight = best_weight(trained, rule, keeps, seed=question.seed)
        alone.append(trained.rank(rule, 0.0, "test", keeps))
        added.append(trained.rank(rule, weight, "test", keeps))
        weights.append(weight)
        if leads:
            step = longest_lead(trained, keeps)
            ahead.append(trained.rank(NewItems(), step, "test", keeps))
            steps.append(step)
        costs.append(trained.cpu_s)
        num = trained.network.num_parameters()[0]
    yield Answer(kind, tuple(alone), tuple(costs), num)
    note = f"weight of co-occurrence by validation: {_listed(weights)}"
    yield Answer(f"{kind} + {rule.name}", tuple(added), tuple(costs), num, note)
    if leads:
        note = f"lead of new items by validation: {_listed(steps)} nats"
        yield Answer(f"{kind}, new items ahead", tuple(ahead), tuple(costs), num, note)


def _listed(numbers: Sequence[float]) -> str:
    return ", ".join(f"{one:g}" for one in numbers)


def run_of(question: Question, seed: int, *, has_text: bool, ids_alone: bool = False) -> Run:
    """The recipe with what `question` says."""
    run = replace(recipe(question.size, has_text=has_text, ids_alone=ids_alone), seed=seed)
    if question.keeps_seen:
        run = replace(run, model=replace(run.model, bars_seen=False))
    if question.num_epochs is None:
        return run
    return replace(run, optim=replace(run.optim, num_epochs=question.num_epochs))


def tells(dataset: Dataset) -> bool:
    """Whether anything but its id is told of any item."""
    return bool(dataset.text_vectors.any() or dataset.meta["num_attributes"])


def train_model(run: Run, dataset: Dataset, folder: Path) -> Trained:
    """Train `run` by the one loop; checkpoints go to `folder`."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    shape = replace(run.model, text_width=dataset.text_vectors.shape[1])
    run, began = replace(run, model=shape), time.process_time()
    start = None
    if not tells(dataset):
        start = {IDS: torch.as_tensor(beginnings(dataset, shape.width))}
    train(run, dataset.folder, folder, PlainRuntime(folder / "checkpoint", device=device), start)
    cpu_s = time.process_time() - began
    network = prepare(run, dataset)
    load_state(network, load_file(folder / "checkpoint" / "best.safetensors"))
    return Trained(network.eval(), dataset, cpu_s)
