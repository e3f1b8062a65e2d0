"""What the console is shown beside what the other endpoints give. Next: ``sights.py``."""

from __future__ import annotations

from datetime import datetime

from pydantic import BaseModel, Field

from serving.ahead import NextAction
from serving.schemas import Alternative, Item, User


class Risk(BaseModel):
    """One thing that the shopper may do."""

    task: str = Field(description="what it is, as `leave_90d` or `purchase_30d`")
    probability: float = Field(description="calibrated")
    reason: str = Field(description="the probability and the shopper's rhythm in plain words")


class Weighed(BaseModel):
    """What a decision would be drawn from now. Nothing was drawn, kept or reserved."""

    campaign_id: str = Field(description="whose budget and cap hold")
    policy: str = Field(description="that would decide; `nothing` where nobody may act")
    likeliest: str = Field(description="the action of the greatest probability")
    reason: str = Field(description="what stands behind it in plain words")
    alternatives: list[Alternative] = Field(description="every action with its probability")
    arms: dict[str, str] = Field(description="experiments the shopper is in, each with the arm")


class Outlook(User):
    """A shopper as of now, and what the service would answer; the ledger is only read."""

    risk: list[Risk] = Field(description="every probability that the model gives")
    next_actions: list[NextAction] = Field(
        description="the next steps, from the first; empty where the model foresees none"
    )
    amounts: dict[str, float] = Field(description="expected spend, in the base currency")
    items: list[Item] = Field(description="what it would recommend, best first")
    weighed: Weighed = Field(description="what it would decide")
    titles: dict[str, str] = Field(description="item to its latest description, where known")
    stale: list[str] = Field(description="what is older than it should be")
    missing: list[str] = Field(description="what was not known")
    notices: list[str] = Field(description="in words, what makes this less certain")


class Found(BaseModel):
    """Shoppers to look at."""

    shoppers: list[str] = Field(description="ids; without a prefix, the last decided about first")


class Spending(BaseModel):
    """One campaign's money today, in the shop's base currency."""

    campaign_id: str = Field(description="the campaign")
    daily_budget: float = Field(description="for one UTC day")
    spent_today: float = Field(description="reserved or used on this UTC day")
    left_today: float = Field(description="what decisions may still reserve today")
    num_today: int = Field(description="actions reserved today")
    total_budget: float | None = Field(description="for all days; null: the daily one alone holds")
    spent_total: float = Field(description="reserved or used on all days")


class Campaigns(BaseModel):
    """All campaigns."""

    asked_at: datetime = Field(description="the shop's time of the answer (UTC)")
    currency: str = Field(description="the shop's base currency (ISO 4217)")
    campaigns: list[Spending] = Field(description="by id")


class ArmCount(BaseModel):
    """One arm of an experiment."""

    arm: str = Field(description="its name; the first is the control")
    share: float = Field(description="of the experiment's shoppers")
    num_shoppers: int = Field(description="exposed so far")


class Standing(BaseModel):
    """A running experiment."""

    name: str = Field(description="its name")
    layer: str = Field(description="experiments of one layer exclude each other")
    started_at: datetime = Field(description="when (UTC)")
    metric: str = Field(description="what it is decided by")
    arms: list[ArmCount] = Field(description="the control first")
    verdict: list[str] = Field(description="what it says so far, in plain words")
    has_page: bool = Field(description="whether `/experiments/page` gives its page")


class Running(BaseModel):
    """The running experiments as of `asked_at`; each look holds for a minute."""

    asked_at: datetime = Field(description="the shop's time of the look (UTC)")
    experiments: list[Standing] = Field(description="in the order of their starts")
