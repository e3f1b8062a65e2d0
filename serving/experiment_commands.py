"""``python -m serving experiment``: plan, start, look at, stop and analyse experiments.

Each writes one page. Next: ``experiments/assignment.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from feature_repo.experiments import Experiment
from feature_repo.settings import Settings, SystemClock
from feature_repo.show import plainly
from feature_repo.warehouse import Warehouse
from serving.experiments import options
from serving.settings import ServingSettings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Experiments.")
console = Console()

DEFAULT_ARMS = ["control:0.5", "treated:0.5"]


@app.command()
def plan(
    effect: Annotated[float, typer.Option(help="to be told: share of the metric's level, as 0.1")],
    metric: options.Metrics = ["purchase"],  # noqa: B006
    arm: options.Arms = DEFAULT_ARMS,
    window_days: options.Window = 7.0,
    traffic: options.Traffic = 1.0,
    ramp: options.Ramp = None,
    alpha: options.Alpha = 0.05,
    power: Annotated[float, typer.Option(min=0.05, max=0.999, help="chance to tell it")] = 0.8,
    past_days: Annotated[
        int, typer.Option(min=7, max=365, help="days of this shop's past to learn from")
    ] = 28,
) -> None:
    """Reckon shoppers and days from this shop's own traffic."""
    from serving.experiments import plan as planning
    from serving.experiments import telling

    settings, warehouse, now = _shop()
    with plainly():
        experiment = Experiment(
            name="plan",
            arms=options.arms(arm),
            metrics=tuple(metric),
            window_days=window_days,
            traffic=traffic,
            steps=options.steps(ramp),
            alpha=alpha,
        )
        found = planning.plan(
            experiment, warehouse, now, lift=effect, past_days=past_days, power=power
        )
    lines = planning.sentences(found)
    facts = [f"arms {', '.join(arm)}", f"window {window_days:g} days", f"traffic {traffic:.0%}"]
    telling.write(
        settings.home.resolve() / "experiments" / "plan.html", planning.page(found, facts), lines
    )


@app.command()
def start(
    name: Annotated[str, typer.Argument(help="a new name")],
    arm: options.Arms,
    metric: options.Metrics = ["purchase"],  # noqa: B006
    guardrail: Annotated[
        list[str] | None,
        typer.Option(help="bound on every arm's effect, as 'returned<0.5'; repeatable"),
    ] = None,
    layer: Annotated[
        str, typer.Option(help="experiments of one layer exclude each other")
    ] = "decide",
    traffic: options.Traffic = 1.0,
    ramp: options.Ramp = None,
    window_days: options.Window = 7.0,
    before_days: Annotated[
        float, typer.Option(min=0.01, help="days of spend before the exposure, for CUPED")
    ] = 28.0,
    margin: options.Margin = 1.0,
    planned: Annotated[
        int, typer.Option(min=1, help="shoppers for which the interval is narrowest; see plan")
    ] = 2_000,
    alpha: options.Alpha = 0.05,
) -> None:
    """Begin an experiment; running services deal shoppers to it within a second or two."""
    from feature_repo.exposures import Experiments
    from serving.experiments import telling
    from serving.experiments.shop import look, setup_of
    from serving.start import check_arms

    settings, warehouse, now = _shop()
    with plainly():
        experiment = Experiment(
            name=name,
            arms=options.arms(arm),
            layer=layer,
            traffic=traffic,
            steps=options.steps(ramp),
            metrics=tuple(metric),
            guardrails=tuple(guardrail or ()),
            window_days=window_days,
            before_days=before_days,
            margin=margin,
            planned_num=planned,
            alpha=alpha,
        )
        setup_of(experiment)
        check_arms(experiment, settings)
        Experiments(warehouse).start(experiment, now)
        seen = look(name, warehouse, now)
    telling.report(seen, settings, "start", [f"experiment {name!r} runs in layer {layer!r}"])


@app.command()
def status(
    name: Annotated[str | None, typer.Argument(help="an experiment; default: all")] = None,
) -> None:
    """Show exposures, sample ratio, guardrails and the interval so far; a crossed guardrail stops.

    Meant to be run every hour or so by a scheduler: looking often costs nothing.
    """
    from feature_repo.exposures import Experiments
    from serving.experiments import telling, words
    from serving.experiments.shop import look, stop_if_crossed

    settings, warehouse, now = _shop()
    store = Experiments(warehouse)
    names = [name] if name is not None else [kept.experiment.name for kept in store.running()]
    if not names:
        console.print(
            "no experiment is running; start one with `python -m serving experiment start`"
        )
    for each in names:
        with plainly():
            seen = look(each, warehouse, now, holdout_share=ServingSettings().holdout_share)
            if stop_if_crossed(seen, warehouse, now):
                console.print(f"[red]stopped[/red] {each}", highlight=False)
                seen = look(each, warehouse, now)
        telling.report(seen, settings, "status", [words.guard(g) for g in seen.analysis.guarded])


@app.command()
def stop(
    name: Annotated[str, typer.Argument(help="a running experiment")],
    reason: Annotated[str, typer.Option(help="why; it is kept")],
) -> None:
    """End an experiment: its shoppers are decided about as all others from now on."""
    from feature_repo.exposures import Experiments
    from serving.experiments import telling
    from serving.experiments.shop import look

    settings, warehouse, now = _shop()
    with plainly():
        Experiments(warehouse).stop(name, reason, now)
        seen = look(name, warehouse, now)
    telling.report(seen, settings, "stop", [f"experiment {name!r} is stopped: {reason}"])


@app.command()
def analyse(
    what: Annotated[str, typer.Argument(help="an experiment, `holdout`, or a CSV or Parquet file")],
    arm: Annotated[str | None, typer.Option(help="of a file: column of the arms")] = None,
    outcome: Annotated[str | None, typer.Option(help="of a file: column of the outcome")] = None,
    before: Annotated[
        str | None, typer.Option(help="of a file: column of a value from before, for CUPED")
    ] = None,
    user: Annotated[
        str | None, typer.Option(help="of a file: column of user ids, where users have many rows")
    ] = None,
    ratio_of: Annotated[
        str | None, typer.Option(help="of a file: column that the outcome is divided by")
    ] = None,
    segment: options.Segments = None,
    control: Annotated[str | None, typer.Option(help="of a file: which arm is the control")] = None,
    share: Annotated[
        list[str] | None, typer.Option(help="of a file: ARM=SHARE as planned; default: equal")
    ] = None,
    correction: Annotated[
        str, typer.Option(help="of segments: holm or benjamini-hochberg")
    ] = "holm",
    alpha: options.Alpha = 0.05,
    planned: Annotated[
        int, typer.Option(min=1, help="of a file: users for which the interval is narrowest")
    ] = 5_000,
    output: Annotated[Path | None, typer.Option(help="of a file: where the page goes")] = None,
) -> None:
    """Say what an experiment found: effects, segments, a verdict in words."""
    from serving.experiments import analysis, own_table, page, telling, words
    from training.own_table import READERS

    path = Path(what)
    with plainly():
        if path.suffix.lower() not in READERS:
            _analyse_shop(what, segment or [], correction)
            return
        if arm is None or outcome is None:
            raise ValueError(f"{path.name} is a file; name its columns with --arm and --outcome")
        columns = own_table.Columns(
            arm=arm,
            outcome=outcome,
            before=before,
            user=user,
            ratio_of=ratio_of,
            segments=tuple(segment or ()),
        )
        users, notes = own_table.read(path, columns)
        setup = own_table.setup_of(
            users,
            columns,
            control=control,
            shares=options.shares(share),
            correction=correction,
            alpha=alpha,
            planned_num=planned,
        )
        found = analysis.analyse(users, setup)
    facts = [f"{len(users):,} users of {path.name}", f"control {setup.control}"]
    text = page.page(f"Experiment in {path.name}", found, facts, notes=notes)
    telling.write(output or Path(f"{path.stem}-experiment.html"), text, words.verdict(found))


def _analyse_shop(name: str, segments: Sequence[str], correction: str) -> None:
    from serving.experiments import telling
    from serving.experiments.shop import look

    settings, warehouse, now = _shop()
    seen = look(
        name,
        warehouse,
        now,
        segments=segments,
        correction=correction,
        holdout_share=ServingSettings().holdout_share,
    )
    telling.report(seen, settings, "analysis", [])


def _shop() -> tuple[Settings, Warehouse, int]:
    """This shop, its warehouse, and its time."""
    settings = Settings()
    return settings, Warehouse(settings.warehouse), SystemClock(settings.home).now()
