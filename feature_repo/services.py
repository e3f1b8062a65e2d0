"""The rows that models ask for, by name. Next: ``definitions.py``, ``retrieval.py``."""

from feast import FeatureService

from feature_repo.views.derived import item_features, user_features
from feature_repo.views.history import user_history
from feature_repo.views.item import item_state
from feature_repo.views.treatment import user_treatments

shopper = FeatureService(
    name="shopper",
    features=[user_features, user_history, user_treatments],
    description="A shopper when asked: aggregates, the last behaviours and treatments.",
)
item = FeatureService(
    name="item",
    features=[item_features, item_state[["text"]]],
    description="A product at the moment of asking: price, age, popularity and text.",
)
