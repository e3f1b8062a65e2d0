"""What any model must beat: one file and one line here for each simple rule."""

from training.floors.buy_till_you_die import BuyTillYouDie
from training.floors.co_occurrence import CoOccurrence
from training.floors.floor import ProbabilityFloor, RankingFloor, StepFloor
from training.floors.last_items import LastItems
from training.floors.logistic_rfm import LogisticRfm
from training.floors.markov import Markov
from training.floors.personal_frequency import PersonalFrequency
from training.floors.popularity import Popularity
from training.floors.recency import Recency
from training.floors.repeat_last import RepeatLast
from training.floors.step_frequency import StepFrequency

FLOORS: dict[str, type[RankingFloor] | type[ProbabilityFloor] | type[StepFloor]] = {
    "popularity": Popularity,
    "personal_frequency": PersonalFrequency,
    "last_items": LastItems,
    "co_occurrence": CoOccurrence,
    "recency": Recency,
    "logistic_rfm": LogisticRfm,
    "step_frequency": StepFrequency,
    "repeat_last": RepeatLast,
    "markov": Markov,
    "bg_nbd": BuyTillYouDie,
}

__all__ = ["FLOORS", "ProbabilityFloor", "RankingFloor", "StepFloor"]
