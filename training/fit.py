"""A run from the shop's events to a bundle: dataset, training under Ray Train, export.

``fit`` reads as the whole story. The training itself is ``loop.py``; this file is the only one that
knows Ray, and only as a place where the loop runs. Next: ``loop.py``.
"""

from __future__ import annotations

import json
import logging
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from feature_repo import retrieval
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training import track
from training.bundle import Bundle
from training.datasets.batches import Dataset
from training.datasets.rows import build
from training.datasets.vectors import with_text_vectors
from training.export import Finished, calibrate, pack
from training.folders import alone, lead
from training.loop import train
from training.models.text import load_text_encoder
from training.network import load_state, prepare
from training.run import Calendar, Run
from training.tasks import TASKS

WAIT_FOR_OTHERS_S = 60.0
MAX_FAILURES = 2
"""Lost workers that Ray replaces, and restarts of its controller, before a fit gives up."""


def fit(run: Run, settings: Settings, *, now: int, num_workers: int = 0) -> Path:
    """Train `run` on the events of this shop; returns the folder of the finished run.

    Parameters
    ----------
    now
        Microseconds since 1970 (UTC): names the run and dates its bundle.
    num_workers
        Workers of Ray Train; 0 trains in this process.

    Raises
    ------
    ValueError
        When there are too few events, or nothing to start from where the run asks for it.
    """
    base = _base(run, settings.home)
    run = _settled(run, settings, base)
    assert run.calendar is not None, "a settled run has a calendar"
    if base is not None and run.warm_start:
        data = (base.folder / "data").resolve()
    else:
        data = build(run, run.calendar, {name: TASKS[name] for name in run.tasks}, settings)
    folder = track.new_run(settings.home, run.name, now)
    lead(folder / "data", data)
    (folder / "run.json.partial").write_text(run.to_json())
    (folder / "run.json.partial").replace(folder / "run.json")
    return resume(folder, settings, now=now, num_workers=num_workers)


def resume(folder: Path, settings: Settings, *, now: int, num_workers: int = 0) -> Path:
    """Train the run in `folder` from its last checkpoint, or from its beginning; then finish it."""
    run = Run.from_json((folder / "run.json").read_text())
    base = _base(run, settings.home)
    start = base.bundle.path("weights.safetensors") if base and run.warm_start else None
    under_ray(run, folder, start, num_workers)
    finish(run, folder, settings, base, now)
    track.keep_as_latest(folder, run.name)
    return folder


@dataclass(frozen=True, slots=True)
class Base:
    """The finished run that another one starts from, or takes its number of epochs from."""

    folder: Path
    run: Run
    bundle: Bundle


def _base(run: Run, home: Path) -> Base | None:
    """The run that `run` builds on, if it builds on one."""
    if run.warm_start is None and not run.refit:
        return None
    folder = track.find_run(home, run.warm_start or run.name)
    saved = Run.from_json((folder / "run.json").read_text())
    return Base(folder, saved, Bundle.load(folder / "bundle"))


def _settled(run: Run, settings: Settings, base: Base | None) -> Run:
    """`run` with its calendar, and with what it must share with the run it builds on."""
    if base is not None and run.warm_start:
        shared = "tasks task_weights service item_service calendar model size text_encoder refit"
        same = {name: getattr(base.run, name) for name in shared.split()}
        return replace(run, warm_start=base.folder.name, **same)
    calendar = run.calendar
    if calendar is None:
        span = Warehouse(settings.warehouse).span()
        if span is None:
            raise ValueError(
                f"the warehouse {settings.warehouse} holds no events; run "
                "`python -m feature_repo import` or `simulate` first"
            )
        calendar = Calendar.from_span(*span, run.horizon_days)
    if not run.refit:
        return replace(run, calendar=calendar)
    assert base is not None, "a refit has a base"
    epochs = int(base.bundle.manifest["lineage"]["best_epoch"])
    return replace(run, calendar=calendar.refit(), optim=replace(run.optim, num_epochs=epochs))


def under_ray(run: Run, folder: Path, start: Path | None, num_workers: int) -> None:
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


def finish(run: Run, folder: Path, settings: Settings, base: Base | None, now: int) -> Bundle:
    """Make the bundle of the trained run in `folder`: merge, calibrate, measure, export."""
    dataset = Dataset(folder / "data")
    network = prepare(run, dataset)
    load_state(network, load_file(folder / "checkpoint" / "best.safetensors"))
    trained = network.num_parameters()
    for method in run.methods:
        method.merge(network)
    if network.text is None:
        network.text = load_text_encoder(run.text_encoder, run.seed)
    if any(method.changes_text for method in run.methods):
        text: Any = network.text
        dataset = with_text_vectors(dataset, text.encode(dataset.texts), folder / "data")
    progress = json.loads((folder / "checkpoint" / "progress.json").read_text())
    metrics: dict[str, float] = {}
    if run.refit:
        # No validation is left: calibration and thresholds are those of the run before.
        assert base is not None, "a refit has a base"
        thresholds = base.bundle.manifest["thresholds"]
        network.set_calibration(base.bundle.manifest["calibration"])
    else:
        thresholds, metrics = calibrate(network, dataset)
    services = (run.service, run.item_service)
    finished = Finished(
        thresholds=thresholds,
        metrics=metrics,
        schema={name: retrieval.schema(name, settings) for name in services},
        schema_hash=retrieval.schema_hash(services, settings),
        lineage={
            "dataset": dataset.meta["lineage"],
            "best_epoch": progress["best_epoch"],
            "num_steps": progress["step"],
            "num_parameters": trained[0],
            "num_trained_parameters": trained[1],
            "started_from": base and base.bundle.version,
        },
    )
    return pack(run, network, dataset, folder, finished, now)
