"""``POST /predict``: how likely a shopper is to leave or to buy again, and what comes next.

Next: ``decide.py``.
"""

from __future__ import annotations

from fastapi import APIRouter

from serving.ahead import TASK
from serving.routes.asked import ask, envelope, record_of
from serving.routes.kept import keep
from serving.routes.parts import NotFound, Running
from serving.routes.strict import StrictRoute
from serving.schemas import Prediction, PredictRequest

router = APIRouter(route_class=StrictRoute)


@router.post("/predict")
def predict(request: PredictRequest, parts: Running) -> Prediction:
    """Give the probabilities of what a shopper will do, each with its reason."""
    known = parts.predictor.answers
    tasks = tuple(dict.fromkeys(request.tasks or known))
    if unknown := [task for task in tasks if task not in known]:
        raise NotFound(f"the served model does not answer {unknown}; it answers {list(known)}")
    asked = ask(parts, request.user_id)
    ahead = asked.ahead if TASK in tasks else None
    probabilities = {task: p for task, p in asked.probabilities.items() if task in tasks}
    amounts = {task: amount for task, amount in asked.amounts.items() if task in tasks}
    reasons = {task: asked.explained(task) for task in tasks}
    decision = record_of(
        asked,
        parts,
        "predict",
        policy="none",
        action=None,
        probabilities={},
        scores=probabilities | amounts | ({} if ahead is None else ahead.scores()),
        reason="; ".join(reasons.values()),
        campaign_id=None,
        cost_micros=0,
        request=request.model_dump(mode="json"),
    )
    keep(asked, parts, decision)
    parts.meters.answers.labels("predict").inc()
    return Prediction(
        probabilities=probabilities,
        amounts=amounts,
        next_actions=[] if ahead is None else ahead.steps(asked.asked_at),
        reasons=reasons,
        **envelope(asked, parts),
    )
