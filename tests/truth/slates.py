"""Lists of recommendations in simulated shops of known truth: what chance costs and teaches.

    python -m tests.truth.slates --seeds 20

A shop recommends eight of twenty candidates by a score that knows half of what shoppers like. Who
likes what, and so who clicks on what is looked at, is the simulated shop's own closed form; places
are looked at ever less. Everything about one seed is paired. Next: ``test_slates.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

import numpy as np

from feature_repo.world import World
from tests.truth.policies import interval
from training.metrics.offpolicy import slates
from training.policies.clicks import SlateLog, evaluate, examination, learn
from training.policies.slate import Slate

NUM_CANDIDATES, NUM_PLACES = 20, 8
LOOKED_AT = np.arange(1, NUM_PLACES + 1) ** -0.7
NUM_LISTS, NUM_HELD_OUT = 8_000, 4_000
MISSED = 1.0
"""Standard deviation of what the score does not know of an item, in that of its liking."""
TEMPERATURE = 0.5


@dataclass
class Told:
    """What one seed gave; values are expected clicks of a list."""

    seed: int
    known: dict[str, float] = field(default_factory=dict)
    """By way of ordering, over the lists held out."""
    looked: list[float] = field(default_factory=list)
    """Examination by place, as estimated."""
    estimates: list[tuple[str, str, float, float, float, float]] = field(default_factory=list)
    """(ordering, estimator, value, low, high, known)."""


@dataclass(frozen=True, slots=True)
class Lists:
    """n lists before anything is drawn: candidates, their scores and likings, (n, N) each."""

    items: np.ndarray
    scores: np.ndarray
    liking: np.ndarray

    @classmethod
    def of(cls, world: World, n: int, rng: np.random.Generator) -> Lists:
        """Shoppers who come, each with the best candidates by a score that misses something."""
        truth = world.truth
        liking = np.array([truth.click_probability(user) for user in truth.users])
        wanted = np.log(liking / (1.0 - liking))
        missed = (
            MISSED * wanted.std() * np.random.default_rng(world.seed).normal(size=wanted.shape[1])
        )
        who = rng.integers(0, len(liking), n)
        scores = wanted[who] - missed + 0.3 * wanted.std() * rng.normal(size=wanted[who].shape)
        best = np.argsort(-scores, axis=1)[:, :NUM_CANDIDATES]
        rows = np.arange(n)[:, None]
        return cls(np.array(truth.items)[best], scores[rows, best], liking[who][rows, best])

    def drawn(self, slate: Slate, rng: np.random.Generator) -> tuple[SlateLog, np.ndarray]:
        """The log of these lists by `slate`, and the liking (n, N) in its order."""
        rows, clicks = (
            np.arange(len(self.items))[:, None],
            rng.random((len(self.items), NUM_PLACES)),
        )
        made = [
            slate.draw(s, i.tolist(), NUM_PLACES, rng)
            for s, i in zip(self.scores, self.items, strict=True)
        ]
        order, chances = np.array([one[0] for one in made]), np.array([one[1] for one in made])
        liking = self.liking[rows, order]
        return SlateLog(
            items=self.items[rows, order],
            scores=self.scores[rows, order],
            chances=chances,
            num_shown=np.full(len(order), NUM_PLACES),
            rewards=(clicks < liking[:, :NUM_PLACES] * LOOKED_AT).astype(float),
        ), liking

    def known(self, slate: Slate) -> float:
        """Expected clicks of a list by `slate`, exactly."""
        logits = slate.logits(self.scores, self.items.ravel().tolist())
        make = slates.places if slate.temperature else slates.fixed_places
        return float(
            np.einsum("nik,ni,k->n", make(logits, NUM_PLACES), self.liking, LOOKED_AT).mean()
        )

    @property
    def best(self) -> float:
        """Of the order by true liking."""
        most = -np.sort(-self.liking, axis=1)[:, :NUM_PLACES]
        return float((most * LOOKED_AT).sum(axis=1).mean())


def measure(seed: int, n: int = NUM_LISTS, held_out: int = NUM_HELD_OUT) -> Told:
    """Draw, learn, and judge on lists that nothing was learnt from."""
    world = World(seed, 400, 200)
    for _ in range(60):
        world.step()
    rng = np.random.default_rng([seed, 1])
    logging, greedy = Slate(temperature=TEMPERATURE), Slate(temperature=0.0)
    log, _ = Lists.of(world, n, rng).drawn(logging, rng)
    unlogged, _ = Lists.of(world, n, rng).drawn(greedy, rng)
    others = Lists.of(world, held_out, rng)
    judged, _ = others.drawn(logging, rng)
    told = Told(seed)
    told.looked = examination(log).tolist()
    learnt = learn(log, greedy)
    orders = {
        "best first": replace(greedy, examination=learnt.examination),
        f"temperature {TEMPERATURE:g}": replace(logging, examination=learnt.examination),
        "temperature 0.2": Slate(temperature=0.2, examination=learnt.examination),
        "learnt": learnt,
        "learnt, temperature 0.2": replace(learnt, temperature=0.2),
        "learnt without chance": learn_by_counting(unlogged, greedy),
    }
    told.known = {name: others.known(slate) for name, slate in orders.items()}
    told.known["oracle"] = others.best
    at = slates.places(judged.logits, NUM_PLACES)
    for name, slate in orders.items():
        if slate.examination:
            found = evaluate(judged, slate, at)
            for estimator, one in found.estimates.items():
                if not found.refusals[estimator]:
                    row = (name, estimator, one.value, one.low, one.high, told.known[name])
                    told.estimates.append(row)
    return told


def learn_by_counting(log: SlateLog, slate: Slate) -> Slate:
    """What a log of best lists teaches: clicks over lists, whatever the place (the floor)."""
    names, index = np.unique(log.items[:, :NUM_PLACES], return_inverse=True)
    clicks = np.bincount(index.ravel(), log.rewards.ravel(), len(names))
    shown = np.bincount(index.ravel(), minlength=len(names))
    rate = log.rewards.mean()
    appeal = np.log((clicks + 5.0) / (rate * shown + 5.0))
    return replace(slate, appeals=dict(zip(names.tolist(), appeal.tolist(), strict=True)))


def lines(found: list[Told]) -> Iterator[str]:
    """Rows of Markdown tables."""
    for name in found[0].known:
        value = interval([one.known[name] for one in found])
        over = interval([one.known[name] / one.known["best first"] - 1 for one in found])
        cells = (f"{value[0]:.3f}", "{:+.1%} ({:+.1%} to {:+.1%})".format(*over))
        yield f"| {name} | {' | '.join(cells)} |"
    looked = np.array([one.looked for one in found])
    for place in range(NUM_PLACES):
        cells = "{:.3f} ({:.3f} to {:.3f})".format(*interval(looked[:, place]))
        yield f"| place {place + 1} | {LOOKED_AT[place]:.3f} | {cells} |"
    rows = [row for one in found for row in one.estimates]
    for name, estimator in dict.fromkeys(row[:2] for row in rows):
        own = np.array([row[2:] for row in rows if row[:2] == (name, estimator)])
        off = np.abs(own[:, 0] / own[:, 3] - 1).mean()
        inside = ((own[:, 1] <= own[:, 3]) & (own[:, 3] <= own[:, 2])).mean()
        wide = ((own[:, 2] - own[:, 1]) / 2 / own[:, 3]).mean()
        yield f"| {name} | {estimator} | {off:.1%} | ±{wide:.1%} | {inside:.0%} of {len(own)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    found = [measure(seed) for seed in range(1, asked.seeds + 1)]
    print("\n".join(lines(found)))


if __name__ == "__main__":
    main()
