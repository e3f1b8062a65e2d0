"""The training loop as work of Ray Train: in this process, on this machine, on a cluster.

The only file that knows Ray, and only as a place where the loop runs. Next: ``loop.py``.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from training import track
from training.folders import alone
from training.loop import train
from training.run import Run

WAIT_FOR_OTHERS_S = 60.0
MAX_FAILURES = 2
"""Lost workers that Ray replaces, and restarts of its controller, before a fit gives up."""


def train_under_ray(run: Run, folder: Path, start: Path | None, num_workers: int) -> None:
    """Run the loop under Ray Train; weights and history are in `folder` afterwards."""
    os.environ.setdefault("RAY_TRAIN_V2_ENABLED", "1")
    from ray.train import CheckpointConfig, FailureConfig, RunConfig, ScalingConfig
    from ray.train.torch import TorchTrainer

    if num_workers:
        _connect(num_workers)
    else:
        logging.getLogger("ray.train").setLevel(logging.WARNING)
    trainer = TorchTrainer(
        _work,
        train_loop_config={
            "run": run.to_json(),
            "folder": str(folder),
            "start": start and str(start),
            "takes_cores": num_workers > 0 and "OMP_NUM_THREADS" not in os.environ,
        },
        scaling_config=ScalingConfig(num_workers=num_workers, use_gpu=_has_gpus(num_workers)),
        run_config=RunConfig(
            # Ray takes a name that it knows for finished and trains nothing.
            name=track.new_attempt(folder / "ray"),
            storage_path=str(folder / "ray"),
            checkpoint_config=CheckpointConfig(num_to_keep=1),
            failure_config=FailureConfig(  # type: ignore[call-arg]
                max_failures=MAX_FAILURES, controller_failure_limit=MAX_FAILURES
            ),
        ),
    )
    kept = trainer.fit().checkpoint
    track.sweep_attempts(folder / "ray", Path(kept.path) if kept else None)


def _connect(num_workers: int) -> None:
    """Join the cluster that ``RAY_ADDRESS`` names, or start Ray on this machine."""
    import ray

    if not ray.is_initialized():
        if os.environ.get("RAY_ADDRESS"):
            ray.init(address="auto")
        else:
            # Nobody takes this machine away with a notice: no process need watch for one.
            os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")
            ray.init(address="local", include_dashboard=False, log_to_driver=False)
    num_cpus = int(ray.cluster_resources().get("CPU", 0))
    if num_cpus < num_workers:
        raise ValueError(
            f"{num_workers} workers need as many CPUs, and Ray has {num_cpus}; lower --workers or "
            "add machines"
        )


def _has_gpus(num_workers: int) -> bool:
    if not num_workers:
        return torch.cuda.is_available()
    import ray

    return ray.cluster_resources().get("GPU", 0) >= num_workers


def _work(config: dict[str, Any]) -> None:
    """What each worker does."""
    folder = Path(config["folder"])
    start = load_file(config["start"]) if config["start"] else None
    run, runtime = Run.from_json(config["run"]), RayRuntime(folder)
    if config["takes_cores"]:
        # Ray gives a worker one thread, however many cores nobody else has asked for.
        torch.set_num_threads(max(1, (os.cpu_count() or 1) // runtime.local_world))
    # Workers of a driver that was killed live on for a moment.
    busy = f"run {folder.name} is being trained by another process; wait for it, or end it"
    lock = folder / f"worker-{runtime.rank}.lock"
    with alone(lock, wait_s=WAIT_FOR_OTHERS_S, otherwise=busy):
        train(run, folder / "data", folder, runtime, start)


class RayRuntime:
    """A worker of Ray Train; checkpoints go to Ray, and the last one to the run's folder."""

    def __init__(self, folder: Path) -> None:
        from ray import train as ray_train
        from ray.train.torch import get_device

        context = ray_train.get_context()
        self.rank, self.world = context.get_world_rank(), context.get_world_size()
        self.local_world = context.get_local_world_size()
        self.device = str(get_device())
        self._ray = ray_train
        self._last = track.PlainRuntime(folder / "checkpoint")

    def report(self, metrics: dict[str, float], checkpoint: Path | None) -> None:
        """Every worker reports; Ray waits for all of them."""
        self._last.report(metrics, checkpoint)
        kept = None if checkpoint is None else self._ray.Checkpoint.from_directory(checkpoint)
        self._ray.report(metrics, checkpoint=kept)

    def checkpoint(self) -> Path | None:
        """What an attempt before this one left in the run's folder."""
        return self._last.checkpoint()
