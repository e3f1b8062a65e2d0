"""A dataset as a changed text encoder sees it: the same files, and other text vectors.

Next: ``batches.py``.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np

from training.datasets.batches import Dataset
from training.datasets.normalise import Floats
from training.folders import beside, lead, sweep


def with_text_vectors(dataset: Dataset, vectors: Floats, link: Path) -> Dataset:
    """Let `link` lead to the files of `dataset` with `vectors` as its text vectors.

    What `link` led to before is left as it is, unless it was made here.
    """
    fresh = beside(link)
    fresh.mkdir(parents=True)
    for path in dataset.folder.resolve().iterdir():
        if path.name != "text_vectors.npy":
            (fresh / path.name).symlink_to(os.path.relpath(path.resolve(), fresh))
    np.save(fresh / "text_vectors.npy", vectors)
    lead(link, fresh)
    sweep(link)
    return Dataset(link)
