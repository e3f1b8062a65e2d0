"""Texts as vectors, by a bundle's own text graph: items' are kept on disk, messages' in memory.

A description is encoded once ever. The words of a message are encoded when a request first meets
them, each text alone, so that no answer depends on what else was asked; they go to no disk.
Next: ``predictor.py``.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from training.bundle import Bundle

if TYPE_CHECKING:
    from tokenizers import Tokenizer

Floats = NDArray[np.float32]

TEXTS_AT_ONCE = 64
MESSAGES_IN_MEMORY = 4096
"""Texts whose vectors a process keeps, those asked for last: 6 MiB at a width of 384."""


class Texts:
    """The text graph of a model bundle.

    Parameters
    ----------
    cache
        Folder of the vectors of items' texts.
    width
        Width D of a vector.
    session
        Opens a graph of the bundle by its name.
    """

    def __init__(
        self, bundle: Bundle, cache: Path, width: int, session: Callable[[str], Any]
    ) -> None:
        self._bundle, self._width, self._session = bundle, width, session
        self._kept = TextCache(cache, bundle)
        self._message = lru_cache(MESSAGES_IN_MEMORY)(lambda text: self.encode([text])[0])

    def of_items(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) of `texts`, zero for an empty one; each text is encoded once ever."""
        known = self._kept.load()
        new = sorted({text for text in texts if text and text not in known}, key=len)
        for start in range(0, len(new), TEXTS_AT_ONCE):
            some = new[start : start + TEXTS_AT_ONCE]
            known.update(zip(some, self.encode(some), strict=True))
        if new:
            self._kept.save(known)
        return self._stacked([known[text] if text else None for text in texts])

    def of_messages(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) of `texts`, zero for an empty one."""
        return self._stacked([self._message(text) if text else None for text in texts])

    def encode(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) of `texts`, which are not empty."""
        tokens = self._tokenizer.encode_batch(list(texts))
        given = {
            "input_ids": np.array([t.ids for t in tokens], dtype=np.int64),
            "attention_mask": np.array([t.attention_mask for t in tokens], dtype=np.int64),
        }
        return self._graph.run(None, given)[0]

    def open(self) -> None:
        """Load graph and tokenizer now, so that no request waits for them."""
        assert self._graph is not None
        assert self._tokenizer is not None

    def _stacked(self, vectors: Sequence[Floats | None]) -> Floats:
        found = np.zeros((len(vectors), self._width), dtype=np.float32)
        for row, vector in enumerate(vectors):
            if vector is not None:
                found[row] = vector
        return found

    @cached_property
    def _graph(self) -> Any:
        return self._session("text.onnx")

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        from tokenizers import Tokenizer

        return Tokenizer.from_file(str(self._bundle.path("tokenizer.json")))


class TextCache:
    """Vectors of texts by one text graph, in one file of the shop's home."""

    def __init__(self, folder: Path, bundle: Bundle) -> None:
        self._path = folder / f"onnx-{bundle.manifest['files']['text.onnx'][:16]}.npz"

    def load(self) -> dict[str, Floats]:
        """Text to its vector."""
        if not self._path.exists():
            return {}
        with np.load(self._path) as saved:
            texts = json.loads(saved["texts"].tobytes())
            return dict(zip(texts, saved["vectors"], strict=True))

    def save(self, vectors: dict[str, Floats]) -> None:
        """Replace the file in one step: another process reads the old one or the new one."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        partial = self._path.with_suffix(f".{os.getpid()}.npz")
        texts = np.frombuffer(json.dumps(list(vectors)).encode(), dtype=np.uint8)
        np.savez(partial, texts=texts, vectors=np.stack(list(vectors.values())))
        partial.replace(self._path)

    def seed(self, data: Path) -> int:
        """Take over the items' vectors of a run's dataset folder; gives how many are kept."""
        if not (data / "texts.json").exists():
            return len(self.load())
        texts = json.loads((data / "texts.json").read_text(encoding="utf-8"))
        vectors = np.load(data / "text_vectors.npy")
        if (data / "meta.json").exists():  # words of messages come behind the texts of items
            num = json.loads((data / "meta.json").read_text()).get("num_item_texts", len(texts))
            texts, vectors = texts[:num], vectors[:num]
        known = self.load() | dict(zip(texts, vectors, strict=True))
        if known:
            self.save(known)
        return len(known)
