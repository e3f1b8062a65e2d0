"""Histories of unequal length as one flat array: no computing on padding.

Positions lie history after history. Neighbours of nearly equal length form a block, whose histories
are all as long as its longest, so that a block is a plain ``(rows, length)`` view and what attends
within histories runs block by block, while everything else runs on all positions at once. What a
block pads is bounded by what one block more would cost (``datasets/encode.py`` lays them out).
One block of everything is ordinary padding: the exported graph. Next: ``sequence.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Blocks(NamedTuple):
    """The layout of P positions of B histories."""

    shapes: tuple[tuple[int, int], ...]
    """(rows, length) of each block; P and B are the sums of rows x length and of rows."""

    def split(self, value_P: Tensor) -> list[Tensor]:
        """Each block of the values of positions ``(P, ...)``, as ``(rows, length, ...)``."""
        if len(self.shapes) == 1:
            return [value_P.unflatten(0, self.shapes[0])]
        parts = value_P.split([rows * length for rows, length in self.shapes])
        return [part.unflatten(0, shape) for part, shape in zip(parts, self.shapes, strict=True)]

    def rows(self, value_B: Tensor) -> list[Tensor]:
        """Each block's histories among ``(B, ...)``."""
        return list(value_B.split([rows for rows, _ in self.shapes]))

    def spread(self, value_B: Tensor) -> Tensor:
        """The values of histories ``(B, ...)`` at each of their positions ``(P, ...)``."""
        return join(
            [
                value.unsqueeze(1).expand(-1, length, *value.shape[1:])
                for value, (_, length) in zip(self.rows(value_B), self.shapes, strict=True)
            ]
        )

    def total(self, value_P: Tensor) -> Tensor:
        """The sums over each history ``(B, ...)`` of the values of positions ``(P, ...)``."""
        return torch.cat([value.sum(dim=1) for value in self.split(value_P)])

    def running(self, value_P: Tensor) -> Tensor:
        """The sums ``(P, ...)`` over each history up to each of its positions."""
        return join([value.cumsum(dim=1) for value in self.split(value_P)])

    def ahead(self, value_P: Tensor) -> Tensor:
        """The value ``(P,)`` of the position after each, 0 behind a history's last."""
        return join([F.pad(value[:, 1:], (0, 1)) for value in self.split(value_P)])

    def so_far(self, value_P: Tensor) -> tuple[Tensor, Tensor]:
        """Each position with every value of its history up to it: positions ascending, values."""
        rows, values, first = [], [], 0
        for value_BL in self.split(value_P):
            num, length = value_BL.shape
            known_LL = torch.ones(length, length, dtype=torch.bool, device=value_P.device).tril()
            row_BLL = torch.arange(num * length, device=value_P.device).view(num, length, 1)
            rows.append((first + row_BLL).expand(-1, -1, length)[:, known_LL].flatten())
            values.append(value_BL.unsqueeze(1).expand(-1, length, -1)[:, known_LL].flatten())
            first += num * length
        return torch.cat(rows), torch.cat(values)

    def longer(self) -> Blocks:
        """The layout with one position more for each history."""
        return Blocks(tuple((rows, length + 1) for rows, length in self.shapes))


def join(blocks: Sequence[Tensor]) -> Tensor:
    """Positions ``(P, ...)`` from blocks ``(rows, length, ...)``."""
    return torch.cat([block.flatten(0, 1) for block in blocks])
