"""A run from the shop's events to a bundle: dataset, training under Ray Train, export.

``fit`` reads as the whole story. Next: ``workers.py``, which trains under Ray.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from safetensors.torch import load_file

from feature_repo import retrieval
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training import track
from training.ahead import described
from training.bundle import Bundle
from training.calibrate import calibrate
from training.datasets.batches import Dataset
from training.datasets.decided import decided
from training.datasets.rows import build
from training.datasets.vectors import with_text_vectors
from training.export import Finished, pack
from training.folders import lead
from training.models.text import load_text_encoder
from training.network import load_state, prepare
from training.run import Calendar, Run
from training.tasks import TASKS, Task, Uplift
from training.workers import train_under_ray


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
        data = build(run, run.calendar, _tasks(run, settings), settings)
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
    train_under_ray(run, folder, start, num_workers)
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


def _tasks(run: Run, settings: Settings) -> dict[str, Task]:
    """The run's tasks by name; what learns from decisions is told those of the ledger."""
    tasks = {name: TASKS[name] for name in run.tasks}
    for name, task in tasks.items():
        if isinstance(task, Uplift):
            tasks[name] = replace(task, decisions=decided(Warehouse(settings.warehouse)))
    return tasks


def _settled(run: Run, settings: Settings, base: Base | None) -> Run:
    """`run` with its calendar, and with what it must share with the run it builds on."""
    if base is not None and run.warm_start:
        learnt = "tasks task_weights task_shares service item_service"
        shared = f"{learnt} calendar model size text_encoder refit"
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
    steps, metrics = described(network, dataset)
    if run.refit:
        # No validation is left: calibration and thresholds are those of the run before.
        assert base is not None, "a refit has a base"
        thresholds = base.bundle.manifest["thresholds"]
        network.set_calibration(base.bundle.manifest["calibration"])
        network.set_habit(base.bundle.manifest.get("habit", 0.0))
    else:
        thresholds, found = calibrate(network, dataset)
        metrics |= found
    services = (run.service, run.item_service)
    finished = Finished(
        next_actions=steps,
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
