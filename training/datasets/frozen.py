"""Vectors of texts and photos, computed once per shop: a frozen encoder says the same every time.

The caches lie in ``NUDGE_HOME/cache/text`` and ``image``, one file for each encoder, keyed by the
hash of what is encoded. Next: ``../models/text.py``, ``../models/image.py``.
"""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from training.datasets.photos import Photo

T = TypeVar("T")
Vectors = NDArray[np.float32]
Encode = Callable[[Sequence[T]], Vectors]


def text_vectors(texts: Sequence[str], encoder: str, folder: Path, encode: Encode[str]) -> Vectors:
    """Vectors of `texts` ``(n, D)``, from the cache in `folder` where it has them.

    Parameters
    ----------
    encoder
        Name of what `encode` is; another name is another cache.
    encode
        Called once, with the texts that the cache lacks.
    """
    return _cached(texts, [_hash(text.encode()) for text in texts], encoder, folder, encode)


def photo_vectors(
    photos: Sequence[Photo], encoder: str, folder: Path, encode: Encode[Photo]
) -> Vectors:
    """Vectors of `photos` ``(n, D)``, as :func:`text_vectors` of texts."""
    return _cached(photos, [_hash(photo.read()) for photo in photos], encoder, folder, encode)


def encoder_of(name: str, seed: int) -> tuple[str, Encode[str]]:
    """Full name and function of the text encoder `name`, loaded only when it has work.

    A random encoder is another one for each seed; a folder is another one when its files change.
    """

    def encode(texts: Sequence[str]) -> Vectors:
        from training.models.text import load_text_encoder

        with _progress("item texts", len(texts)) as advance:
            return load_text_encoder(name, seed).encode(texts, advance=advance)

    return _full_name(name, seed), encode


def image_encoder_of(name: str, seed: int) -> tuple[str, Encode[Photo]]:
    """Full name and function of the image encoder `name`, as :func:`encoder_of` of texts."""

    def encode(photos: Sequence[Photo]) -> Vectors:
        from training.models.image import load_image_encoder

        with _progress("item photos", len(photos)) as advance:
            pictures = (photo.picture() for photo in photos)
            return load_image_encoder(name, seed).encode(pictures, advance=advance)

    return _full_name(name, seed), encode


def _full_name(name: str, seed: int) -> str:
    full_name = f"{name}:{seed}" if name.endswith(":random") else name
    if Path(name).is_dir():
        stats = [(path.name, path.stat()) for path in sorted(Path(name).iterdir())]
        full_name += str([(file, stat.st_size, stat.st_mtime_ns) for file, stat in stats])
    return full_name


@contextmanager
def _progress(what: str, total: int) -> Iterator[Callable[[int], None]]:
    """A bar on the terminal, where there is one; gives what tells it how many more are done."""
    from rich.console import Console
    from rich.progress import Progress

    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not sys.stderr.isatty()) as bar:
        task = bar.add_task(what, total=total)
        yield lambda num: bar.advance(task, num)


def _cached(
    things: Sequence[T], hashes: Sequence[str], encoder: str, folder: Path, encode: Encode[T]
) -> Vectors:
    path = folder / f"{_hash(encoder.encode())}.npz"
    keys = np.array(hashes, dtype="S32")
    known, vectors = _load(path)
    missing = ~np.isin(keys, known)
    if missing.any():
        new, first = np.unique(keys[missing], return_index=True)
        rows = np.flatnonzero(missing)[first]
        fresh = encode([things[row] for row in rows])
        known = np.concatenate([known, new])
        vectors = np.concatenate([vectors.reshape(-1, fresh.shape[1]), fresh])
        _save(path, known, vectors)
    order = np.argsort(known)
    return vectors[order[np.searchsorted(known, keys, sorter=order)]]


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:32]


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
