"""Vectors of texts, computed once per shop: a frozen encoder says the same every time.

The cache lies in ``NUDGE_HOME/cache/text``, one file for each encoder, keyed by the hash of the
text. Next: ``../models/text.py``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[str]], Vectors]


def text_vectors(texts: Sequence[str], encoder: str, folder: Path, encode: Encode) -> Vectors:
    """Vectors of `texts` ``(n, D)``, from the cache in `folder` where it has them.

    Parameters
    ----------
    encoder
        Name of what `encode` is; another name is another cache.
    encode
        Called once, with the texts that the cache lacks.
    """
    path = folder / f"{_hash(encoder)}.npz"
    keys = np.array([_hash(text) for text in texts], dtype="S32")
    known, vectors = _load(path)
    missing = ~np.isin(keys, known)
    if missing.any():
        new, first = np.unique(keys[missing], return_index=True)
        rows = np.flatnonzero(missing)[first]
        fresh = encode([texts[row] for row in rows])
        known = np.concatenate([known, new])
        vectors = np.concatenate([vectors.reshape(-1, fresh.shape[1]), fresh])
        _save(path, known, vectors)
    order = np.argsort(known)
    return vectors[order[np.searchsorted(known, keys, sorter=order)]]


def encoder_of(name: str, seed: int) -> tuple[str, Encode]:
    """Full name and function of the text encoder `name`, loaded only when it has work.

    A random encoder is another one for each seed; a folder is another one when its files change.
    """
    full_name = f"{name}:{seed}" if name.endswith(":random") else name
    if Path(name).is_dir():
        stats = [(path.name, path.stat()) for path in sorted(Path(name).iterdir())]
        full_name += str([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])

    def encode(texts: Sequence[str]) -> Vectors:
        from rich.console import Console
        from rich.progress import Progress

        from training.models.text import load_text_encoder

        console = Console(stderr=True)
        with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
            task = bar.add_task("item texts", total=len(texts))
            return load_text_encoder(name, seed).encode(
                texts, advance=lambda num: bar.advance(task, num)
            )

    return full_name, encode


def _hash(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _load(path: Path) -> tuple[NDArray[np.bytes_], Vectors]:
    if not path.exists():
        return np.empty(0, dtype="S32"), np.empty((0, 0), dtype=np.float32)
    with np.load(path) as saved:
        return saved["keys"], saved["vectors"]


def _save(path: Path, keys: NDArray[np.bytes_], vectors: Vectors) -> None:
    """Replace the file at once: a reader sees the old cache or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(f".{os.getpid()}.npz")
    np.savez(partial, keys=keys, vectors=vectors)
    partial.replace(path)
