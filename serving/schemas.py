"""What the endpoints take and give: fields, limits and their meaning.

Unknown fields are refused, types are strict, texts hold no NUL and have a greatest length. The
descriptions are the API's documentation. Next: ``catalogue.py``.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from serving.ahead import NextAction
from serving.fields import Id, Quantity, Text, Whole

MAX_ITEMS = 200
MAX_EVENTS = 500

Field_ = Annotated[str, StringConstraints(max_length=8000)] | None
Chance = Literal["leave_90d", "purchase_30d", "leave_60d", "leave_30d", "visit_30d", "return_90d"]
Task = Literal[Chance, "spend_90d", "next_actions"]
Action = Literal["nothing", "reminder", "coupon", "reminder@later", "coupon@later"]


class Body(BaseModel):
    """A request: strict types, unknown fields refused, numbers finite."""

    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False, frozen=True)


class Context(Body):
    """Where the recommendation will stand."""

    page: Text | None = Field(None, description="name of the page or mail; kept in the ledger")
    exclude_items: list[Id] = Field(
        default_factory=list, max_length=1000, description="items not to recommend"
    )
    max_price: float | None = Field(
        None, gt=0, description="greatest price, in the shop's base currency"
    )


class RecommendRequest(Body):
    """Ask for items that a shopper will want next."""

    user_id: Id = Field(description="the shopper")
    num_items: Whole = Field(10, ge=1, le=MAX_ITEMS, description="how many items to give")
    exclude_seen: bool = Field(
        False, description="leave out the items of the shopper's known behaviours"
    )
    context: Context | None = Field(None, description="where the recommendation will stand")


class PredictRequest(Body):
    """Ask how likely a shopper is to leave or to buy again, and what comes next."""

    user_id: Id = Field(description="the shopper")
    tasks: list[Task] | None = Field(
        None, min_length=1, max_length=10, description="which answers; default: all"
    )


class DecideRequest(Body):
    """Ask what to do about a shopper, and reserve the means for it."""

    user_id: Id = Field(description="the shopper")
    campaign_id: Id | None = Field(
        None, description="whose budget and cap hold; default: the service's campaign"
    )


class EventIn(Body):
    """One thing that happened. What a kind needs is checked event by event, by name of reason."""

    event_id: Field_ = Field(description="its own id; sent twice, it counts once")
    kind: Field_ = Field(description="view, click, cart, purchase, return, search, message, ...")
    user_id: Field_ = Field(description="the shopper; an event without one is rejected")
    event_at: Field_ = Field(None, description="ISO 8601, UTC unless it names a zone; default: now")
    item_id: Field_ = Field(None, description="the item, where the kind needs one")
    order_id: Field_ = Field(None, description="the order of a purchase or return")
    quantity: Quantity | None = Field(None, description="pieces, above 0")
    price: float | Field_ = Field(None, description="of one piece, in the shop's base currency")
    text: Field_ = Field(None, description="item text, search words or message")
    decision_id: Field_ = Field(None, description="the decision that led here: becomes its outcome")


class Seen(BaseModel):
    """What an answer rests on; part of every answer."""

    asked_at: datetime = Field(description="the shop's time of the answer (UTC)")
    model_version: str = Field(description="content hash of the served model bundle")
    feature_version: str = Field(description="hash of the feature schema it was trained on")


class Answer(Seen):
    """The part that all decisions share. The ledger holds it before the answer leaves."""

    decision_id: str = Field(description="cite it in the events that follow from this answer")
    user_id: str = Field(description="the shopper asked about")
    stale: list[str] = Field(description="what is older than it should be: `catalogue`, `model`")
    missing: list[str] = Field(
        description="what was not known: `shopper`, `history`, `purchases`, `feature: <name>`"
    )
    notices: list[str] = Field(description="in words, what makes this answer less certain")


class Item(BaseModel):
    """One recommended item."""

    item_id: str = Field(description="the item")
    rank: int = Field(description="place in the list, from 1")
    score: float = Field(description="the model's score; higher is likelier bought next")
    text: str | None = Field(description="latest description known")
    price: float | None = Field(description="latest price, in the shop's base currency")
    is_new: bool = Field(description="unknown in training: scored by its text and numbers alone")
    reason: str = Field(description="why, in plain words")
    probability: float = Field(
        description="with which it was drawn at its rank, given the items before it (propensity); "
        "1 where nothing is left to chance"
    )


class Recommendation(Answer):
    """Items in the order to show them: by descending score, or drawn by chance near it."""

    items: list[Item] = Field(description="the items, in the order to show them")


class Prediction(Answer):
    """Probabilities of what the shopper will do."""

    probabilities: dict[str, float] = Field(
        description="by task: no purchase in 90 days (`leave_90d`), 60 and 30, one in 30, a visit, "
        "something sent back"
    )
    amounts: dict[str, float] = Field(description="`spend_90d`, expected, in the base currency")
    next_actions: list[NextAction] = Field(
        description="the next steps, from the first; empty where the model foresees none"
    )
    reasons: dict[str, str] = Field(description="by task, what stands behind it in plain words")


class Alternative(BaseModel):
    """One action that could have been taken."""

    action: Action = Field(description="the action")
    probability: float = Field(description="with which the policy takes it here (propensity)")
    blocked: str | None = Field(description="why it is not allowed now; null when it is")


class Treatment(Answer):
    """What to do, drawn from the policy's probabilities within the limits."""

    action: Action = Field(description="what to do")
    probability: float = Field(description="with which this action was drawn (propensity)")
    reason: str = Field(description="why, in plain words")
    alternatives: list[Alternative] = Field(description="every action with its probability")
    predictions: dict[str, float] = Field(description="the probabilities behind it, by task")
    campaign_id: str = Field(description="whose budget and cap hold")
    cost: float = Field(description="reserved for it, in the shop's base currency")
    policy_version: str = Field(description="content hash of the served policy bundle")
    act_at: datetime = Field(
        description="when to do it (UTC): now, or the hour of today that ``@later`` means"
    )
    arms: dict[str, str] = Field(description="experiments the shopper is in, each with the arm")


class Rejected(BaseModel):
    """An event that was not taken."""

    event_id: str | None = Field(description="as sent")
    reason: str = Field(description="name of the reason")
    message: str = Field(description="what it means and how to mend it")


class Receipt(Seen):
    """What became of the events: read = accepted + duplicates + rejected."""

    read: int = Field(description="events in the request")
    accepted: int = Field(description="kept, and visible to the next request")
    duplicates: int = Field(description="known already by their event id")
    rejected: list[Rejected] = Field(description="not taken, each with its reason")
    notices: list[str] = Field(description="in words, what is odd about these events")


class Behaviour(BaseModel):
    """One line of a shopper's history."""

    at: datetime = Field(description="when it happened (UTC)")
    kind: str = Field(description="view, click, cart, purchase, return, search, message")
    item_id: str | None = Field(description="the item, if any")
    quantity: int | None = Field(description="pieces, if any")
    amount: float | None = Field(description="value in the shop's base currency, if any")
    order_id: str | None = Field(description="the order, if any")


class DecisionOut(BaseModel):
    """A decision as the ledger holds it."""

    decision_id: str = Field(description="its id")
    kind: str = Field(description="recommend, predict or decide")
    user_id: str = Field(description="the shopper")
    decided_at: datetime = Field(description="when (UTC)")
    model_version: str = Field(description="of the model that scored")
    feature_version: str = Field(description="of the features it read")
    policy: str = Field(description="of the policy that chose")
    action: str | None = Field(description="what was chosen; null unless kind is decide")
    probabilities: dict[str, float] = Field(description="action or item to its propensity")
    scores: dict[str, float] = Field(description="what the model said")
    reason: str = Field(description="why, in plain words")
    notices: list[str] = Field(description="what made it less certain")
    campaign_id: str | None = Field(description="whose budget paid")
    cost: float = Field(description="reserved, in the shop's base currency")
    request: dict[str, Any] = Field(description="as asked")
    arms: dict[str, str] = Field(description="experiments it was part of, each with the arm")
    outcomes: list[dict[str, Any]] = Field(description="events that cited it, oldest first")


class User(Seen):
    """A shopper as of now."""

    user_id: str = Field(description="the shopper")
    known: bool = Field(description="false when no event of this shopper was ever seen")
    features: dict[str, float | None] = Field(description="by name; null is unknown")
    behaviours: list[Behaviour] = Field(description="the newest first, at most 50")
    decisions: list[DecisionOut] = Field(description="the newest first, at most 20")


class Problem(BaseModel):
    """Why a request failed."""

    error: str = Field(description="what happened, in a word: `invalid`, `not_found`, ...")
    message: str = Field(description="what happened, the value, and what to change")
    fields: dict[str, str] = Field(
        default_factory=dict, description="for invalid input: path of the field to its fault"
    )
    request_id: str = Field("", description="of this request: its log lines hold the same")


class Ready(Seen):
    """What is loaded."""

    ready: bool = Field(description="whether requests are answered")
    model: str = Field(description="name of the model bundle")
    policy: str = Field(description="name of the policy bundle")
    policy_version: str = Field(description="content hash of the policy bundle")
    num_items: int = Field(description="items in the catalogue")
    catalogue_at: datetime = Field(description="the moment the catalogue shows (UTC)")
    stale: list[str] = Field(description="what is older than it should be")
