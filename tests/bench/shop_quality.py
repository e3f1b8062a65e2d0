"""A shop in a folder of its own, asked by the product's own commands: made once, fitted as needed.

Its sections share the home and the fits. Next: ``shop_tables.py``, which reads the reports, and
``shop_sections.py``, which says what they are asked.
"""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.bench.costs import Cost, run
from tests.story.terminal import environment
from training.recipes import shopper

FILES = "uci_online_retail"
STORE, TRAINING = ([sys.executable, "-m", name] for name in ("feature_repo", "training"))
RECIPE = shopper()
TASKS = RECIPE.tasks
SHOWN = """python -m feature_repo import "$NUDGE_DATA/uci_online_retail" --mapping uci_online_retail
python -m feature_repo clock --last
python -m feature_repo rollup
feast apply
python -m training fit shopper --seed 0{settings}    # and the other seeds
python -m training evaluate shopper"""


@dataclass(frozen=True, slots=True)
class Fit:
    """A finished run and what was measured of it."""

    folder: Path
    report: dict[str, Any]
    """``report.json``."""
    cpu_s: float
    """Of the whole command ``fit``, its dataset included where none was there."""

    @property
    def num_parameters(self) -> int:
        """Of the network, the text encoder left out."""
        bundle = json.loads((self.folder / "bundle" / "bundle.json").read_text())
        return int(bundle["lineage"]["num_parameters"])


class Shop:
    """Online Retail in a home below `folder`; its files lie in `data`."""

    def __init__(self, folder: Path, data: Path) -> None:
        self.cost = Cost()
        """Of all that was run so far."""
        self._data, self._fits = data, dict[tuple[tuple[str, ...], int], Fit]()
        self._environment = environment(folder / "home") | {"OMP_NUM_THREADS": "1"}

    def fit(self, seed: int, tasks: tuple[str, ...] = TASKS) -> Fit:
        """The `shopper` recipe with `tasks` alone, from `seed`, evaluated; each is made once."""
        if not self._fits:
            self._open()
        if (tasks, seed) not in self._fits:
            options = [word for one in settings(tasks) for word in ("--set", one)]
            said, cpu_s = self._run(*TRAINING, "fit", "shopper", "--seed", str(seed), *options)
            folder = Path(said.split()[-1])
            self._run(*TRAINING, "evaluate", str(folder))
            report = json.loads((folder / "report.json").read_text())
            self._fits[tasks, seed] = Fit(folder, report, cpu_s)
        return self._fits[tasks, seed]

    def _open(self) -> None:
        """From the shop's files to its features."""
        self._run(*STORE, "import", str(self._data / FILES), "--mapping", FILES)
        self._run(*STORE, "clock", "--last")
        self._run(*STORE, "rollup")
        self._run("feast", "apply")

    def _run(self, *command: str) -> tuple[str, float]:
        """What a command printed, and the CPU seconds that it took."""
        said, cost = run(command, self._environment)
        self.cost += cost
        return said, cost.cpu_s


def settings(tasks: tuple[str, ...]) -> list[str]:
    """What makes the recipe learn `tasks` alone, from the same examples; nothing for all."""
    if tasks == TASKS:
        return []
    shares = [RECIPE.task_shares[TASKS.index(task)] for task in tasks]
    return [
        f"tasks={json.dumps(tasks)}",
        f"task_weights={json.dumps([1.0] * len(tasks))}",
        f"task_shares={json.dumps(shares)}",
    ]
