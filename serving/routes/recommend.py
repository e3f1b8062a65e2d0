"""``POST /recommend``: what a shopper will want next. Next: ``predict.py``."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from fastapi import APIRouter, Response
from numpy.typing import NDArray

from serving import explain
from serving.catalogue import Bools, Floats
from serving.lists import Arranged
from serving.routes.asked import Asked, ask, envelope, record_of
from serving.routes.kept import keep
from serving.routes.parts import Parts, Running, StoreFailed
from serving.routes.strict import StrictRoute
from serving.schemas import Context, Item, Recommendation, RecommendRequest
from serving.slate import Drawn, Ordering, draw
from serving.upkeep import LEDGER

DAY = 86_400_000_000
Ints = NDArray[np.int64]
router = APIRouter(route_class=StrictRoute)


@router.post("/recommend", response_model=Recommendation)
def recommend(request: RecommendRequest, parts: Running) -> Response:
    """Give the items that a shopper will most likely buy next, best first."""
    asked = ask(parts, request.user_id)
    arranged = arrange(asked, parts)
    drawn, scores = rank(asked, arranged.ordering, request)
    item_ids, items = asked.catalogue.item_ids, listed(asked, drawn, scores)
    _note(asked, items, request.num_items)
    decision = record_of(
        asked,
        parts,
        "recommend",
        policy=arranged.ordering.name,
        action=None,
        probabilities=drawn.logged(item_ids, drawn.chances),
        scores=drawn.logged(item_ids, scores[drawn.rows].tolist()),
        reason=items[0].reason if items else "no item may be shown",
        campaign_id=None,
        cost_micros=0,
        request=request.model_dump(mode="json"),
        arms=arranged.arms,
    )
    keep(asked, parts, decision)
    parts.meters.answers.labels("recommend").inc()
    answer = Recommendation(items=items, **envelope(asked, parts))
    # Checked when it was made: FastAPI would check and copy two hundred items once more.
    return Response(answer.model_dump_json(), media_type="application/json")


def arrange(asked: Asked, parts: Parts) -> Arranged:
    """How the list is made; as served while nobody can tell which experiments run."""
    try:
        with parts.store(LEDGER):
            return parts.lists(asked.user_id, asked.asked_at)
    except StoreFailed:
        return Arranged(ordering=parts.lists.served)


def rank(asked: Asked, ordering: Ordering, request: RecommendRequest) -> tuple[Drawn, Floats]:
    """A list of what may be shown, and the scores of all items."""
    scores = asked.scores.items if asked.is_known else asked.catalogue.popularity
    allowed = np.where(_allowed(asked, request), scores, -np.inf)
    names = asked.catalogue.item_ids
    return draw(allowed, names, request.num_items, ordering, asked.decision_id), scores


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


def listed(asked: Asked, drawn: Drawn, scores: Floats) -> list[Item]:
    """What is shown, in order."""
    catalogue, rows = asked.catalogue, drawn.shown
    return [
        Item(
            item_id=catalogue.item_ids[row],
            rank=rank,
            score=score,
            text=catalogue.text[row] or None,
            price=None if price != price else price,
            is_new=is_new,
            reason=reason,
            probability=chance,
        )
        for rank, (row, score, price, is_new, reason, chance) in enumerate(
            zip(
                rows.tolist(),
                scores[rows].tolist(),
                catalogue.price[rows].tolist(),
                catalogue.is_new[rows].tolist(),
                _reasons(asked, rows),
                drawn.chances[: len(rows)],
                strict=True,
            ),
            1,
        )
    ]


def _reasons(asked: Asked, rows: Ints) -> Iterator[str]:
    """For each of `rows`: known to the shopper, else the closest known item, else popularity."""
    catalogue, history = asked.catalogue, asked.scores.history
    at = asked.features["history_at"][-len(history) :] if len(history) else []
    times: dict[int, list[int]] = {}
    for place, row in enumerate(history.tolist()):
        times.setdefault(row, []).append(place)
    known = np.flatnonzero(history)
    closest = known[_last_greatest(catalogue.vectors[rows] @ catalogue.vectors[history[known]].T)]
    for row, near in zip(rows.tolist(), closest.tolist() or [None] * len(rows), strict=True):
        if places := times.get(row):
            yield explain.bought_again(len(places), (asked.asked_at - at[places[-1]]) / DAY)
        elif near is None:
            yield explain.popular(float(catalogue.sold_30d[row]))
        else:
            other, days_ago = int(history[near]), (asked.asked_at - at[near]) / DAY
            yield explain.similar(catalogue.text[other], catalogue.item_ids[other], days_ago)


def _last_greatest(values: Floats) -> Ints:
    """Column of the greatest value of each row, the last among equals; none without columns."""
    num = values.shape[1]
    if not num:
        return np.zeros(0, dtype=np.int64)
    return num - 1 - values[:, ::-1].argmax(axis=1)


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
