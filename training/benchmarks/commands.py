"""``python -m training benchmark``: what a user's own table can tell, beside its floors.

Each verb reads a CSV or Parquet file, prints tables and writes one page. ``table.py`` is the door
by which every table comes in, ``page.py`` what every report is made of. Next: ``table.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from feature_repo.show import plainly
from training.benchmarks.next_item_command import next_item
from training.benchmarks.options import (
    Epochs,
    Features,
    Figures,
    File,
    Output,
    Seed,
    Size,
    Time,
    Trainings,
    User,
    steps,
)
from training.benchmarks.retention_command import retention

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Your own table.")

app.command(name="next_item")(next_item)
app.command(name="retention")(retention)


@app.command()
def uplift(
    table: File,
    treatment: Annotated[str, typer.Option(help="column of what was done; one value is control")],
    outcome: Annotated[str, typer.Option(help="column of what came of it, a number")],
    propensity: Annotated[
        str | None, typer.Option(help="column of the chance of what was done in the row")
    ] = None,
    user: User = None,
    control: Annotated[str | None, typer.Option(help="which value is the control")] = None,
    feature: Features = None,
    segment: Annotated[
        list[str] | None, typer.Option(help="column by which effects are told; repeatable")
    ] = None,
    value: Annotated[float, typer.Option(help="profit of one outcome")] = 1.0,
    cost: Annotated[
        list[str] | None, typer.Option(help="of treating, as 0.5 or TREATMENT=0.5; repeatable")
    ] = None,
    learner: Annotated[list[str] | None, typer.Option(help="repeatable; default: all four")] = None,
    base: Annotated[list[str] | None, typer.Option(help="linear, boosting; default: both")] = None,
    seed: Seed = 0,
    seeds: Annotated[
        int, typer.Option(min=1, help="cross-fittings whose effects are averaged")
    ] = 1,
    output: Output = None,
) -> None:
    """Say what a treatment changes and for whom: learners beside floors, with intervals."""
    from training.benchmarks import treatments, uplift_page
    from training.benchmarks import uplift as uplifts
    from training.benchmarks.page import show, tell, write
    from training.effects import LEARNERS

    with plainly():
        question = treatments.Question(
            treatment=treatment,
            outcome=outcome,
            propensity=propensity,
            user=user,
            control=control,
            features=tuple(feature) if feature else None,
            segments=tuple(segment or ()),
            value=value,
            learners=tuple(learner or LEARNERS),
            bases=tuple(base or ("linear", "boosting")),
            seed=seed,
            num_seeds=seeds,
        )
        read = treatments.read(table, question)
        question = treatments.with_costs(question, cost or (), read.log.actions[1:])
        num = len(question.learners) * len(question.bases) + 2
        with steps(num) as step:
            found = uplifts.uplift(read, question, step)
    for arm, scores in found.metrics.items():
        show(arm, *uplift_page.metric_rows(scores))
    heads = ["way of treating", "treated", "profit per row"]
    show("above doing nothing", heads, uplift_page.gain_rows(found))
    tell(uplift_page.words(found))
    page = uplift_page.page(table.name, found, question)
    write(output or Path(f"{table.stem}-uplift.html"), page)


@app.command()
def offpolicy(
    log: File,
    action: Annotated[str, typer.Option(help="column of what was done")],
    reward: Annotated[str, typer.Option(help="column of what it earned, a number")],
    propensity: Annotated[str, typer.Option(help="column of the chance of what was done")],
    user: User = None,
    policy: Annotated[
        list[str] | None,
        typer.Option(help="beginning of columns BEGINNING+action of its chances; repeatable"),
    ] = None,
    feature: Features = None,
    base: Annotated[str, typer.Option(help="of the model of the reward")] = "boosting",
    seed: Seed = 0,
    output: Output = None,
) -> None:
    """Say what other policies would have earned: every estimator, or why the log cannot tell."""
    from training.benchmarks import offpolicy as judging
    from training.benchmarks import offpolicy_page
    from training.benchmarks.page import show, tell, write

    with plainly():
        question = judging.Question(
            action=action,
            reward=reward,
            propensity=propensity,
            user=user,
            policies=tuple(policy or ()),
            features=tuple(feature) if feature else None,
            base=base,
            seed=seed,
        )
        read = judging.read(log, question)
        with steps(len(read.names) + len(read.given) + 2) as step:
            found = judging.off_policy(read, question, step)
    show("reward a decision", *offpolicy_page.estimate_rows(found, offpolicy_page.brief(found)))
    tell(offpolicy_page.words(found))
    page = offpolicy_page.page(log.name, found, question)
    write(output or Path(f"{log.stem}-offpolicy.html"), page)
    if not found.told:
        raise typer.Exit(1)


@app.command("next_actions")
def next_actions(
    table: File,
    user: Annotated[str, typer.Option(help="column of who did it")] = "user",
    time: Time = "time",
    kind: Annotated[str, typer.Option(help="column of what: view, click, cart, ...")] = "kind",
    category: Annotated[str | None, typer.Option(help="column of the category, if any")] = None,
    item: Annotated[str | None, typer.Option(help="column of the item, if any")] = None,
    as_: Annotated[
        list[str] | None, typer.Option("--as", help="a word's kind, as buy=purchase; repeatable")
    ] = None,
    horizon_days: Annotated[int, typer.Option(min=1, help="how far ahead it is asked")] = 90,
    seeds: Trainings = 1,
    size: Size = "tiny",
    epochs: Epochs = 8,
    figures: Figures = None,
    output: Output = None,
) -> None:
    """Say how well the next steps of shoppers can be told: the model beside floors."""
    from training.benchmarks import next_actions as asking
    from training.benchmarks import next_actions_page as told
    from training.benchmarks import page, step_table

    with plainly():
        question = step_table.Question(
            user=user,
            time=time,
            kind=kind,
            category=category,
            item=item,
            kinds=step_table.read_kinds(as_ or ()),
            horizon_days=horizon_days,
            num_seeds=seeds,
            size=size,
            num_epochs=epochs,
        )
        read = step_table.read(table, question)
        with steps(seeds + 1) as step:
            found = asking.next_actions(read, question, step)
    page.show("mean over five steps", *told.metric_rows(found))
    page.tell(told.words(found))
    facts = told.facts(table.name, found, question)
    page.figures(figures, told.title(table.name), facts, told.tables(found))
    written = told.page(table.name, found, question)
    page.write(output or Path(f"{table.stem}-next_actions.html"), written)
