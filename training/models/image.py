"""An image encoder: pictures of items to vectors of length 1, by any vision model of transformers.

The model's own processor cuts, scales and normalises. A model that learnt photos beside texts
answers in their common space; of others the class token speaks for the picture where there is one,
the mean over all places where there is none. A pooler is not asked: weights of a classifier come
without it, and it would be drawn by chance. Nothing here learns: callers cache what comes out.
Letters in names: N pictures of a batch, T places, D width. Next: ``items.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from training.models.pretrained import load_model, not_loaded, source_of

if TYPE_CHECKING:
    from PIL.Image import Image

WHAT = "image encoder"


class ImageEncoder:
    """A vision model and its processor, as one function from pictures to vectors."""

    def __init__(self, model: Any, processor: Any) -> None:
        self.model, self.processor = model.eval(), processor
        names = [name for name, _ in model.named_parameters()]
        self._has_class_token = any(name.endswith("cls_token") for name in names)

    @torch.no_grad()
    def encode(
        self,
        pictures: Iterable[Image],
        *,
        batch_size: int = 32,
        advance: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Vectors (n, D) float32 of `pictures`; `advance` is told how many more are done."""
        vectors = []
        for batch in _batches(iter(pictures), batch_size):
            pixels = self.processor(images=batch, return_tensors="pt")["pixel_values"]
            vectors.append(F.normalize(self._vectors(pixels), dim=1).numpy())
            if advance is not None:
                advance(len(batch))
        return np.concatenate(vectors)

    def _vectors(self, pixels: Tensor) -> Tensor:
        """(N, D)."""
        if hasattr(self.model, "get_image_features"):
            return self.model.get_image_features(pixel_values=pixels).pooler_output
        hidden = self.model(pixel_values=pixels).last_hidden_state
        if hidden.ndim == 4:  # a map of N, D, height, width
            return hidden.mean(dim=(2, 3))
        return hidden[:, 0] if self._has_class_token else hidden.mean(dim=1)


def load_image_encoder(name: str, seed: int = 0) -> ImageEncoder:
    """The encoder called `name`: a folder, or any vision model of transformers.

    A name that ends in ``:random`` gives the same architecture with weights drawn from `seed`.

    Raises
    ------
    ValueError
        When there is no such model on this machine and no hub that has it, or it reads no images.
    """
    from transformers import AutoImageProcessor

    model = load_model(name, WHAT, seed)
    try:
        processor = AutoImageProcessor.from_pretrained(source_of(name, WHAT))
    except OSError as error:
        raise not_loaded(name, WHAT, error) from error
    return ImageEncoder(model, processor)


def _batches(pictures: Iterator[Image], size: int) -> Iterator[list[Image]]:
    while batch := list(islice(pictures, size)):
        yield batch
