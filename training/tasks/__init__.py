"""What a run can learn: one file and one line here for each business question."""

from training.tasks.next_actions import NextActions
from training.tasks.next_item import NextItem
from training.tasks.retention import Retention
from training.tasks.task import Task
from training.tasks.uplift import Uplift

TASKS: dict[str, Task] = {
    "next_item": NextItem(),
    "retention": Retention(),
    "uplift": Uplift(),
    "next_actions": NextActions(),
}

__all__ = ["TASKS", "NextActions", "NextItem", "Retention", "Task", "Uplift"]
