"""Where ids begin that nothing else tells apart: near what was bought with them.

From vectors drawn by chance a catalogue of many rare items learns popularity alone for epochs,
before what goes together shows. Next: ``answers.py``.
"""

from __future__ import annotations

import numpy as np
from scipy import sparse
from scipy.sparse.linalg import svds

from training.benchmarks.sequence_floors import followed
from training.datasets.batches import Dataset
from training.datasets.normalise import Floats

SMOOTHING = 0.75
"""Power of an item's frequency as a neighbour: rare ones would be told too sure of."""
LENGTH = 0.3
"""Of each vector: training moves short ones fast."""
TINY = 1e-6
"""Below this length a vector points nowhere."""


def beginnings(dataset: Dataset, width: int) -> Floats:
    """Vectors (K + 1, width) of training's items; zero at 0, by chance for one bought alone.

    The first singular vectors of the positive pointwise mutual information of items in one training
    sequence, by the root of their singular values, each brought to one length (Levy, Goldberg and
    Dagan, "Improving Distributional Similarity", TACL 2015).
    """
    num = dataset.meta["num_vocabulary"]
    after = followed(dataset)[:num, :num]
    together = (after + after.T).tolil()
    together.setdiag(0.0)
    told = _positive_information(together.tocsr())
    found = np.zeros((num, width))
    rank = min(width, num - 1)
    if told.nnz and rank:
        left, size, _ = svds(told, k=rank, random_state=0)
        found[:, :rank] = left * np.sqrt(size)
    some = told.getnnz(axis=1) > 0
    if some.any():
        found[some] -= found[some].mean(axis=0)
    untold = ~some | (np.linalg.norm(found, axis=1) < TINY)
    found[untold] = np.random.default_rng(0).normal(size=(int(untold.sum()), width))
    found *= LENGTH / np.linalg.norm(found, axis=1, keepdims=True)
    found[0] = 0.0
    return found.astype(np.float32)


def _positive_information(together: sparse.csr_matrix) -> sparse.csr_matrix:
    """log of how much oftener two items come together than by chance, where that is above 0."""
    often = np.asarray(together.sum(axis=1)).ravel()
    smooth = often**SMOOTHING
    pair = together.tocoo()
    expected = often[pair.row] * smooth[pair.col] / max(smooth.sum(), 1e-9)
    told = np.log(np.maximum(pair.data / np.maximum(expected, 1e-9), 1e-9))
    kept = told > 0
    place = (pair.row[kept], pair.col[kept])
    return sparse.csr_matrix((told[kept], place), shape=together.shape)
