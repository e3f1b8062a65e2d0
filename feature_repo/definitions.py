"""The catalogue: every Feast object by name. This is the one file that ``feast apply`` reads."""

from feature_repo import entities, services
from feature_repo.views.derived import item_features, user_features
from feature_repo.views.history import user_history
from feature_repo.views.item import item_days, item_state
from feature_repo.views.messages import user_messages
from feature_repo.views.treatment import user_treatments
from feature_repo.views.user import user_days, user_state

user = entities.user
item = entities.item
shopper_service = services.shopper
shopper_with_messages_service = services.shopper_with_messages
item_service = services.item

__all__ = [
    "item",
    "item_days",
    "item_features",
    "item_service",
    "item_state",
    "shopper_service",
    "shopper_with_messages_service",
    "user",
    "user_days",
    "user_features",
    "user_history",
    "user_messages",
    "user_state",
    "user_treatments",
]
