"""``POST /recommend``: what a shopper will want next. Next: ``predict.py``."""

from __future__ import annotations

import numpy as np
from fastapi import APIRouter

from serving import explain
from serving.catalogue import Bools
from serving.predictor import best
from serving.routes.asked import Asked, ask, envelope, record_of
from serving.routes.kept import keep
from serving.routes.parts import Running
from serving.routes.strict import StrictRoute
from serving.schemas import Context, Item, Recommendation, RecommendRequest

DAY = 86_400_000_000
router = APIRouter(route_class=StrictRoute)


@router.post("/recommend")
def recommend(request: RecommendRequest, parts: Running) -> Recommendation:
    """Give the items that a shopper will most likely buy next, best first."""
    asked = ask(parts, request.user_id)
    scores = asked.scores.items if asked.is_known else asked.catalogue.popularity
    allowed = _allowed(asked, request)
    rows = best(np.where(allowed, scores, -np.inf), request.num_items)
    items = [_item(asked, int(row), rank, float(scores[row])) for rank, row in enumerate(rows, 1)]
    _note(asked, items, request.num_items)
    decision = record_of(
        asked,
        parts,
        "recommend",
        policy="greedy",
        action=None,
        probabilities={item.item_id: 1.0 for item in items},
        scores={item.item_id: item.score for item in items},
        reason=items[0].reason if items else "no item may be shown",
        campaign_id=None,
        cost_micros=0,
        request=request.model_dump(mode="json"),
    )
    keep(asked, parts, decision)
    parts.meters.answers.labels("recommend").inc()
    return Recommendation(items=items, **envelope(asked, parts))


def _allowed(asked: Asked, request: RecommendRequest) -> Bools:
    """Which catalogue rows may be shown."""
    catalogue, context = asked.catalogue, request.context or Context()
    allowed = catalogue.exists.copy()
    if request.exclude_seen:
        allowed[asked.scores.history] = False
    allowed[[catalogue.index.get(item, 0) for item in context.exclude_items]] = False
    if context.max_price is not None:
        allowed &= np.nan_to_num(catalogue.price, nan=np.inf) <= context.max_price
    return allowed


def _item(asked: Asked, row: int, rank: int, score: float) -> Item:
    catalogue = asked.catalogue
    price = float(catalogue.price[row])
    return Item(
        item_id=catalogue.item_ids[row],
        rank=rank,
        score=score,
        text=catalogue.text[row] or None,
        price=None if np.isnan(price) else price,
        is_new=bool(catalogue.is_new[row]),
        reason=_reason(asked, row),
    )


def _reason(asked: Asked, row: int) -> str:
    """Known to the shopper, else the closest known item, else popularity."""
    catalogue, history = asked.catalogue, asked.scores.history
    at = asked.features["history_at"][-len(history) :] if len(history) else []
    again = np.flatnonzero(history == row)
    if len(again):
        return explain.bought_again(len(again), (asked.asked_at - at[again[-1]]) / DAY)
    known = np.flatnonzero(history)
    if not len(known):
        return explain.popular(float(catalogue.sold_30d[row]))
    closeness = catalogue.vectors[history[known]] @ catalogue.vectors[row]
    place = known[np.flatnonzero(closeness == closeness.max())[-1]]
    other = int(history[place])
    days_ago = (asked.asked_at - at[place]) / DAY
    return explain.similar(catalogue.text[other], catalogue.item_ids[other], days_ago)


def _note(asked: Asked, items: list[Item], num_wanted: int) -> None:
    """Say what the shopkeeper should know of this list."""
    if num_new := sum(item.is_new for item in items):
        asked.notices.append(
            f"{num_new} of {len(items)} items are new since training: scored by text and numbers"
        )
    if len(items) < num_wanted:
        asked.notices.append(f"only {len(items)} of {num_wanted} items are left after the filters")
    named = asked.features["history_item"][-len(asked.scores.history) :]
    lost = {item for item in named if item and item not in asked.catalogue.index}
    if lost:
        asked.notices.append(f"{len(lost)} items of the history are not in today's catalogue")
