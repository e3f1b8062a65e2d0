"""The last behaviours of a shopper, one row each, collected when read. Next: ``derived.py``."""

from feast.types import Float64, Int64, String

from feature_repo.entities import user
from feature_repo.rollups import HISTORY
from feature_repo.settings import Settings
from feature_repo.views.sources import collected_view

_TYPES = {"Int64": Int64, "String": String, "Float64": Float64}

HISTORY_FEATURES: tuple[str, ...] = tuple(HISTORY)

user_history = collected_view(
    "user_history",
    user,
    {column: _TYPES[kind.__name__] for column, kind in HISTORY.items()},
    last=Settings().history_length,
    order="history_at,event_id",
    description="The last behaviours: absolute time, kind code, item, quantity, amount, order.",
)
