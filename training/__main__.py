"""The verbs of training: ``python -m training VERB``.

``fit`` makes a run, ``evaluate`` measures it beside its floors, ``show`` lists what there is,
``policy`` learns what to do from what was done, and ``benchmark`` asks a table of one's own.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from feature_repo.settings import Settings, SystemClock, microseconds
from training.benchmarks.commands import app as benchmark

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(benchmark, name="benchmark")
console = Console()


@app.command()
def fit(
    recipes: Annotated[list[str], typer.Argument(help="recipes, trained one after the other")],
    workers: Annotated[int, typer.Option(min=0, help="of Ray Train; 0 = in this process")] = 0,
    size: Annotated[str, typer.Option(help="tiny, small or base")] = "small",
    seed: Annotated[int, typer.Option(help="of every random choice")] = 0,
    refit: Annotated[bool, typer.Option(help="train on all that closed before the test")] = False,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="a field of the run, as optim.num_epochs=3")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(help="id of a run that was cut short, instead of a new one")
    ] = None,
) -> None:
    """Train recipes on this shop's events; prints the folder of each finished run."""
    from training.fit import fit as fit_run
    from training.fit import resume as resume_run
    from training.recipes import RECIPES
    from training.track import find_run

    settings = Settings()
    if unknown := [name for name in recipes if name not in RECIPES]:
        raise typer.BadParameter(f"{', '.join(unknown)}; choose from {', '.join(RECIPES)}")
    changes = dict(_pair(text) for text in set_ or [])
    for name in recipes:
        began, now = time.monotonic(), SystemClock().now()
        try:
            if resume is not None:
                folder = find_run(settings.home, resume)
                resume_run(folder, settings, now=now, num_workers=workers)
            else:
                told = {"seed": str(seed), "refit": json.dumps(refit)} | changes
                run = RECIPES[name](size).with_settings(told)
                folder = fit_run(run, settings, now=now, num_workers=workers)
        except ValueError as error:
            console.print(f"[red]{name} was not trained:[/red] {error}", soft_wrap=True)
            raise typer.Exit(1) from error
        _print_fit(folder, time.monotonic() - began)


@app.command()
def evaluate(
    run: Annotated[str, typer.Argument(help="a recipe (its newest run), a run id or a folder")],
) -> None:
    """Measure a run beside its floors; writes report.json and report.html into its folder."""
    from training.evaluate import evaluate as evaluate_run
    from training.track import find_run

    folder = find_run(Settings().home, run)
    evaluate_run(folder)
    console.print(f"report: {folder / 'report.html'}", soft_wrap=True)


@app.command()
def policy(
    name: Annotated[str, typer.Argument(help="uplift_budget, bandit or fitted_q")],
    campaign: Annotated[str, typer.Option(help="whose decisions")] = "default",
    window_days: Annotated[
        float, typer.Option(min=0.01, help="days after a decision in which spend counts")
    ] = 7.0,
    margin: Annotated[
        float, typer.Option(min=0.0001, max=1, help="share of revenue that is profit")
    ] = 1.0,
    inputs: Annotated[
        str | None, typer.Option(help="what it reads: numeric features and heads, as a,b,c")
    ] = None,
    as_of: Annotated[str | None, typer.Option(help="ISO 8601, UTC; default: now")] = None,
) -> None:
    """Learn a policy from the ledger's decisions and judge it by shoppers it did not learn from."""
    from training.learn import INPUTS, Plan, learn, names_in

    settings = Settings()
    now = SystemClock(settings.home).now()
    reads = INPUTS if inputs is None else names_in(inputs)
    plan = Plan(name=name, window_days=window_days, campaign=campaign, margin=margin, inputs=reads)
    try:
        until = now if as_of is None else microseconds(as_of)
        bundle, judged = learn(plan, settings, as_of=until, now=now)
    except ValueError as error:
        console.print(f"[red]{name} was not learnt:[/red] {error}", soft_wrap=True)
        raise typer.Exit(1) from error
    for line in (*judged.lines("what was done"), f"version {bundle.version}", str(bundle.folder)):
        console.print(line, soft_wrap=True, highlight=False)


@app.command()
def show() -> None:
    """List the runs of this shop; a star marks the newest finished run of its recipe."""
    runs = Settings().home.resolve() / "runs"
    latest = {path.resolve().name for path in (runs / "latest").glob("*")}
    table = Table("", "run", "size", "seed", "epochs", "validation loss", "bundle")
    for path in sorted(runs.glob("*/run.json")):
        folder = path.parent
        if folder.is_symlink() or folder.name == "latest":
            continue
        run, epochs = json.loads(path.read_text()), _history(folder)
        losses = [line["valid_loss"] for line in epochs if "valid_loss" in line]
        bundle = folder / "bundle" / "bundle.json"
        table.add_row(
            "*" if folder.name in latest else "",
            folder.name,
            run["size"],
            str(run["seed"]),
            str(len(epochs)),
            f"{min(losses):.4f}" if losses else "-",
            json.loads(bundle.read_text())["version"] if bundle.exists() else "-",
        )
    console.print(
        table if table.rows else "no runs yet; `python -m training fit shopper` makes one"
    )


def _history(folder: Path) -> list[dict[str, float]]:
    """One entry for each epoch that the run in `folder` finished."""
    path = folder / "history.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise typer.BadParameter(f"--set {text!r} is no setting; write it as optim.num_epochs=3")
    return name, value


def _print_fit(folder: Path, seconds: float) -> None:
    """What came of a run, in one table."""
    bundle = json.loads((folder / "bundle" / "bundle.json").read_text())
    lineage = bundle["lineage"]
    table = Table("", "", show_header=False)
    table.add_row("run", folder.name)
    table.add_row("bundle", bundle["version"])
    table.add_row(
        "parameters", f"{lineage['num_parameters']:,}, {lineage['num_trained_parameters']:,} moved"
    )
    table.add_row("epoch kept", f"{lineage['best_epoch']} of {len(_history(folder))}")
    for name in ("recall@10", "ndcg@10", *(f"{head}/auc" for head in bundle["heads"])):
        if name in bundle["metrics"]:
            table.add_row(f"validation {name}", f"{bundle['metrics'][name]:.4f}")
    table.add_row("seconds", f"{seconds:.1f}")
    console.print(table)
    console.print(str(folder), soft_wrap=True)


if __name__ == "__main__":
    app()
