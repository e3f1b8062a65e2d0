"""``python -m serving turn``: one turn of the loop, by hand or from cron. First: ``turn.py``."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from feature_repo.settings import Settings, SystemClock
from feature_repo.show import plainly
from serving.experiments import options

console = Console()


def turn(
    policy: Annotated[
        str, typer.Option(help="what is learnt: uplift_budget, bandit, fitted_q")
    ] = "uplift_budget",
    campaign: Annotated[str, typer.Option(help="whose decisions")] = "default",
    window_days: Annotated[
        float, typer.Option(min=0.01, help="days after a decision in which spend counts")
    ] = 7.0,
    margin: options.Margin = 1.0,
    inputs: Annotated[str | None, typer.Option(help="what the policy reads, as a,b,c")] = None,
    metric: Annotated[
        list[str] | None, typer.Option(help="of the experiment; the first decides; repeatable")
    ] = None,
    guardrail: Annotated[
        list[str] | None, typer.Option(help="that stops it, as 'returned<0.5'; repeatable")
    ] = None,
    traffic: Annotated[
        float, typer.Option(min=0.0001, max=1, help="share of shoppers in the experiment")
    ] = 1.0,
    planned: Annotated[
        int, typer.Option(min=1, help="shoppers for which the interval is narrowest")
    ] = 2_000,
    max_days: Annotated[
        float, typer.Option(min=1, help="after which an experiment that tells nothing ends")
    ] = 42.0,
    rest_days: Annotated[
        float, typer.Option(min=0, help="between the end of one experiment and the next")
    ] = 7.0,
) -> None:
    """Send, attach, learn, ask the log, try or promote: one turn; safe to run as often as you like.

    With no experiment of its own running it learns a policy and starts one where the log does not
    object; with one running it goes by what that says.
    """
    from serving.turn import Terms
    from serving.turn import turn as do_turn
    from training.learn import INPUTS, Plan, names_in

    settings = Settings()
    reads = INPUTS if inputs is None else names_in(inputs)
    learning = Plan(
        name=policy, window_days=window_days, campaign=campaign, margin=margin, inputs=reads
    )
    terms = Terms(
        plan=learning,
        metrics=tuple(metric or ("profit", "purchase")),
        guardrails=tuple(guardrail or ()),
        traffic=traffic,
        planned_num=planned,
        max_days=max_days,
        rest_days=rest_days,
    )
    with plainly():
        steps = do_turn(terms, settings, SystemClock(settings.home))
    table = Table("step", "done", "why")
    for step in steps:
        table.add_row(step.name, step.done, step.why)
    console.print(table)
