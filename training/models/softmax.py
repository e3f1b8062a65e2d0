"""Cross-entropy of a softmax over the whole catalogue, without the scores of the whole batch.

For row r with vector u_r, item i with vector v_i and bias b_i, and the copies C of the history,

    score(r, i) = u_r . v_i + b_i + sum of value_c over the copies c of r that concern i
    loss        = sum over targets t of  share_t (log sum_i exp score(r_t, i) - score(r_t, i_t))

The gradient by the scores is ``share_r softmax(score_r) - share_t at the targets``. It is made in
the forward pass, a chunk of rows at a time, and turned at once into the gradients by vectors,
biases and copies: the (rows, items) scores never exist as a whole, and nothing is computed twice.
This is the fused linear cross-entropy of Hsu et al. 2024 (Liger Kernel, arXiv:2410.10989); Wijmans
et al. 2024 (arXiv:2411.09009) do it for language models' vocabularies. A temperature belongs into
u_r, and an item that does not exist has the bias -inf. Letters in names: ``batch.py``. Next:
``../tasks/next_item.py``.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

CHUNK = 4 * 1024 * 1024
"""Bytes of scores that exist at one time; beyond a core's cache each pass costs more."""


class Scores(NamedTuple):
    """The scores of all items for R rows, as the parts that they are the sum of."""

    vector_RW: Tensor
    """The temperature is folded in."""
    item_IW: Tensor
    bias_I: Tensor
    """-inf for an item that does not exist."""
    copy_C: Tensor
    """What is added to single scores; several may concern one item."""
    copy_row_C: Tensor
    """int64, the row that a copy belongs to, ascending."""
    copy_item_C: Tensor
    """int64."""

    def whole(self) -> Tensor:
        """The scores (R, I)."""
        score_RI = torch.addmm(self.bias_I, self.vector_RW, self.item_IW.T)
        place = (self.copy_row_C, self.copy_item_C)
        return score_RI.index_put(place, self.copy_C, accumulate=True)

    def of(self, row_S: Tensor) -> Scores:
        """The scores of the rows `row_S`, which ascend."""
        place_R = row_S.new_full((len(self.vector_RW),), -1)
        place_R[row_S] = torch.arange(len(row_S), device=row_S.device)
        row_C = place_R[self.copy_row_C]
        kept = row_C >= 0
        return self._replace(
            vector_RW=self.vector_RW[row_S],
            copy_C=self.copy_C[kept],
            copy_row_C=row_C[kept],
            copy_item_C=self.copy_item_C[kept],
        )


def cross_entropy(
    scores: Scores, target_T: Tensor, target_row_T: Tensor, share_T: Tensor
) -> Tensor:
    """The loss above, a number in nats.

    Parameters
    ----------
    target_T, target_row_T
        int64, item and row of each target, rows ascending; a row without target costs nothing.
    share_T
        Weight of each target. It takes no gradient, and neither do targets.
    """
    told = (*scores, target_T, target_row_T, share_T, torch.is_grad_enabled())
    return _Fused.apply(*told)  # type: ignore[no-untyped-call]


class _Fused(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *told: Any) -> Tensor:
        *parts, target_T, target_row_T, share_T, learning = told
        work = _Work(Scores(*parts), target_T, target_row_T, share_T, learning)
        rows = max(1, CHUNK // (4 * len(work.scores.item_IW)))
        for start in range(0, len(work.scores.vector_RW), rows):
            work.chunk(start, min(start + rows, len(work.scores.vector_RW)))
        ctx.save_for_backward(*work.gradients)
        return work.loss

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *upper: Tensor) -> tuple[Tensor | None, ...]:
        vector_RW, item_IW, bias_I, copy_C = (g * upper[0] for g in ctx.saved_tensors)
        return vector_RW, item_IW, bias_I, copy_C, *[None] * 6


class _Work:
    """The loss so far, and the gradients by vectors, items, biases and copies so far."""

    def __init__(
        self, scores: Scores, target_T: Tensor, row_T: Tensor, share_T: Tensor, learning: bool
    ) -> None:
        self.scores, self.target_T, self.row_T, self.share_T = scores, target_T, row_T, share_T
        self.share_R = share_T.new_zeros(len(scores.vector_RW)).index_add_(0, row_T, share_T)
        self.loss = share_T.new_zeros(())
        learnt = (scores.vector_RW, scores.item_IW, scores.bias_I, scores.copy_C)
        self.gradients = [torch.zeros_like(part) for part in learnt] if learning else []

    def chunk(self, start: int, end: int) -> None:
        """Take in the rows `start` .. `end` - 1."""
        scores = self.scores
        vector_rW, share_r1 = scores.vector_RW[start:end], self.share_R[start:end].unsqueeze(1)
        copies, copy_place = self._places(scores.copy_row_C, scores.copy_item_C, start, end)
        targets, target_place = self._places(self.row_T, self.target_T, start, end)
        score_rI = torch.addmm(scores.bias_I, vector_rW, scores.item_IW.T)
        flat = score_rI.view(-1)
        flat.index_add_(0, copy_place, scores.copy_C[copies])
        hit_t = flat[target_place]
        top_r1 = score_rI.amax(dim=1, keepdim=True)
        total_r1 = score_rI.sub_(top_r1).exp_().sum(dim=1, keepdim=True)
        self.loss += (share_r1 * (top_r1 + total_r1.log())).sum()
        self.loss -= (self.share_T[targets] * hit_t).sum()
        if not self.gradients:
            return
        by_score_rI = score_rI.mul_(share_r1 / total_r1)
        flat.index_add_(0, target_place, -self.share_T[targets])
        by_vector_RW, by_item_IW, by_bias_I, by_copy_C = self.gradients
        torch.mm(by_score_rI, scores.item_IW, out=by_vector_RW[start:end])
        by_item_IW.addmm_(by_score_rI.T, vector_rW)
        by_bias_I += by_score_rI.sum(dim=0)
        by_copy_C[copies] = flat[copy_place]

    def _places(self, row: Tensor, item: Tensor, start: int, end: int) -> tuple[slice, Tensor]:
        """Entries of ascending rows in a chunk, and where they lie in its flat scores."""
        bounds = torch.searchsorted(row, torch.tensor([start, end], device=row.device)).tolist()
        inside = slice(*bounds)
        return inside, (row[inside] - start) * len(self.scores.item_IW) + item[inside]
