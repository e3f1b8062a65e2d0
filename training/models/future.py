"""What a shopper does next, step by step: the chances of a step given the one before it.

Given the shopper, a step depends on the kind of the step before alone. So training sees the true
one (teacher forcing), and serving adds up over all of them exactly, without drawing any. Letters in
names: ``batch.py``. Next: ``../tasks/next_actions.py``.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 32
MAX_LOG_DAYS = 7.0
"""No step is foreseen farther from the one before than some three years."""


class Future(NamedTuple):
    """The next U steps of B shoppers."""

    log_step_BUJO: Tensor
    """Log chance of each outcome at a step; j = 0: nothing came before, j > 0: outcome j - 1."""
    days_BU: Tensor
    """Median days from the moment of asking to the step, if it comes; ascending."""
    category_BUC: Tensor
    """Logit of each category of the step, if it comes."""


class FutureDecoder(nn.Module):
    """Features of a shopper at a moment to the next steps; the last outcome is to leave."""

    def __init__(
        self, width: int, *, num_steps: int, num_outcomes: int, num_categories: int
    ) -> None:
        super().__init__()
        self.shopper = nn.Linear(width, HIDDEN)
        self.step = nn.Parameter(torch.zeros(num_steps, HIDDEN))
        self.before = nn.Parameter(torch.randn(num_outcomes, HIDDEN) * 0.1)
        self.outcome = nn.Linear(HIDDEN, num_outcomes)
        self.days = nn.Sequential(nn.Linear(width, HIDDEN), nn.GELU(), nn.Linear(HIDDEN, num_steps))
        self.category = nn.Linear(HIDDEN, num_categories)
        self.taste = nn.Linear(width, num_categories)

    def forward(self, features_BX: Tensor) -> Future:
        """The steps of each row of features."""
        hidden_BUH = self.shopper(features_BX).unsqueeze(1) + self.step
        after_BUJH = F.gelu(hidden_BUH.unsqueeze(2) + self.before)
        hidden_BUH = F.gelu(hidden_BUH)
        log_gap_BU = F.softplus(self.days(features_BX)).clamp(max=MAX_LOG_DAYS)
        return Future(
            log_step_BUJO=self.outcome(after_BUJH).log_softmax(dim=3),
            days_BU=log_gap_BU.expm1().cumsum(dim=1),
            category_BUC=self.category(hidden_BUH) + self.taste(features_BX).unsqueeze(1),
        )


def marginals(log_step_BUJO: Tensor) -> Tensor:
    """Chances (B, U, O) of each step whatever came before it: the exact sum over all sequences.

    p_t(o) = Σ_j p_{t-1}(j) p_t(o | j), the forward recursion of a Markov chain. Who has left stays
    away.
    """
    step_BUJO = log_step_BUJO.exp()
    chances = [step_BUJO[:, 0, 0]]
    for number in range(1, step_BUJO.shape[1]):
        kind_B1O, left_B1 = chances[-1][:, None, :-1], chances[-1][:, -1:]
        next_BO = (kind_B1O @ step_BUJO[:, number, 1:]).squeeze(1)
        chances.append(torch.cat([next_BO[:, :-1], next_BO[:, -1:] + left_B1], dim=1))
    return torch.stack(chances, dim=1)
