"""What each policy earns in simulated shops of known truth, and what logs of known value tell.

    python -m tests.truth.policies --seeds 20

prints the tables of ``docs/interventions.md`` and draws their picture. Everything is paired:
policies of one seed play twins of one shop. Next: ``policy_page.py``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from scipy import stats
from sklearn.ensemble import HistGradientBoostingRegressor

from feature_repo.world.shoppers import ACTIONS
from tests.truth import known_value, policy_page
from tests.truth.campaigns import EXPLORING, LOG_DAYS, PLAY_DAYS, SHOPPERS, WARM_UP, Shop, worth
from tests.truth.knowing import INPUTS
from tests.truth.players import (
    EPSILON,
    Evenly,
    Learner,
    Observer,
    Oracle,
    Player,
    Risk,
    Uplift,
    joined,
)
from training.policies import FittedQ, LinearBandit

SHARE_OF_BUDGET = 0.1
"""Of the day's customers: so many pounds may be reserved (2.5 a coupon, 0.5 a reminder)."""
CHANGES = 0.005
REGRET_DAYS = 112
ROWS_TOLD = 12_000
"""Of each other shop, from which the observer's models learn the truth."""
Models = tuple[Callable[[np.ndarray], np.ndarray], ...]


@dataclass
class Played:
    """What one seed gave."""

    seed: int
    budget: float
    profit: dict[str, list[float]] = field(default_factory=dict)
    """By policy, of each day."""
    spent: dict[str, list[float]] = field(default_factory=dict)
    regret: dict[str, list[float]] = field(default_factory=dict)
    """By policy, mean per decision of each week, without a budget."""
    logs: list[dict[str, Any]] = field(default_factory=list)
    """Estimates against known values, see ``known_value.py``."""
    cpu_s: float = 0.0

    def incremental(self, name: str) -> float:
        """Profit above that of doing nothing."""
        return float(np.sum(self.profit[name]) - np.sum(self.profit["nothing"]))


def collected(seed: int, shoppers: int, warm_up: int, days: int) -> Shop:
    """A shop that drew its actions by chance for a while."""
    return Shop.open(seed, shoppers, warm_up).play(Evenly(EXPLORING, sees_truth=True), days)


def truth_by_inputs(shops: list[Shop], seed: int = 0) -> Models:
    """True chances regressed on inputs: the most that a policy with these inputs could know."""
    rng = np.random.default_rng(seed)
    inputs, true = [], []
    for shop in shops:
        x, t = joined(shop.log, "inputs"), joined(shop.log, "true")
        rows = rng.permutation(len(x))[:ROWS_TOLD]
        inputs.append(x[rows])
        true.append(t[rows])
    x, t = np.concatenate(inputs), np.concatenate(true)
    targets = [t[:, 0], *(t[:, place] - t[:, 0] for place in range(1, len(ACTIONS)))]
    return tuple(
        HistGradientBoostingRegressor(max_iter=150, random_state=0).fit(x, one).predict
        for one in targets
    )


def players(shop: Shop, budget: float, models: Models) -> dict[str, Player]:
    """All that are compared at one budget."""
    bandit = LinearBandit(inputs=INPUTS, epsilon=EPSILON)
    return {
        "nothing": Player(),
        "random": Evenly(np.array([0.0, 0.5, 0.5])),
        "threshold": Risk.of(shop),
        "threshold at the budget": Risk.of(shop, budget),
        "bandit": Learner(bandit),
        "fitted_q": Learner(FittedQ(inputs=INPUTS, epsilon=EPSILON), every_weeks=4),
        "uplift_budget": Uplift(),
        "best observer": Observer(models=models),
        "oracle": Oracle(),
    }


def play(shop: Shop, models: Models, days: int, found: Played) -> None:
    """Every policy on a twin of `shop`, and again where shoppers change."""
    for name, player in players(shop, found.budget, models).items():
        player.learn(shop.closed)
        keep(found, name, shop.play(player, days, found.budget))
    changing = {
        "nothing, changing": Player(),
        "uplift once, changing": Uplift(again=False),
        "uplift weekly, changing": Uplift(),
        "oracle, changing": Oracle(),
    }
    for name, player in changing.items():
        player.learn(shop.closed)
        keep(found, name, shop.play(player, days, found.budget, changes=CHANGES))


def keep(found: Played, name: str, shop: Shop) -> None:
    found.profit[name], found.spent[name] = shop.profit, shop.spent


def learn_from_nothing(seed: int, shoppers: int, warm_up: int, days: int, found: Played) -> None:
    """Bandits that begin without a log and without a budget: what each week costs them."""
    shop = Shop.open(seed, shoppers, warm_up)
    bandit = LinearBandit(inputs=INPUTS, epsilon=EPSILON)
    for name, player in {
        "thompson": Learner(bandit),
        "ucb": Learner(LinearBandit(inputs=INPUTS, epsilon=EPSILON, rule="ucb")),
        "evenly": Evenly(np.full(3, 1 / 3)),
        "nothing": Player(),
    }.items():
        player.sees_truth = True
        log = shop.play(player, days).log
        found.regret[name] = [
            float(regret(joined(log[start : start + 7], "true"),
                         joined(log[start : start + 7], "chances")).mean())
            for start in range(0, days, 7)
        ]  # fmt: skip


def regret(true: np.ndarray, chances: np.ndarray) -> np.ndarray:
    """What the best action of each (n,) would have earned more in the week, on average."""
    value = worth(true)
    return value.max(axis=1) - (chances * value).sum(axis=1)


def measure(
    seeds: int,
    shoppers: int = SHOPPERS,
    warm_up: int = WARM_UP,
    log_days: int = LOG_DAYS,
    play_days: int = PLAY_DAYS,
    num_logs: int = 10,
) -> list[Played]:
    """All seeds from 1 on; the observer of odd seeds learnt its truth from even ones."""
    shops = {seed: collected(seed, shoppers, warm_up, log_days) for seed in range(1, seeds + 1)}
    halves = [[shop for seed, shop in shops.items() if seed % 2 == odd] for odd in (0, 1)]
    models = [truth_by_inputs(halves[1 - odd] or halves[odd]) for odd in (0, 1)]
    result = []
    for seed in list(shops):
        began, shop = time.process_time(), shops.pop(seed)
        found = Played(seed, round(SHARE_OF_BUDGET * np.mean([len(a.user) for a in shop.log[-7:]])))
        play(shop, models[seed % 2], play_days, found)
        learn_from_nothing(seed, shoppers, warm_up, min(REGRET_DAYS, 2 * play_days), found)
        found.logs = known_value.measure(shop, num_logs)
        found.cpu_s = time.process_time() - began
        print(f"seed {seed}: {found.cpu_s:.0f} CPU-s", flush=True)
        result.append(found)
    return result


def interval(values: list[float] | np.ndarray) -> tuple[float, float, float]:
    """Mean over seeds and its 95 % interval by Student's t."""
    middle, num = float(np.mean(values)), len(values)
    reach = float(stats.t.ppf(0.975, num - 1) * np.std(values, ddof=1) / np.sqrt(num))
    return middle, middle - reach, middle + reach


def share(found: list[Played], name: str, of: str) -> tuple[float, float, float]:
    """Incremental profit as a share of another's: of the sums, interval by leaving seeds out."""
    own = np.array([one.incremental(name) for one in found])
    all_ = np.array([one.incremental(of) for one in found])
    num, middle = len(own), own.sum() / all_.sum()
    left = (own.sum() - own) / (all_.sum() - all_)
    error = np.sqrt((num - 1) / num * ((left - left.mean()) ** 2).sum())
    reach = float(stats.t.ppf(0.975, num - 1) * error)
    return float(middle), float(middle - reach), float(middle + reach)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--keep", type=Path, help="write all numbers there as JSON")
    parser.add_argument("--from", dest="kept", type=Path, help="take the numbers from there")
    asked = parser.parse_args()
    if asked.kept:
        found = [Played(**one) for one in json.loads(asked.kept.read_text())]
    else:
        found = measure(asked.seeds)
    if asked.keep:
        asked.keep.write_text(json.dumps([asdict(one) for one in found]))
    print("\n".join(policy_page.lines(found)))
    policy_page.draw(found)


if __name__ == "__main__":
    main()
