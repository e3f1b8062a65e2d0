"""A text encoder: item texts to vectors of length 1, by a transformer and its pooling.

The default is all-MiniLM-L6-v2 (22 M parameters, 384 wide), whose weights lie in an installed
package, so that nothing is asked of any hub. A causal decoder serves as well. Encoding costs
milliseconds a text: callers cache what comes out, and only methods that change the encoder run it
in training. Next: ``pooling.py``, then ``items.py``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from training.models.pooling import Pooling, mean_token, pooling_of
from training.models.pretrained import load_model, not_loaded, source_of

if TYPE_CHECKING:
    from tokenizers import Tokenizer

WHAT = "text_encoder"
MAX_TOKENS = 64


class TextEncoder(nn.Module):
    """A transformer and its tokenizer, as one function from texts to vectors."""

    def __init__(
        self, model: nn.Module, tokenizer: Tokenizer, pooling: Pooling = mean_token
    ) -> None:
        super().__init__()
        self.model, self.tokenizer, self.pooling = model, tokenizer, pooling
        tokenizer.enable_truncation(MAX_TOKENS)
        # On the right, whatever a decoder's own files say: what a token reads lies before it.
        tokenizer.enable_padding(direction="right")

    def forward(self, input_ids_NT: Tensor, attention_mask_NT: Tensor) -> Tensor:
        """Vectors (N, D) of length 1: the real tokens' outputs, pooled and normalised."""
        hidden_NTD = self.model(
            input_ids=input_ids_NT, attention_mask=attention_mask_NT
        ).last_hidden_state
        return F.normalize(self.pooling(hidden_NTD, attention_mask_NT), dim=1)

    def tokens(self, texts: Sequence[str], max_tokens: int = MAX_TOKENS) -> tuple[Tensor, Tensor]:
        """Token ids and mask (N, T) of `texts`, cut at `max_tokens`, padded to the longest."""
        encoded = self.tokenizer.encode_batch(list(texts))
        ids = torch.tensor([e.ids for e in encoded])[:, :max_tokens]
        mask = torch.tensor([e.attention_mask for e in encoded])[:, :max_tokens]
        return ids, mask

    @torch.no_grad()
    def encode(
        self,
        texts: Sequence[str],
        *,
        batch_size: int = 64,
        advance: Callable[[int], None] | None = None,
    ) -> np.ndarray:
        """Vectors (N, D) float32 of `texts`, without gradients.

        Texts of similar length share a batch. `advance` is told how many more are done.
        """
        self.eval()
        device = next(self.parameters()).device
        order = sorted(range(len(texts)), key=lambda row: len(texts[row]))
        vectors = np.zeros((len(texts), self.width), np.float32)
        for start in range(0, len(texts), batch_size):
            rows = order[start : start + batch_size]
            ids, mask = self.tokens([texts[row] for row in rows])
            vectors[rows] = self(ids.to(device), mask.to(device)).cpu().numpy()
            if advance is not None:
                advance(len(rows))
        return vectors

    @property
    def width(self) -> int:
        """Width D of the vectors."""
        return int(self.model.config.hidden_size)  # type: ignore[union-attr, arg-type]


def load_text_encoder(name: str, seed: int = 0) -> TextEncoder:
    """The encoder called `name`: a packaged one, a folder, or any transformers model.

    A name that ends in ``:random`` gives the same architecture with weights drawn from `seed`,
    to measure what the learnt weights are worth.

    Raises
    ------
    ValueError
        When there is no such model on this machine and no hub that has it.
    """
    from tokenizers import Tokenizer
    from transformers import AutoTokenizer

    source, model = source_of(name, WHAT), load_model(name, WHAT, seed)
    saved = Path(source) / "tokenizer.json"
    try:
        backend = (
            Tokenizer.from_file(str(saved))
            if saved.exists()
            else AutoTokenizer.from_pretrained(source).backend_tokenizer
        )
    except OSError as error:
        raise not_loaded(name, WHAT, error) from error
    folder = Path(source) if Path(source).is_dir() else None
    return TextEncoder(model, backend, pooling_of(model, folder)).eval()
