"""A dataset as a changed text encoder sees it: the same files, and other text vectors.

Next: ``batches.py``.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import numpy as np

from training.datasets.batches import Dataset
from training.datasets.normalise import Floats


def with_text_vectors(dataset: Dataset, vectors: Floats, folder: Path) -> Dataset:
    """The dataset `folder`: links to the files of `dataset`, and `vectors` as its text vectors.

    Whatever was at `folder` is replaced; a link there is taken away and not followed.
    """
    source = dataset.folder.resolve()
    fresh = folder.with_name(f"{folder.name}.fresh")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(parents=True)
    for path in source.iterdir():
        if path.name != "text_vectors.npy":
            (fresh / path.name).symlink_to(os.path.relpath(path, folder))
    np.save(fresh / "text_vectors.npy", vectors)
    if folder.is_symlink():
        folder.unlink()
    shutil.rmtree(folder, ignore_errors=True)
    fresh.rename(folder)
    return Dataset(folder)
