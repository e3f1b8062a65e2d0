"""What the shop did to a shopper, one row each, collected when read. Next: ``derived.py``."""

from feast.types import Int64, String

from feature_repo.entities import user
from feature_repo.treatments import TREATMENTS_KEPT
from feature_repo.views.sources import collected_view

user_treatments = collected_view(
    "user_treatments",
    user,
    {"treatment_at": Int64, "treatment_action": String},
    last=TREATMENTS_KEPT,
    order="treatment_at,event_id",
    description="The last treatments: absolute time and action.",
)
