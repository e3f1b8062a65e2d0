"""``POST /predict``: how likely a shopper is to leave or to buy again. Next: ``decide.py``."""

from __future__ import annotations

from fastapi import APIRouter

from serving import explain
from serving.routes.asked import ask, envelope, record_of
from serving.routes.parts import NotFound, Running
from serving.schemas import Prediction, PredictRequest

router = APIRouter()


@router.post("/predict")
def predict(request: PredictRequest, parts: Running) -> Prediction:
    """Give the probabilities of what a shopper will do, each with its reason."""
    heads = parts.predictor.heads
    tasks = tuple(dict.fromkeys(request.tasks or heads))
    if unknown := [task for task in tasks if task not in heads]:
        raise NotFound(f"the served model does not answer {unknown}; it answers {list(heads)}")
    asked = ask(parts, request.user_id)
    probabilities = {task: asked.probabilities[task] for task in tasks}
    reasons = {
        task: explain.prediction(task, probability, asked.features)
        for task, probability in probabilities.items()
    }
    decision = record_of(
        asked,
        parts,
        "predict",
        policy="none",
        action=None,
        probabilities={},
        scores=probabilities,
        reason="; ".join(reasons.values()),
        campaign_id=None,
        cost_micros=0,
        request=request.model_dump(mode="json"),
    )
    with parts.store("ledger"):
        parts.ledger.write(decision)
    parts.meters.answers.labels("predict").inc()
    return Prediction(probabilities=probabilities, reasons=reasons, **envelope(asked, parts))
