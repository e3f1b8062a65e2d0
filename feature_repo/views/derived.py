"""Features that age, computed when asked for: on-demand views over state and ``asked_at``.

Feast runs these bodies from their stored source text, so each imports what it needs inside. It
compares their fields with bare ones that it infers: what they mean stands in ``glossary.py`` alone.
`feast apply` takes two on-demand views for equal whatever features they have, but looks at their
descriptions: each tells an edition of its features, so that a new one reaches a registry that is
there already. Next: ``services.py``.
"""

import pandas as pd
from feast import Field, RequestSource
from feast.on_demand_feature_view import on_demand_feature_view
from feast.types import Float64, Int64

from feature_repo.derive import ITEM_FEATURES, USER_FEATURES
from feature_repo.views.item import item_days, item_state
from feature_repo.views.sources import described, edition
from feature_repo.views.treatment import user_treatments
from feature_repo.views.user import user_days, user_state

asked_at = RequestSource(name="asked_at", schema=described({"asked_at": Int64}))


@on_demand_feature_view(
    sources=[user_state, user_days, user_treatments, asked_at],
    schema=[Field(name=name, dtype=Float64) for name in USER_FEATURES],
    description="Recency, frequency, money, 7/30/90-day windows, rhythm and fatigue when asked; "
    + edition(USER_FEATURES),
)
def user_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """User features; see ``derive.user``."""
    from feature_repo.derive import derive_frame, user

    return derive_frame(user, inputs)


@on_demand_feature_view(
    sources=[item_state, item_days, asked_at],
    schema=[Field(name=name, dtype=Float64) for name in ITEM_FEATURES],
    description="Price, age and popularity windows at the moment of asking; "
    + edition(ITEM_FEATURES),
)
def item_features(inputs: pd.DataFrame) -> pd.DataFrame:
    """Item features; see ``derive.item``."""
    from feature_repo.derive import derive_frame, item

    return derive_frame(item, inputs)
