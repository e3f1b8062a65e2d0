"""The verbs of the service: ``python -m serving VERB``.

``promote`` chooses what ``bentoml serve serving.service:Nudge`` serves, ``rollback`` returns to
what it was before, ``promotions`` holds each beside what came of it, ``turn`` does one turn of the
loop, ``outcomes`` shows what came of decisions, ``key`` makes and revokes API keys, ``experiment``
plans, starts, watches, stops and analyses experiments, ``campaign`` and ``suppress`` say what may
be done to whom, ``outbox`` sends it, ``slate`` learns from clicks how to recommend.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from feature_repo.settings import Settings, SystemClock, iso
from serving.campaign_commands import app as campaign_app
from serving.campaign_commands import suppress
from serving.experiment_commands import app as experiment_app
from serving.key_commands import app as key_app
from serving.outbox_commands import app as outbox_app
from serving.slate_commands import slate
from serving.turn_command import turn

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help=__doc__)
app.add_typer(key_app, name="key")
app.add_typer(campaign_app, name="campaign")
app.add_typer(outbox_app, name="outbox")
app.command()(suppress)
app.command()(turn)
app.command()(slate)
app.add_typer(experiment_app, name="experiment")
console = Console()
MICROS = 1_000_000


@app.command()
def promote(
    name: Annotated[
        str, typer.Argument(help="recipe, run id, run folder or bundle folder; or a learnt policy")
    ],
    policy: Annotated[
        list[str] | None, typer.Option(help="a setting of the policy, as epsilon=0.05; repeatable")
    ] = None,
    daily_budget: Annotated[
        float | None, typer.Option(min=0, help="of the campaign, base currency a UTC day")
    ] = None,
    coupon_cost: Annotated[
        float | None, typer.Option(min=0, help="what a coupon reserves, base currency")
    ] = None,
    cap_num: Annotated[
        int | None, typer.Option(min=0, help="actions a shopper may get within the cap's window")
    ] = None,
    cap_days: Annotated[float | None, typer.Option(min=0, help="the cap's window")] = None,
    force: Annotated[
        str, typer.Option(help="why a policy is promoted that the log does not speak for; kept")
    ] = "",
) -> None:
    """Serve this model, or this policy if the log speaks for it, from the next start on.

    Makes the campaign that /decide uses.
    """
    from serving.policies import find_policy, promote_policy
    from serving.promote import keep_campaign
    from serving.promote import promote as choose
    from serving.settings import ServingSettings

    settings = Settings()
    try:
        now = SystemClock(settings.home).now()
        told, learnt = _numbers(policy or []), find_policy(name, settings.home)
        if learnt is None:
            kept = choose(name, settings, now=now, policy=told, force=force)
        elif told:
            raise ValueError(f"--policy changes a threshold, and {name!r} is learnt; leave it out")
        else:
            kept = promote_policy(learnt, settings, now=now, force=force)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    changes = _changes(daily_budget, coupon_cost, cap_num, cap_days)
    campaign = keep_campaign(settings, ServingSettings().campaign, changes)
    _print_kept(kept)
    console.print(
        f"campaign {campaign.campaign_id}: {campaign.daily_budget_micros / MICROS:.2f} a day, "
        f"a coupon costs {campaign.cost_micros.get('coupon', 0) / MICROS:.2f}, at most "
        f"{campaign.cap_num} actions a shopper within {campaign.cap_days:g} days"
    )


@app.command()
def rollback() -> None:
    """Serve again, from the next start on, what was promoted before."""
    from serving.promote import roll_back

    settings = Settings()
    try:
        kept = roll_back(settings, now=SystemClock(settings.home).now())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _print_kept(kept)


@app.command()
def promotions() -> None:
    """Show every promotion: what the log said before, and what its decisions earned since."""
    from serving.policies import came_of

    settings = Settings()
    table = Table("since", "policy", "told, a decision", "measured", "decisions", "", "forced")
    for one in came_of(settings, now=SystemClock(settings.home).now()):
        said, found = one.promotion.judged, one.measured
        table.add_row(
            one.promotion.promoted_at[:16],
            one.promotion.policy,
            "" if said is None else _span(said["own_value"], said["own_low"], said["own_high"]),
            "" if found is None else _span(found.value, found.low, found.high),
            f"{one.num_rows:,}",
            one.verdict,
            one.promotion.forced,
        )
    console.print(table)


def _span(value: float, low: float, high: float) -> str:
    return f"{value:.3f} ({low:.3f} to {high:.3f})"


def _print_kept(kept: Any) -> None:
    console.print(f"model {kept.model}\npolicy {kept.policy}")
    if kept.judged is not None:
        said = kept.judged
        lead = _span(said["lead_value"], said["lead_low"], said["lead_high"])
        console.print(f"by the log it leads the served policy by {lead} a decision")
    if kept.forced:
        console.print(f"promoted by force: {kept.forced}")


@app.command()
def outcomes(
    decision: Annotated[str | None, typer.Option(help="one decision, by its id")] = None,
    limit: Annotated[int, typer.Option(min=1, help="newest decisions to look through")] = 1000,
) -> None:
    """Show decisions that became something: what was done, how likely, and what followed."""
    from feature_repo.ledger import Ledger
    from feature_repo.warehouse import Warehouse

    ledger = Ledger(Warehouse(Settings().warehouse))
    chosen = ledger.decisions(limit=limit) if decision is None else [ledger.get(decision)]
    if chosen == [None]:
        raise typer.BadParameter(f"the ledger holds no decision {decision!r}; check the id")
    found = [(made, ledger.outcomes(made.decision_id)) for made in chosen if made is not None]
    lines = [(made, came) for made, came in found if came or decision is not None]
    _print_outcomes(lines)
    console.print(f"{len(lines)} of {len(found)} decisions shown")


def _print_outcomes(lines: Sequence[tuple[Any, list[dict[str, Any]]]]) -> None:
    table = Table("decision", "at", "shopper", "kind", "action", "probability", "outcomes")
    for made, came in lines:
        probability = made.probabilities.get(made.action)
        table.add_row(
            made.decision_id,
            iso(made.decided_at),
            made.user_id,
            made.kind,
            made.action or "",
            "" if probability is None else f"{probability:.2f}",
            ", ".join(f"{one['kind']} {one['value_micros'] / MICROS:.2f}" for one in came),
        )
    console.print(table)


def _numbers(pairs: Sequence[str]) -> dict[str, float]:
    """``name=number`` pairs."""
    numbers = {}
    for pair in pairs:
        name, _, number = pair.partition("=")
        try:
            numbers[name] = float(number)
        except ValueError as error:
            raise ValueError(
                f"--policy {pair!r} is no setting; write it as epsilon=0.05"
            ) from error
    return numbers


def _changes(
    daily_budget: float | None,
    coupon_cost: float | None,
    cap_num: int | None,
    cap_days: float | None,
) -> dict[str, Any]:
    """The campaign's fields that were named; money in micros."""
    budget = None if daily_budget is None else round(daily_budget * MICROS)
    cost = None if coupon_cost is None else {"coupon": round(coupon_cost * MICROS)}
    named: dict[str, Any] = {"daily_budget_micros": budget, "cost_micros": cost}
    named |= {"cap_num": cap_num, "cap_days": cap_days}
    return {name: value for name, value in named.items() if value is not None}


if __name__ == "__main__":
    app()
