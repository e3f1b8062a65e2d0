"""When to act, where the truth is known: now, at a better hour of today, or another day.

    python -m tests.truth.timing --seeds 20

What a coupon changes of a shopper's week is the simulated shop's own closed form; it changes it
only where it is seen, and each shopper is around at hours of their own, of which a shop sees thirty
past behaviours. Shoppers are asked about at random hours of up to three days. Next:
``test_timing.py``.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from feature_repo.settings import DAY
from feature_repo.world import World
from serving.moments import WITHIN, reaches
from tests.truth.campaigns import true_chances, worth
from tests.truth.policies import interval
from training.policies import Context, Policy, Threshold, Timed

DAYS, OPEN = 3, (8, 21)
"""Days on which a shopper is asked about, and the hours in which messages may be sent."""
SEEN_ANYHOW, STAYS = 0.15, 0.95
"""Share of a message's effect where nobody is around; chance to be worth it the next day."""
SPREAD = 2.5
"""Hours around the own one (a standard deviation) in which a shopper is around."""
COUPON = Threshold(reminder_threshold=0.0, coupon_threshold=0.0, epsilon=0.0)
"""A coupon for everybody, so that only time is compared."""
CHANCE = replace(COUPON, epsilon=0.6)
"""How the log was made: six in ten by chance, doing nothing among it."""


@dataclass(frozen=True, slots=True)
class Crowd:
    """N shoppers: effects of actions (N, 3), when they are around, and what a shop knows of it."""

    effect: np.ndarray
    usual: np.ndarray
    """(N,) profit of the week if nothing is done."""
    around: np.ndarray
    """(N, 24), true chance to be around within three hours from each hour on."""
    reach: np.ndarray
    """(N, 24), as known from past behaviours."""

    @classmethod
    def of(cls, seed: int, num: int) -> Crowd:
        world, rng = World(seed, num, 120), np.random.default_rng([seed, 2])
        for _ in range(60):
            world.step()
        value = worth(true_chances(world))
        value = value[value[:, 2] > value[:, 0] + 0.2]  # whom a coupon really moves
        own = rng.uniform(7, 23, len(value))
        gap = (np.arange(24) - own[:, None] + 12) % 24 - 12
        density = np.exp(-0.5 * (gap / SPREAD) ** 2) + 0.01
        density /= density.sum(axis=1, keepdims=True)
        around = sum(np.roll(density, -ahead, axis=1) for ahead in range(WITHIN))
        seen = np.array([rng.choice(24, 30, p=row) for row in density])
        reach = np.array([reaches((row * DAY // 24 + DAY).tolist(), "UTC") for row in seen])
        return cls(value - value[:, :1], value[:, 0], around, reach)

    @property
    def ahead(self) -> np.ndarray:
        """(N, 24), known reach of the best hour from each on while messages may be sent."""
        open_ = self.reach * (np.arange(24) <= OPEN[1])
        return np.maximum.accumulate(open_[:, ::-1], axis=1)[:, ::-1]

    def tell(self, hour: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """What a policy is told of all at `hour` (N,), and the hour (N,) that is later."""
        rows, hours = np.arange(len(hour)), np.arange(24)
        left = (hours > hour[:, None]) & (hours >= OPEN[0]) & (hours <= OPEN[1])
        later = np.where(left, self.reach, -1.0).argmax(axis=1)
        told = {
            "leave_90d": np.full(len(hour), 0.9),
            "reach_now": self.reach[rows, hour],
            "reach_later": np.where(left.any(axis=1), self.reach[rows, later], 0.0),
            "reach_next": self.ahead[:, OPEN[0] : OPEN[1]].mean(axis=1),
        }
        return told, np.where(left.any(axis=1), later, -1)


@dataclass(frozen=True, slots=True)
class Log:
    """Decisions of all days, in one row each."""

    told: dict[str, np.ndarray]
    action: np.ndarray
    propensity: np.ndarray
    reward: np.ndarray


def play(crowd: Crowd, policy: Policy, seed: int) -> tuple[float, Log]:
    """Expected profit per shopper above doing nothing, and the log with what came of each."""
    rng, n = np.random.default_rng([seed, 3]), len(crowd.usual)
    waiting, gained, parts = np.ones(n, dtype=bool), np.zeros(n), []
    for day in range(DAYS):
        hour, draw, luck = rng.integers(*OPEN, n), rng.random(n), rng.normal(size=n)
        told, later = crowd.tell(hour)
        num = len(policy.actions)
        allowed = np.ones((n, num), dtype=bool)
        allowed[:, 3:] = (later >= 0)[:, None]
        p = policy.probabilities(told, Context(allowed=allowed))
        action = np.minimum((draw[:, None] > p.cumsum(axis=1)).sum(axis=1), num - 1)
        gain = _gain(crowd, action, hour, later) * STAYS**day
        now, acted = waiting.copy(), waiting & (action > 0)
        gained[acted] = gain[acted]
        reward = (crowd.usual + gain + 2.0 * luck)[now]
        chance = p[np.arange(n), action]
        parts.append(Log({k: v[now] for k, v in told.items()}, action[now], chance[now], reward))
        waiting &= ~acted
    return float(gained.mean()), _together(parts)


def oracle(crowd: Crowd, seed: int) -> float:
    """Each at the best hour that is truly left on the first day, or the best of the second."""
    rng, n = np.random.default_rng([seed, 3]), len(crowd.usual)
    hour = rng.integers(*OPEN, n)
    hours = np.arange(24)
    left = (hours >= hour[:, None]) & (hours <= OPEN[1])
    around = np.where(left, crowd.around, 0.0).max(axis=1)
    best = crowd.around[:, OPEN[0] : OPEN[1] + 1].max(axis=1)
    met = np.maximum(_seen(around), STAYS * _seen(best))
    return float((crowd.effect[:, 2] * met).mean())


def _gain(crowd: Crowd, action: np.ndarray, hour: np.ndarray, later: np.ndarray) -> np.ndarray:
    rows = np.arange(len(action))
    at = np.where(action > 2, later, hour)
    deed = np.where(action > 2, action - 2, action)
    return np.asarray(crowd.effect[rows, deed] * _seen(crowd.around[rows, at]))


def _seen(around: np.ndarray) -> np.ndarray:
    return np.asarray(SEEN_ANYHOW + (1.0 - SEEN_ANYHOW) * around)


def _together(parts: list[Log]) -> Log:
    told = {k: np.concatenate([one.told[k] for one in parts]) for k in parts[0].told}
    rest = (
        np.concatenate([getattr(one, name) for one in parts])
        for name in ("action", "propensity", "reward")
    )
    return Log(told, *rest)


def measure(seed: int, num: int = 4000) -> dict[str, float]:
    """Profit per shopper by way of timing; learnt in one crowd, played in another."""
    first, second = Crowd.of(seed, 3 * num), Crowd.of(1000 + seed, num)
    exploring = Timed(base=CHANCE, epsilon=0.6)
    _, log = play(first, exploring, seed)
    learnt = exploring.fit(log.told, log.action, log.reward, log.propensity)
    learnt = replace(learnt, base=COUPON, epsilon=0.05)
    ways: dict[str, Policy] = {
        "always now": COUPON,
        "by chance": Timed(base=COUPON, epsilon=1.0),
        "now or later today": replace(learnt, discount=0.0),
        "timed": learnt,
    }
    found = {name: play(second, policy, seed)[0] for name, policy in ways.items()}
    return found | {"oracle": oracle(second, seed), "slope": learnt.value[1]}


def lines(found: list[dict[str, float]]) -> Iterator[str]:
    """Rows of a Markdown table."""
    for name in found[0]:
        value = "{:+.3f} ({:+.3f} to {:+.3f})".format(*interval([one[name] for one in found]))
        over = interval([one[name] - one["always now"] for one in found])
        yield f"| {name} | {value} | " + "{:+.3f} ({:+.3f} to {:+.3f}) |".format(*over)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    asked = parser.parse_args()
    print("\n".join(lines([measure(seed) for seed in range(1, asked.seeds + 1)])))


if __name__ == "__main__":
    main()
