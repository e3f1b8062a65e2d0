"""The rows that models ask for, by name. Next: ``definitions.py``, ``retrieval.py``."""

from feast import FeatureService

from feature_repo.views.derived import item_features, user_features
from feature_repo.views.history import user_history
from feature_repo.views.item import item_state
from feature_repo.views.messages import user_messages
from feature_repo.views.treatment import user_treatments

shopper = FeatureService(
    name="shopper",
    features=[user_features, user_history, user_treatments],
    description="A shopper when asked: aggregates, the last behaviours and treatments.",
)
shopper_with_messages = FeatureService(
    name="shopper_with_messages",
    features=[user_features, user_history, user_treatments, user_messages],
    description="What `shopper` tells, and the words of the last messages.",
)
item = FeatureService(
    name="item",
    features=[item_features, item_state[["text"]]],
    description="A product at the moment of asking: price, age, popularity and text.",
)
