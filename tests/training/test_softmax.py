"""The fused softmax over the catalogue equals the naive one: loss, gradients, scores."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from training.models import softmax
from training.models.softmax import Scores, cross_entropy

LEARNT = ("vector_RW", "item_IW", "bias_I", "copy_C")


def case(seed, rows, items, width, copies, targets, temperature=1.0, absent=0.3):
    """Random parts and targets; item 0 and some others don't exist, targets always do."""
    rng = torch.Generator().manual_seed(seed)
    exists = torch.rand(items, generator=rng) > absent
    exists[0], exists[-1] = False, True
    bias = torch.randn(items, generator=rng)
    scores = Scores(
        vector_RW=torch.randn(rows, width, generator=rng) / temperature,
        item_IW=torch.randn(items, width, generator=rng),
        bias_I=bias.masked_fill(~exists, float("-inf")),
        copy_C=torch.rand(copies, generator=rng),
        copy_row_C=torch.randint(0, rows, (copies,), generator=rng).sort().values,
        copy_item_C=torch.randint(0, items, (copies,), generator=rng),
    )
    possible = exists.nonzero().squeeze(1)
    target = possible[torch.randint(0, len(possible), (targets,), generator=rng)]
    row = torch.randint(0, rows, (targets,), generator=rng).sort().values
    share = torch.rand(targets, generator=rng)
    return scores, target, row, share / share.sum().clamp(min=0.1)


def learning(scores, kind=torch.float32):
    """`scores` with parts of their own, of that kind, that take gradients."""
    parts = {name: getattr(scores, name).to(kind).clone().requires_grad_() for name in LEARNT}
    return scores._replace(**parts)


def naive(scores, target, row, share):
    """The definition, over the whole matrix."""
    score = scores.vector_RW @ scores.item_IW.T + scores.bias_I
    added = torch.zeros_like(score).index_put(
        (scores.copy_row_C, scores.copy_item_C), scores.copy_C, accumulate=True
    )
    log_p = (score + added).log_softmax(dim=1)
    return -(share * log_p[row, target]).sum()


def gradients(loss, scores):
    (0.5 * loss).backward()
    return [getattr(scores, name).grad for name in LEARNT]


@given(
    seed=st.integers(0, 2**20),
    rows=st.integers(1, 40),
    items=st.integers(2, 60),
    width=st.integers(1, 8),
    copies=st.integers(0, 80),
    targets=st.integers(0, 60),
    temperature=st.sampled_from([1.0, 0.3]),
    chunk=st.sampled_from([1, 500, 4_000_000]),
)
@pytest.mark.parametrize(("kind", "within"), [(torch.float32, 1e-5), (torch.float64, 1e-12)])
@settings(max_examples=100, deadline=None)
def test_loss_and_gradients_equal_the_naive_ones(chunk, kind, within, **sizes):
    scores, target, row, share = case(**sizes)
    whole = softmax.CHUNK
    softmax.CHUNK = chunk
    try:
        ours, exact = learning(scores, kind), learning(scores, torch.float64)
        mine = cross_entropy(ours, target, row, share.to(kind))
        expected = naive(exact, target, row, share.double())
        torch.testing.assert_close(mine.double(), expected, rtol=within, atol=within)
        for got, wanted in zip(gradients(mine, ours), gradients(expected, exact), strict=True):
            # The naive way gives NaN where an item doesn't exist and nobody asked for it.
            torch.testing.assert_close(got.double(), wanted.nan_to_num(), rtol=within, atol=within)
    finally:
        softmax.CHUNK = whole


def test_without_gradients_only_the_loss_is_made():
    scores, *targets = case(0, 9, 30, 4, 12, 20)
    with torch.no_grad():
        loss = cross_entropy(learning(scores), *targets)
    assert not loss.requires_grad
    torch.testing.assert_close(loss, naive(scores, *targets))


def test_scores_of_some_rows_are_those_rows_of_all_scores():
    scores, *_ = case(1, 9, 30, 4, 40, 0)
    rows = torch.tensor([1, 4, 8])
    torch.testing.assert_close(scores.of(rows).whole(), scores.whole()[rows])


def test_large_scores_overflow_nowhere():
    scores, *targets = case(2, 5, 20, 3, 4, 6, temperature=0.001)
    ours = learning(scores)
    loss = cross_entropy(ours, *targets)
    assert all(gradient.isfinite().all() for gradient in gradients(loss, ours))
    assert loss.item() == pytest.approx(float(naive(scores, *targets)), rel=1e-5)
