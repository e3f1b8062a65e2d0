"""What is known about a shopper after each event. Next: ``history.py``."""

from feast.types import Int64

from feature_repo.entities import user
from feature_repo.rollups import DAYS_KEPT, USER_DAYS, USER_STATE
from feature_repo.views.sources import collected_view, state_view

user_state = state_view(
    "user_state",
    user,
    dict.fromkeys(USER_STATE, Int64),
    description="Last times and totals by kind, money in micros, and the running UTC day.",
)
user_days = collected_view(
    "user_days",
    user,
    dict.fromkeys(USER_DAYS, Int64),
    last=DAYS_KEPT,
    order="closed_day",
    description="Increments per closed UTC day, late events as further increments.",
)
