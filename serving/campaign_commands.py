"""``python -m serving campaign`` and ``suppress``: what may be done to whom.

Next: ``feature_repo/campaigns.py`` for what each limit means.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from feature_repo.campaigns import Campaign, ChannelCap
from feature_repo.ledger import Ledger
from feature_repo.rules import Rules
from feature_repo.settings import Settings, SystemClock, iso
from feature_repo.warehouse import Warehouse

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Campaigns.")
console = Console()
MICROS = 1_000_000
NONE = "none"


@app.command("set")
def set_(
    name: Annotated[str, typer.Argument(help="the campaign; made when there is none")],
    daily_budget: Annotated[float | None, typer.Option(min=0, help="a UTC day")] = None,
    total_budget: Annotated[str | None, typer.Option(help="of all days; none: no such")] = None,
    cost: Annotated[list[str] | None, typer.Option(help="of an action, as coupon=5")] = None,
    channel: Annotated[list[str] | None, typer.Option(help="as coupon=email")] = None,
    cap_num: Annotated[int | None, typer.Option(min=0, help="actions a shopper may get")] = None,
    cap_days: Annotated[float | None, typer.Option(min=0, help="within these days")] = None,
    needs_consent: Annotated[
        bool | None, typer.Option(help="whether unknown consent counts as no")
    ] = None,
    condition: Annotated[
        list[str] | None, typer.Option(help="who is eligible, as 'num_purchases >= 1'; or none")
    ] = None,
    quiet_hours: Annotated[str | None, typer.Option(help="as 21:00-08:00; or none")] = None,
    exclusion_group: Annotated[str | None, typer.Option(help="or none")] = None,
    exclusion_days: Annotated[float | None, typer.Option(min=0)] = None,
    hold_hours: Annotated[
        str | None, typer.Option(help="what is neither sent nor used by then is released; or none")
    ] = None,
) -> None:
    """Make a campaign or change it; what is not named stays as it is."""
    with_none = {"quiet_hours": quiet_hours, "exclusion_group": exclusion_group}
    given: dict[str, Any] = {
        "daily_budget_micros": None if daily_budget is None else round(daily_budget * MICROS),
        "cap_num": cap_num,
        "cap_days": cap_days,
        "needs_consent": needs_consent,
        "exclusion_days": exclusion_days,
    }
    changes = {field: value for field, value in given.items() if value is not None}
    try:
        changes |= {f: None if v == NONE else v for f, v in with_none.items() if v is not None}
        changes |= _number("total_budget_micros", total_budget, MICROS, round)
        changes |= _number("hold_hours", hold_hours, 1, float)
        if condition is not None:
            changes["conditions"] = tuple(one for one in condition if one != NONE)
        if cost is not None:
            costs = {a: round(_float(f"cost of {a}", c) * MICROS) for a, c in _pairs(cost).items()}
            changes["cost_micros"] = costs
        if channel is not None:
            changes["channels"] = _pairs(channel)
        ledger = Ledger(Warehouse(Settings().warehouse))
        campaign = replace(_kept(ledger, name), **changes)
        ledger.upsert_campaign(campaign)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _print(campaign)


@app.command()
def show(name: str) -> None:
    """The limits of one campaign, and what of them is used."""
    warehouse, settings = Warehouse(Settings().warehouse), Settings()
    try:
        campaign = Ledger(warehouse).campaign(name)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    _print(campaign)
    table = Table("reservations", "number", "cost")
    for state, (num, cost) in Rules(warehouse).use(name, SystemClock(settings.home).now()).items():
        table.add_row(state, str(num), f"{cost / MICROS:.2f}")
    console.print(table)


@app.command("list")
def list_() -> None:
    """All campaigns with their budgets, and the caps of channels."""
    rules = Rules(Warehouse(Settings().warehouse))
    table = Table("campaign", "a day", "in all", "actions a shopper", "group")
    for one in rules.campaigns():
        total = one.total_budget_micros
        in_all = NONE if total is None else f"{total / MICROS:.2f}"
        cap = f"{one.cap_num} in {one.cap_days:g} days"
        daily = f"{one.daily_budget_micros / MICROS:.2f}"
        table.add_row(one.campaign_id, daily, in_all, cap, one.exclusion_group or "")
    console.print(table)
    for cap_ in rules.caps():
        console.print(f"by {cap_.channel}: at most {cap_.num} within {cap_.days:g} days")


@app.command()
def cap(
    channel: Annotated[str, typer.Argument(help="as email; of all campaigns together")],
    num: Annotated[int | None, typer.Option(min=0, help="unset: no cap any more")] = None,
    days: Annotated[float, typer.Option(min=0)] = 7.0,
) -> None:
    """What one shopper may get by one channel, of all campaigns together."""
    rules = Rules(Warehouse(Settings().warehouse))
    if num is None:
        rules.uncap(channel)
        console.print(f"by {channel}: any number")
        return
    rules.cap(ChannelCap(channel=channel, num=num, days=days))
    console.print(f"by {channel}: at most {num} within {days:g} days")


def suppress(
    user: Annotated[str | None, typer.Argument(help="the shopper; none: list all")] = None,
    reason: Annotated[str, typer.Option(help="why nobody may act on them")] = "",
    remove: Annotated[bool, typer.Option("--remove", help="allow it again")] = False,
) -> None:
    """Never act on a shopper, whatever a campaign says; or list whom that is true of."""
    rules, settings = Rules(Warehouse(Settings().warehouse)), Settings()
    if user is None:
        table = Table("shopper", "since", "reason")
        for row in rules.suppressed():
            table.add_row(row["user_id"], iso(row["suppressed_at"]), row["reason"])
        console.print(table)
        return
    if remove:
        done = rules.unsuppress(user)
        console.print(f"{user} may be acted on{' again' if done else ': nothing forbade it'}")
        return
    try:
        rules.suppress(user, reason, SystemClock(settings.home).now())
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"{user} is left alone: {reason}")


def _kept(ledger: Ledger, name: str) -> Campaign:
    """The campaign, or a new one that spends nothing yet."""
    try:
        return ledger.campaign(name)
    except ValueError:
        return Campaign(
            campaign_id=name, daily_budget_micros=0, cap_num=1, cap_days=7.0, cost_micros={}
        )


def _pairs(told: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for pair in told:
        name, is_pair, value = pair.partition("=")
        if not (name and is_pair and value):
            raise ValueError(f"{pair!r} is no pair; write it as coupon=email or coupon=5")
        pairs[name] = value
    return pairs


def _number(name: str, told: str | None, unit: int, kind: Any) -> dict[str, Any]:
    """A number, or that there is none."""
    if told is None:
        return {}
    return {name: None if told == NONE else kind(_float(name, told) * unit)}


def _float(name: str, told: str) -> float:
    try:
        return float(told)
    except ValueError as error:
        raise ValueError(f"{name} is {told!r}; write a number, or none") from error


def _print(campaign: Campaign) -> None:
    """Each limit in a line."""
    table = Table("limit of " + campaign.campaign_id, "is")
    for name in Campaign.__slots__[1:]:
        value = getattr(campaign, name)
        is_money = name.endswith("_micros")
        if is_money and isinstance(value, int):
            value = f"{value / MICROS:.2f}"
        if name == "cost_micros":
            value = {action: cost / MICROS for action, cost in campaign.cost_micros.items()}
        said = ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        table.add_row(name.removesuffix("_micros"), NONE if value in (None, (), {}) else said)
    console.print(table)
