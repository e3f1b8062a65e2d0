"""The head of effects: what happens if nothing is done, and what each action adds to it.

Next: ``../tasks/uplift.py``.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

HIDDEN = 32


class EffectHead(nn.Module):
    """Logits of outcomes under each action; training begins where no action changes anything.

    Effects are small differences: two free heads would differ by their noise alone (Curth and van
    der Schaar, 2021).
    """

    def __init__(self, width: int, num_outcomes: int, num_actions: int) -> None:
        super().__init__()
        self.num_outcomes = num_outcomes
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
        added_BOA = self.added(features_BX).unflatten(1, (self.num_outcomes, -1))
        return torch.cat([usual_BO1, usual_BO1 + added_BOA], dim=2).flatten(1)
