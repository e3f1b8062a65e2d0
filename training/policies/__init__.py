"""What to do about scores: one file and one line here for each policy."""

from training.policies.bandit import LinearBandit
from training.policies.budgeted import Budgeted
from training.policies.effects import Effects
from training.policies.fitted_q import FittedQ
from training.policies.policy import Context, Policy
from training.policies.threshold import Threshold
from training.policies.timed import Timed

POLICIES: dict[str, type[Policy]] = {
    "threshold": Threshold,
    "uplift_budget": Budgeted,
    "bandit": LinearBandit,
    "fitted_q": FittedQ,
    "timed": Timed,
}

__all__ = [
    "POLICIES",
    "Budgeted",
    "Context",
    "Effects",
    "FittedQ",
    "LinearBandit",
    "Policy",
    "Threshold",
    "Timed",
]
