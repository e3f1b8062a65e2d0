"""What a shopper wrote, one row each, collected when read. Next: ``derived.py``."""

from feast.types import Int64, String

from feature_repo.entities import user
from feature_repo.views.sources import collected_view
from feature_repo.words import MESSAGES_KEPT

user_messages = collected_view(
    "user_messages",
    user,
    {"message_at": Int64, "message_text": String},
    last=MESSAGES_KEPT,
    order="message_at,event_id",
    description="The last messages: absolute time and text.",
)
