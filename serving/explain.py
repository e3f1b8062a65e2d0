"""Why an answer is what it is, in plain words from the numbers behind it.

The words name facts (days, counts, amounts) beside the probability; they do not claim to be what
the network weighed. Next: ``routes/recommend.py``.
"""

from __future__ import annotations

from collections.abc import Mapping

from feature_repo.ledger import LimitState
from serving.ahead import Ahead

MICROS = 1_000_000

Features = Mapping[str, float | None]

TASKS = {
    "leave_90d": "risk of leaving within 90 days",
    "leave_60d": "risk of buying nothing in 60 days",
    "leave_30d": "risk of buying nothing in 30 days",
    "purchase_30d": "chance of a purchase within 30 days",
    "visit_30d": "chance of a visit within 30 days",
    "return_90d": "chance of something sent back within 90 days",
    "spend_90d": "expected to be spent within 90 days",
}


POLICIES = {
    "uplift_budget": "decided by what each action changes, at the price of the budget",
    "bandit": "decided by what each action earned with shoppers like this one",
    "fitted_q": "decided by what each action earns from now on",
    "timed": "at the hour of now, today or another day when it changes most",
}
"""What decides beside the risk, by the name of the policy; a threshold is the risk alone."""


def prediction(task: str, probability: float, features: Features | None) -> str:
    """One probability and the shopper's rhythm beside it; None: the features cannot be read."""
    known = "the features cannot be read" if features is None else rhythm(features)
    return f"{_percent(probability)} {TASKS.get(task, task)}: {known}"


def next_actions(ahead: Ahead) -> str:
    """The likeliest next step, when it comes, and the chance that none does."""
    *kinds, leaving = ahead.kinds[0]
    likely = max(range(len(kinds)), key=kinds.__getitem__)
    return (
        f"{_percent(kinds[likely])} {ahead.outcomes[likely]} next, in about "
        f"{_days(ahead.days[0])}; {_percent(leaving)} nothing more"
    )


def amount(task: str, value: float, features: Features | None) -> str:
    """An expected amount and the shopper's rhythm beside it; None: the features cannot be read."""
    known = "the features cannot be read" if features is None else rhythm(features)
    return f"{value:,.2f} {TASKS.get(task, task)}: {known}"


def rhythm(features: Features) -> str:
    """How long since the last purchase, against the shopper's own gap between purchases."""
    since = features.get("recency_days_purchase")
    if since is None:
        return "no purchase of this shopper is known"
    gap = features.get("mean_gap_days")
    orders = features.get("num_orders")
    if gap is None or gap <= 0:
        known = "" if orders is None else f" of {orders:.0f} known"
        return f"{_days(since)} since the last order{known}, no rhythm yet"
    late = since - gap
    standing = f"{_days(late)} late" if late >= 0.5 else "in time"
    return f"{_days(since)} since the last purchase, {standing} for a rhythm of {_days(gap)}"


def treatment(
    action: str,
    probability: float,
    known: tuple[str, str],
    blocked: Mapping[str, str],
    limits: LimitState,
) -> str:
    """What is `known` (the risk, and the policy that decided), and what the limits say."""
    risk, policy = known
    parts = [risk, *((POLICIES[policy],) if policy in POLICIES else ())]
    if action != "nothing":
        parts.append(f"{action} allowed ({_spent(limits)})")
    parts += [f"no {other}: {why}" for other, why in blocked.items()]
    parts.append(f"drawn with probability {probability:.2f}")
    return "; ".join(parts)


def bought_again(num_lines: int, days_ago: float) -> str:
    """An item the shopper knows."""
    times = "once" if num_lines == 1 else f"{num_lines} times"
    return f"in the shopper's history {times}, last {_days(days_ago)} ago"


def similar(text: str | None, item_id: str, days_ago: float) -> str:
    """An item close to one the shopper knows."""
    return f"closest to {text or item_id}, {_days(days_ago)} ago in the history"


def popular(num_purchases_30d: float | None) -> str:
    """An item that stands for what everyone buys."""
    if not num_purchases_30d:
        return "no sales in the last 30 days; scored by its description and price"
    return f"popular: bought {num_purchases_30d:.0f} times in the last 30 days"


def _percent(probability: float) -> str:
    return f"{100 * probability:.0f} %"


def _days(days: float) -> str:
    rounded = round(days)
    return "1 day" if rounded == 1 else f"{rounded} days"


def _spent(limits: LimitState) -> str:
    spent, budget = limits.spent_micros / MICROS, limits.daily_budget_micros / MICROS
    return f"spent {spent:.2f} of {budget:.2f} today"
