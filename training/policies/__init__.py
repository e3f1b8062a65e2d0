"""What to do about scores: one file and one line here for each policy."""

from training.policies.policy import Context, Policy
from training.policies.threshold import Threshold

POLICIES: dict[str, type[Policy]] = {
    "threshold": Threshold,
}

__all__ = ["POLICIES", "Context", "Policy", "Threshold"]
