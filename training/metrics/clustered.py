"""How sure a mean is, where one shopper has several rows. Next: ``bootstrap.py``."""

from __future__ import annotations

import math

import numpy as np


def mean_error(values: np.ndarray, users: np.ndarray | None = None) -> float:
    """Standard error of the mean of `values` (n,); NaN of one row, or of one shopper.

    With `users` (n,), whose row each is, it is that of sums by user, since rows of one resemble
    each other (Liang and Zeger, 1986): sqrt(G / (G - 1) sum_g (sum_{i of g} (x_i - mean))^2) / n,
    for G users. Without, each row is a user of its own.
    """
    num = len(values)
    who = np.arange(num) if users is None else np.unique(users, return_inverse=True)[1]
    missed = np.bincount(who, values - values.mean())
    groups = len(missed)
    if groups < 2:
        return math.nan
    return math.sqrt(groups / (groups - 1) * float((missed**2).sum())) / num
