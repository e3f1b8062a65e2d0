"""What each action changes: one file and one line here for each learner; first ``log.py``."""

from training.effects.dr_learner import dr_learner
from training.effects.log import Learner, Log
from training.effects.s_learner import s_learner
from training.effects.t_learner import t_learner
from training.effects.x_learner import x_learner

LEARNERS: dict[str, Learner] = {
    "s_learner": s_learner,
    "t_learner": t_learner,
    "x_learner": x_learner,
    "dr_learner": dr_learner,
}

__all__ = ["LEARNERS", "Learner", "Log", "dr_learner", "s_learner", "t_learner", "x_learner"]
