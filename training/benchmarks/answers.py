"""One source of scores, trained or counted, and what it answers to every shopper of the test.

The networks are trained by the one loop; ``recipes.sequences`` says with which switches. Next:
``next_item.py``.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import load_file

from training.benchmarks.beginnings import beginnings
from training.benchmarks.ranked import Ranked, hit, ndcg, rank
from training.benchmarks.sequence_floors import ContentNeighbours, CoOccurrence, NewItems
from training.benchmarks.trained import Rule, Trained, best_added, longest_lead
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
    """Train `kind` once for each seed; its answers alone, and with rules added.

    With `leads` a third answer puts items that training never saw a step ahead, and no rule is
    added that cannot know them: it would push them back.
    """
    rules = (ContentNeighbours(),) if leads else _rules_for(kind)
    for rule in rules:
        rule.fit(dataset)
    told: list[dict[str, tuple[Ranked, str]]] = []
    costs, num = [], 0
    for seed in question.seeds:
        tell(f"{kind}, seed {seed}")
        has_text = bool(dataset.text_vectors.any())
        run = run_of(question, seed, has_text=has_text, ids_alone=not tells(dataset))
        trained = train_model(run, dataset, folder / f"{kind}-{seed}")
        told.append(dict(_asked(kind, trained, rules, question, leads)))
        costs.append(trained.cpu_s)
        num = trained.network.num_parameters()[0]
    for name in told[0]:
        ranked = tuple(one[name][0] for one in told)
        note = "; ".join(one[name][1] for one in told if one[name][1])
        yield Answer(name, ranked, tuple(costs), num, note and f"by validation, {note}")


def _rules_for(kind: str) -> tuple[Rule, ...]:
    """What is added to a network's scores: rules that know no more than it does."""
    return (CoOccurrence(),) if kind == "ids" else (CoOccurrence(), ContentNeighbours())


def _asked(
    kind: str, trained: Trained, rules: tuple[Rule, ...], question: Question, leads: bool
) -> Iterator[tuple[str, tuple[Ranked, str]]]:
    """Names of a network's answers to the test, each ranked, with what validation chose."""
    keeps = question.keeps_seen
    yield kind, (trained.rank((), "test", keeps), "")
    added = best_added(trained, rules, keeps, worth=hit if leads else ndcg)
    weights = ", ".join(f"{weight:g} of {rule.name}" for rule, weight in added) or "no rule"
    yield f"{kind} + rules", (trained.rank(added, "test", keeps), weights)
    if leads:
        step = longest_lead(trained, added, keeps)
        ranked = trained.rank((*added, (NewItems(), step)), "test", keeps)
        yield f"{kind} + rules, new items ahead", (ranked, f"{step:g} nats")


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
