"""From a text model's outputs at each token to one vector: the mean, the last token or the first.

A model that was trained to embed says which in its folder (``1_Pooling/config.json``, as
sentence-transformers writes it). One that says nothing is asked: in a causal decoder only the last
token has read the whole text, in an encoder all have. Next: ``text.py``.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor, nn

Pooling = Callable[[Tensor, Tensor], Tensor]
"""(hidden_NTD, mask_NT) to (N, D); real tokens come first in each row."""
CONFIG = "1_Pooling/config.json"


def mean_token(hidden_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """The mean over the real tokens."""
    mask_NT1 = mask_NT.unsqueeze(2).to(hidden_NTD.dtype)
    return (hidden_NTD * mask_NT1).sum(dim=1) / mask_NT1.sum(dim=1).clamp(min=1.0)


def last_token(hidden_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """The last real token's."""
    last_N11 = (mask_NT.sum(dim=1) - 1).clamp(min=0).view(-1, 1, 1)
    return hidden_NTD.gather(1, last_N11.expand(-1, 1, hidden_NTD.shape[2])).squeeze(1)


def first_token(hidden_NTD: Tensor, mask_NT: Tensor) -> Tensor:
    """The first token's, which some encoders put before the text for this."""
    return hidden_NTD[:, 0]


BY_MODE: dict[str, Pooling] = {
    "pooling_mode_mean_tokens": mean_token,
    "pooling_mode_lasttoken": last_token,
    "pooling_mode_cls_token": first_token,
}


def pooling_of(model: nn.Module, folder: Path | None = None) -> Pooling:
    """The pooling that the files in `folder` name, else the one that suits `model`.

    Raises
    ------
    ValueError
        When the folder names another one.
    """
    path = None if folder is None else folder / CONFIG
    if path is None or not path.exists():
        return last_token if is_causal(model) else mean_token
    told = json.loads(path.read_text())
    modes = [mode for mode, is_on in told.items() if mode.startswith("pooling_mode_") and is_on]
    if len(modes) != 1 or modes[0] not in BY_MODE:
        raise ValueError(
            f"{path} asks for the pooling {modes}; one of {', '.join(BY_MODE)} is known: "
            "choose a text encoder that has one of these"
        )
    return BY_MODE[modes[0]]


@torch.no_grad()
def is_causal(model: nn.Module) -> bool:
    """Whether what follows a token leaves the token's output alone; found by trying."""
    was_training = model.training
    model.eval()
    ids_2T = torch.tensor([[1, 2, 3, 4], [1, 2, 3, 5]])
    hidden_2TD = model(input_ids=ids_2T, attention_mask=torch.ones_like(ids_2T)).last_hidden_state
    model.train(was_training)
    return bool(torch.allclose(hidden_2TD[0, :3], hidden_2TD[1, :3], atol=1e-5))
