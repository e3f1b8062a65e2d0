"""The head of effects: what happens if nothing is done, and what each action adds to it.

Next: ``../tasks/uplift.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.models.retention import LOG_SCALE

HIDDEN = 32


class EffectHead(nn.Module):
    """Logits of outcomes under each action, those of chances first, then logs of amounts.

    Training begins where no action changes anything: effects are small differences, and two free
    heads would differ by their noise alone (Curth and van der Schaar, 2021).
    """

    scale_O1: Tensor

    def __init__(self, width: int, num_chances: int, num_amounts: int, num_actions: int) -> None:
        super().__init__()
        num_outcomes = num_chances + num_amounts
        scales = torch.tensor([1.0] * num_chances + [LOG_SCALE] * num_amounts).unsqueeze(1)
        self.register_buffer("scale_O1", scales, persistent=False)
        self.usual = nn.Sequential(
            nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, num_outcomes)
        )
        added = nn.Linear(HIDDEN, num_outcomes * (num_actions - 1))
        nn.init.zeros_(added.weight)
        nn.init.zeros_(added.bias)
        self.added = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), added)

    def forward(self, features_BX: Tensor) -> Tensor:
        """(B, outcomes x actions): the actions of an outcome stand together, nothing first."""
        usual_BO1 = self.usual(features_BX).unsqueeze(2)
        added_BOA = self.added(features_BX).unflatten(1, (len(self.scale_O1), -1))
        under_BOA = torch.cat([usual_BO1, usual_BO1 + added_BOA], dim=2)
        return (under_BOA * self.scale_O1).flatten(1)
