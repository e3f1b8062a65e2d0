"""The first half of every answer: read one shopper, score, and say what was stale or missing.

Next: ``kept.py``.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from feature_repo.ledger import Decision
from feature_repo.settings import DAY, SECOND
from serving import explain
from serving.ahead import TASK, Ahead
from serving.catalogue import Catalogue
from serving.predictor import Predictor, Scores
from serving.routes.parts import Parts, StoreFailed
from serving.upkeep import FEATURES

MAY_LACK = (
    "recency_days_", "tenure_days_purchase", "mean_gap_days", "lateness", "average_order_value"
)  # fmt: skip
"""Unknown by nature until the thing has happened, or happened twice."""
CLOCK_TOLERANCE = 2 * SECOND
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One shopper at one moment, scored."""

    decision_id: str
    user_id: str
    asked_at: int
    features: dict[str, Any]
    """The row of the feature service, by name."""
    catalogue: Catalogue
    scores: Scores
    ahead: Ahead | None
    """The next steps; the average shopper's where nothing is known of this one."""
    probabilities: dict[str, float]
    """Heads' probabilities; the average shopper's where this one is outside what was learnt."""
    amounts: dict[str, float]
    """Expected amounts, by head; the average shopper's as above."""
    stale: list[str]
    missing: list[str]
    notices: list[str]

    @property
    def is_known(self) -> bool:
        """Whether anything was ever seen of this shopper, and could be read."""
        return not {"shopper", FEATURES} & set(self.missing)

    def explained(self, task: str) -> str:
        """The probability of `task` and the shopper's rhythm, or the next step, in words."""
        if task == TASK and self.ahead is not None:
            return explain.next_actions(self.ahead)
        features = None if FEATURES in self.missing else self.features
        if task in self.amounts:
            return explain.amount(task, self.amounts[task], features)
        return explain.prediction(task, self.probabilities[task], features)


def ask(parts: Parts, user_id: str) -> Asked:
    """Read and score `user_id` as of now, under a new decision id."""
    asked_at = parts.clock.now()
    features, missing = _read(parts, user_id, asked_at)
    catalogue = parts.shelf.current
    with parts.meters.stage("score"):
        scores = parts.predictor.score(features, asked_at, catalogue)
    missing = missing or _missing(features, parts.predictor)
    # The model learnt from shoppers with a purchase; others get the average shopper's figures.
    is_outside = bool({"shopper", "purchases", FEATURES} & set(missing))
    stale = find_stale(parts, asked_at)
    if parts.upkeep.lags(user_id) and FEATURES not in missing:
        stale.append(FEATURES)
    for flag in (*stale, *(name.partition(":")[0] for name in missing)):
        parts.meters.flags.labels(flag).inc()
    return Asked(
        decision_id=parts.new_id(),
        user_id=user_id,
        asked_at=asked_at,
        features=features,
        catalogue=catalogue,
        scores=scores,
        ahead=_ahead(scores, missing, parts.predictor),
        probabilities=scores.probabilities | (parts.predictor.priors if is_outside else {}),
        amounts=scores.amounts | (parts.predictor.means if is_outside else {}),
        stale=stale,
        missing=missing,
        notices=_notices(missing, stale, parts.predictor),
    )


def _read(parts: Parts, user_id: str, asked_at: int) -> tuple[dict[str, Any], list[str]]:
    """The shopper's row; that of an unknown one, and the flag for it, when none can be read."""
    try:
        with parts.store(FEATURES):
            return parts.read_user(user_id, asked_at), []
    except StoreFailed:
        return parts.unknown_user(asked_at), [FEATURES]


def envelope(asked: Asked, parts: Parts) -> dict[str, Any]:
    """The fields that all answers share."""
    return {
        "decision_id": asked.decision_id,
        "user_id": asked.user_id,
        "stale": asked.stale,
        "missing": asked.missing,
        "notices": asked.notices,
        **seen(parts, asked.asked_at),
    }


def seen(parts: Parts, asked_at: int) -> dict[str, Any]:
    """When, and by which versions."""
    return {
        "asked_at": moment(asked_at),
        "model_version": parts.model_version,
        "feature_version": parts.feature_version,
    }


def record_of(asked: Asked, parts: Parts, kind: str, **rest: Any) -> Decision:
    """The ledger's record of an answer; `rest` are the fields that the kinds differ in."""
    return Decision(
        decision_id=asked.decision_id,
        kind=kind,
        user_id=asked.user_id,
        decided_at=asked.asked_at,
        model_version=parts.model_version,
        feature_version=parts.feature_version,
        notices=tuple(asked.notices),
        **rest,
    )


def moment(micros: int) -> datetime:
    """Microseconds since 1970 as a UTC time, exactly."""
    return EPOCH + timedelta(microseconds=micros)


def find_stale(parts: Parts, asked_at: int) -> list[str]:
    """What is older than it should be."""
    flags = ["catalogue"] if parts.shelf.is_stale() else []
    trained_to = parts.predictor.trained_to
    if trained_to and asked_at - trained_to > parts.settings.model_stale_days * DAY:
        flags.append("model")
    if parts.upkeep.schema_drift:
        flags.append("schema")
    if parts.clock.behind() > CLOCK_TOLERANCE:
        flags.append("clock")
    return flags


def _missing(features: dict[str, Any], predictor: Predictor) -> list[str]:
    if features["tenure_days"] is None and not features["history_at"]:
        return ["shopper"]
    flags = [] if features["history_at"] else ["history"]
    if features["recency_days_purchase"] is None:
        flags.append("purchases")
    expected = [name for name in predictor.known_in_training if not name.startswith(MAY_LACK)]
    return flags + [f"feature: {name}" for name in expected if features[name] is None]


def _ahead(scores: Scores, missing: list[str], predictor: Predictor) -> Ahead | None:
    """What is foreseen; of whom nothing is known, what came of the average shopper."""
    if scores.ahead is None or not {"shopper", FEATURES} & set(missing):
        return scores.ahead
    return Ahead.average(predictor.next_actions)


def _notices(missing: list[str], stale: list[str], predictor: Predictor) -> list[str]:
    figures = "average probabilities" if predictor.priors else "what the model says of an empty row"
    words = {
        "shopper": f"nothing is known of this shopper: popular items, {figures}",
        "history": "no behaviour of this shopper is known: the numbers alone were used",
        "purchases": f"no purchase of this shopper is known: {figures}",
        "catalogue": "items and prices are those of an earlier day; a renewal is under way",
        "model": "the model's training data is old; train again",
        "clock": "the machine's clock was set back; the shop's goes on where it was",
        "schema": "the registry was changed: this service answers as it began, until its restart",
    }
    words |= {
        FEATURES: f"the online store cannot be read: popular items, {figures}"
        if FEATURES in missing
        else "the last events of this shopper are kept, and not yet in these features",
    }
    return [words[flag] for flag in (*missing, *stale) if flag in words]
