"""What is known about a product at the end of each UTC day. Next: ``derived.py``."""

from feast.types import Int64, String

from feature_repo.entities import item
from feature_repo.rollups import DAYS_KEPT, ITEM_DAYS, ITEM_STATE
from feature_repo.views.sources import collected_view, state_view

item_state = state_view(
    "item_state",
    item,
    {**dict.fromkeys(ITEM_STATE, Int64), "text": String},
    description="First seen, latest price in micros, number of buyers, latest text.",
)
item_days = collected_view(
    "item_days",
    item,
    dict.fromkeys(ITEM_DAYS, Int64),
    last=DAYS_KEPT,
    order="sold_day",
    description="Purchases and views per closed UTC day.",
)
