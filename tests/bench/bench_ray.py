"""One run by the plain loop, under Ray Train in this process, and under Ray Train with a worker.

The loop is the same; what differs is who calls it. Threads are those that each side gives its loop.
"""

from __future__ import annotations

import json
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from tests.bench.harness import Bench, Call, Goal, Measured, run
from tests.training import synthetic
from training.folders import lead
from training.loop import train
from training.recipes import shopper
from training.run import OptimConfig, Run
from training.track import PlainRuntime
from training.workers import train_under_ray

NUM_EXAMPLES = {"tiny": 12_000, "small": 6_000}
PLAIN, LOCAL, WORKER = "plain loop", "Ray Train, this process", "Ray Train, one worker"


def make(folder: Path, size: str) -> None:
    """A dataset of histories up to fifty long."""
    synthetic.write(folder / "data", num_examples=NUM_EXAMPLES[size], longest=50)


def side(train_of: Callable[[Run, Path], object]) -> Callable[[Path, str], Call]:
    """Train one epoch in a folder of its own; its steps and losses are the answer."""

    def prepare(folder: Path, size: str) -> Call:
        out = Path(tempfile.mkdtemp(dir=folder))
        lead(out / "data", folder / "data")
        optim = OptimConfig(num_epochs=1, max_positions=4_096, min_batches=1)
        asked = replace(shopper(size), optim=optim)

        def call() -> Measured:
            began = time.time()
            train_of(asked, out)
            ended = time.time()
            history = out / "history.jsonl"
            epoch, written = json.loads(history.read_text()), history.stat().st_mtime
            figures = {
                "step_ms": 1_000 * epoch["seconds"] / epoch["step"],
                "start_s": written - epoch["seconds"] - began,
                "end_s": ended - written,
            }
            losses = (epoch["train_loss"], epoch["valid_loss"])
            return Measured(answer=[epoch["step"], *(f"{x:.3g}" for x in losses)], figures=figures)

        return call

    return prepare


def plain(asked: Run, out: Path) -> None:
    """The loop and nothing else."""
    train(asked, out / "data", out, PlainRuntime(out / "checkpoint"))


BENCH = Bench(
    name="ray",
    title="Training under Ray Train",
    line=(
        "One epoch of the `shopper` recipe, tiny and small, on a dataset made by a rule; the same "
        "loop called plainly, by Ray Train in this process (`--workers 0`) and on one worker "
        "(`--workers 1`). A step is the epoch with its validation by the number of steps; the "
        "start is the time from the call to the first step, with Ray's imports and without "
        "torch's; the end is the checkpoint, its report and Ray's way home. CPU seconds and peak "
        "of a worker are not in the figures of the process that waits for it."
    ),
    goals=(
        Goal(words="at most 3 % a step, one worker", figure="step_ms", side=WORKER, against=PLAIN,
             at_least=1 / 1.03),
        Goal(words="at most 3 % a step, this process", figure="step_ms", against=PLAIN,
             at_least=1 / 1.03),
        Goal(words="at most 10 s to the first step, this process", figure="start_s", at_most=10.0),
    ),
    figure="step_ms",
    sizes=tuple(NUM_EXAMPLES),
    make=make,
    sides={
        PLAIN: side(plain),
        LOCAL: side(lambda asked, out: train_under_ray(asked, out, None, 0)),
        WORKER: side(lambda asked, out: train_under_ray(asked, out, None, 1)),
    },
    obvious=PLAIN,
    ours=LOCAL,
    rounds=2,
    reading=(
        "In this process Ray Train costs nothing that can be seen, and one second at the start. On "
        "a worker of its own half of the start is two processes that one after the other import "
        "torch and Ray ([where it goes](lab-log.md)), and its steps share the cores with Ray's own "
        "processes."
    ),
)  # fmt: skip

if __name__ == "__main__":
    run(BENCH)
