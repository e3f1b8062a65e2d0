"""Workers and drivers are killed while they train: the weights are those of a quiet run."""

from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import psutil
import pytest
import torch
from safetensors.torch import load_file

from tests.faults.processes import kill, python, until
from tests.training import synthetic

DRIVER = """
import sys
from pathlib import Path
from training.run import Run

folder, workers = Path(sys.argv[1]), int(sys.argv[2])
run = Run.from_json((folder / "run.json").read_text())
if workers < 0:  # the loop alone: importing Ray takes longer than this training
    from training.loop import train
    from training.track import PlainRuntime
    train(run, folder / "data", folder, PlainRuntime(folder / "checkpoint"))
else:
    from training.workers import train_under_ray
    train_under_ray(run, folder, None, workers)
print("trained", flush=True)
"""


def prepare(tmp_path, name: str, num_epochs: int, num_examples: int):
    """The folder of a run on made-up data that has a rule to learn."""
    from dataclasses import replace

    from tests.training.test_loop import RUN

    data = tmp_path / "data"
    if not data.exists():
        synthetic.write(data, num_examples=num_examples, longest=20)
    folder = tmp_path / name
    folder.mkdir()
    (folder / "data").symlink_to(data)
    run = replace(RUN, optim=replace(RUN.optim, num_epochs=num_epochs))
    (folder / "run.json").write_text(run.to_json())
    return folder


def environment() -> dict[str, str]:
    return os.environ | {"RAY_AUTH_MODE": "disabled", "RAY_USAGE_STATS_ENABLED": "0"}


def train(folder, workers: int):
    return python(
        "-c", DRIVER, str(folder), str(workers), env=environment(), log=folder / "driver.log"
    )


def weights(folder):
    return load_file(folder / "checkpoint" / "best.safetensors")


def assert_same(one, other) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def finish(folder, workers: int) -> float:
    """Train to the end; gives the seconds."""
    began = time.monotonic()
    process = train(folder, workers)
    assert process.wait(300) == 0, (folder / "driver.log").read_text()[-3000:]
    return time.monotonic() - began


def epochs(folder) -> int:
    history = folder / "history.jsonl"
    return len(history.read_text().splitlines()) if history.exists() else 0


def wait_for_an_epoch(folder, after: int, process) -> None:
    until(lambda: epochs(folder) > after or process.poll() is not None, 240)


@pytest.mark.parametrize("num_kills", [1, pytest.param(10, marks=pytest.mark.long)])
def test_a_driver_killed_at_random_moments_resumes_to_the_same_weights(
    tmp_path, rng, matrix, num_kills
):
    num_epochs, workers = (4, -1) if num_kills == 1 else (24, 0)
    quiet, killed = (prepare(tmp_path, name, num_epochs, 240) for name in ("quiet", "killed"))
    finish(quiet, workers)
    line, total = matrix("SIGKILL of a training's driver"), 0
    while total < num_kills and epochs(killed) < num_epochs:
        begun = epochs(killed)
        process = train(killed, workers)
        wait_for_an_epoch(killed, begun, process)
        time.sleep(rng.uniform(0, 0.4))
        total += kill(process)
        line.add()
    line.seconds.append(finish(killed, workers))
    assert_same(weights(quiet), weights(killed))
    assert epochs(killed) == num_epochs
    assert len(list(killed.glob("checkpoint*"))) == 2, "orphans are swept"


@pytest.mark.long
@pytest.mark.parametrize("number", range(4))
def test_a_ray_worker_killed_mid_epoch_is_replaced_and_the_weights_are_the_same(
    tmp_path, rng, matrix, number
):
    quiet, killed = (prepare(tmp_path, name, 12, 2000) for name in ("quiet", "killed"))
    finish(quiet, workers=2)
    process = train(killed, workers=2)
    wait_for_an_epoch(killed, 0, process)
    time.sleep(rng.uniform(0, 1.0))
    victim = rng.choice(ray_workers(process.pid))
    os.kill(victim.pid, signal.SIGKILL)
    began, before = time.monotonic(), epochs(killed)
    wait_for_an_epoch(killed, before, process)
    line = matrix("SIGKILL of a Ray training worker, 2 workers")
    line.add(seconds=time.monotonic() - began)
    assert process.wait(300) == 0, (killed / "driver.log").read_text()[-3000:]
    assert_same(weights(quiet), weights(killed))
    kept = [path for path in (killed / "ray").glob("*/checkpoint_*") if path.is_dir()]
    assert len(kept) == 1, "orphans are swept"


def ray_workers(pid: int) -> list[psutil.Process]:
    """The processes that train."""
    found = []
    for process in psutil.process_iter(["cmdline", "environ"]):
        with suppress(psutil.Error):
            title = " ".join(process.info["cmdline"] or [])
            if "RayTrainWorker" in title and descends(process, pid):
                found.append(process)
    assert found, "Ray's workers are named after what they do"
    return found


def descends(process: psutil.Process, pid: int) -> bool:
    return pid in {parent.pid for parent in process.parents()}
