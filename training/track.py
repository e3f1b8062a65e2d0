"""Where a training runs, what it tells on the way, and where finished runs are found.

Runs lie in ``NUDGE_HOME/runs``, one folder each; ``runs/latest/<recipe>`` leads to the newest
finished run of a recipe. Next: ``loop.py``.
"""

from __future__ import annotations

import math
import shutil
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from training.folders import beside, lead, sweep


class Runtime(Protocol):
    """Where a training runs."""

    @property
    def rank(self) -> int:
        """Number of this worker, 0 .. world - 1; worker 0 writes."""

    @property
    def world(self) -> int:
        """How many workers there are."""

    @property
    def device(self) -> str:
        """The device of this worker, as torch names it."""

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Tell the numbers of an epoch; `checkpoint` is a folder that may vanish afterwards."""

    def checkpoint(self) -> Path | None:
        """The folder last reported by an earlier attempt at this same run, if any."""


@dataclass(frozen=True, slots=True)
class PlainRuntime:
    """One process; `folder` is a link to the last whole checkpoint, which lies beside it."""

    folder: Path
    rank: int = 0
    world: int = 1
    device: str = "cpu"

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Let `folder` lead to a copy of `checkpoint`, in one step; what it led to before goes.

        A kill leaves the old checkpoint or the new one, and perhaps a copy that nothing leads to:
        the next report sweeps it.
        """
        if checkpoint is not None:
            kept = beside(self.folder)
            shutil.copytree(checkpoint, kept)
            lead(self.folder, kept)
            sweep(self.folder)

    def checkpoint(self) -> Path | None:
        """The folder, once something lies in it."""
        return self.folder if (self.folder / "progress.json").exists() else None


@dataclass(slots=True)
class Progress:
    """How far a training is, and what it saw on the way."""

    epoch: int = 0
    step: int = 0
    best_epoch: int = 0
    best_loss: float = math.inf
    history: list[dict[str, float]] = field(default_factory=list)


@contextmanager
def progress_bar(title: str, total: int, shown: bool) -> Iterator[Callable[[int], None]]:
    """A bar of `total` examples, when `shown` and somebody sits at a terminal."""
    if not (shown and sys.stderr.isatty()):
        yield lambda num: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=total)
        yield lambda num: bar.advance(task, num)


def new_run(home: Path, recipe: str, now: int) -> Path:
    """A folder of its own for a run of `recipe` that starts `now` (microseconds, UTC)."""
    moment = datetime.fromtimestamp(now / 1e6, UTC).strftime("%Y%m%d-%H%M%S")
    folder = home.resolve() / "runs" / f"{recipe}-{moment}-{uuid4().hex[:6]}"
    folder.mkdir(parents=True)
    return folder


def new_attempt(storage: Path) -> str:
    """A name for an attempt at a run that Ray, which stores in `storage`, does not know yet."""
    numbers = [int(path.name.partition("-")[2]) for path in storage.glob("attempt-*")]
    return f"attempt-{max(numbers, default=-1) + 1}"


def sweep_attempts(storage: Path, kept: Path | None) -> None:
    """Remove Ray's checkpoints but `kept`: a worker that died left some that nobody knows."""
    for orphan in storage.glob("attempt-*/checkpoint*"):
        if kept is None or orphan.resolve() != kept.resolve():
            shutil.rmtree(orphan, ignore_errors=True)


def keep_as_latest(folder: Path, recipe: str) -> None:
    """Let ``runs/latest/<recipe>`` lead to `folder`, in one step."""
    latest = folder.parent / "latest"
    latest.mkdir(exist_ok=True)
    lead(latest / recipe, folder)


def find_run(home: Path, name: str) -> Path:
    """The run folder that `name` means: a recipe (its newest finished run), a run id or a path.

    Raises
    ------
    ValueError
        When there is no such run.
    """
    runs = home.resolve() / "runs"
    for place in (runs / "latest" / name, runs / name, Path(name)):
        if (place / "run.json").exists():
            return place.resolve()
    finished = sorted(path.name for path in (runs / "latest").glob("*"))
    raise ValueError(
        f"there is no run {name!r} in {runs}; finished recipes: {', '.join(finished) or 'none'}; "
        "make one by `python -m training fit`"
    )
