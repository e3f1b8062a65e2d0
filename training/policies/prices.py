"""What a unit of each budget is worth: the prices at which spending just fits (dual prices).

Choosing the best actions under budgets is a linear program. Its dual says: give every budget a
price, charge each action for what it draws from it, and let every shopper have the action with the
greatest gain after charges. Then one shopper can be decided at a time (Balseiro, Lu and Mirrokni,
"The best of many worlds: dual mirror descent for online allocation problems", 2023; the prices are
solved again as the budgets go, which paces the day). Next: ``budgeted.py``.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from training.policies.inputs import Floats

NUM_PASSES, NUM_HALVINGS = 8, 40


def solve_prices(gains: Floats, draws: Floats, budgets: Floats) -> Floats:
    """The least prices (m,) at which the rows of `gains` draw no more than `budgets` on average.

    Parameters
    ----------
    gains
        ``(n, A)``, what each action earns for each of n shoppers like those to come.
    draws
        ``(A, m)``, what each action takes from each budget; at least 0, an action that is free of
        all budgets among them.
    budgets
        ``(m,)``, what is left of each for one decision.

    Raises
    ------
    ValueError
        When a draw or a budget is negative, or no action is free.
    """
    if (draws < 0).any() or (budgets < 0).any():
        raise ValueError("draws and budgets of a policy are at least 0; check its settings")
    if not (draws == 0).all(axis=1).any():
        raise ValueError("every action draws from a budget; one must be free, as 'nothing' is")
    prices = np.zeros(len(budgets))
    for _ in range(NUM_PASSES if len(budgets) > 1 else 1):
        before = prices.copy()
        for number in range(len(budgets)):
            prices[number] = _price(gains, draws, budgets, prices, number)
        if np.allclose(prices, before, rtol=1e-6, atol=1e-12):
            break
    return prices


def best(gains: Floats, draws: Floats, prices: Floats) -> NDArray[np.int64]:
    """The action (n,) with the greatest gain after charges; of equal ones the first."""
    return (gains - draws @ prices).argmax(axis=1)


def _price(gains: Floats, draws: Floats, budgets: Floats, prices: Floats, number: int) -> float:
    """The least price of one budget at which it is kept, the others' prices as they stand."""

    def fits(price: float) -> bool:
        tried = prices.copy()
        tried[number] = price
        drawn = draws[best(gains, draws, tried), number].mean()
        return bool(drawn <= budgets[number] * (1 + 1e-9))

    if not len(gains) or fits(0.0):
        return 0.0
    least = draws[draws[:, number] > 0, number].min()
    low, high = 0.0, float((gains.max(axis=1) - gains.min(axis=1)).max() / least) + 1e-9
    for _ in range(NUM_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if fits(middle) else (middle, high)
    return high
