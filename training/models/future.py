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

from training.models.sequence import History

HIDDEN = 32
MAX_LOG_DAYS = 7.0
"""No step is foreseen farther from the one before than some three years."""
NEVER = -30.0
"""Logit of what is no category."""


class Future(NamedTuple):
    """The next U steps of B shoppers."""

    log_step_BUJO: Tensor
    """Log chance of each outcome at a step; j = 0: nothing came before, j > 0: outcome j - 1."""
    days_BU: Tensor
    """Median days from the moment of asking to the step, if it comes; ascending."""
    category_BUC: Tensor
    """Log chance of each category of the step, if it comes."""


class PastCategories(nn.Module):
    """Which category comes next: each by its share of what the shopper did.

    A behaviour weighs (1 + days to the last one)^-fading, and for each step some more are spread
    evenly over the C known categories (the mean of a Dirichlet posterior): who did little is hardly
    told apart from anybody. No category has a number of its own, since what is wanted moves with
    the season, and training would teach that of another.
    """

    known_C: Tensor

    def __init__(self, num_steps: int, num_categories: int) -> None:
        super().__init__()
        self.fading = nn.Parameter(torch.ones(()))
        self.log_even_U = nn.Parameter(torch.zeros(num_steps))
        known_C = torch.zeros(num_categories, dtype=torch.bool)
        self.register_buffer("known_C", known_C, persistent=False)

    def forward(self, history: History, age_P: Tensor) -> Tensor:
        """Log chances (B, U, C)."""
        assert history.category_P is not None, "who foresees steps is told categories"
        number_C = torch.arange(1, len(self.known_C) + 1, device=age_P.device)
        is_of_PC = history.category_P.unsqueeze(1) == number_C
        weight_P = (-self.fading * age_P.log1p()).exp()
        sum_B1C = history.blocks.total(weight_P.unsqueeze(1) * is_of_PC).unsqueeze(1)
        even_U1 = self.log_even_U.exp().unsqueeze(1)
        even_UC = even_U1 * self.known_C / self.known_C.sum().clamp(min=1)
        chance_BUC = (sum_B1C + even_UC) / (sum_B1C.sum(dim=2, keepdim=True) + even_U1)
        return chance_BUC.clamp(min=1e-9).log().masked_fill(~self.known_C, NEVER)


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
        self.category = PastCategories(num_steps, num_categories)

    def forward(self, features_BX: Tensor, history: History, age_P: Tensor) -> Future:
        """The steps of each row of features; `age_P` are days to the last of its behaviours."""
        hidden_BUH = self.shopper(features_BX).unsqueeze(1) + self.step
        after_BUJH = F.gelu(hidden_BUH.unsqueeze(2) + self.before)
        log_gap_BU = F.softplus(self.days(features_BX)).clamp(max=MAX_LOG_DAYS)
        return Future(
            log_step_BUJO=self.outcome(after_BUJH).log_softmax(dim=3),
            days_BU=log_gap_BU.expm1().cumsum(dim=1),
            category_BUC=self.category(history, age_P),
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
