"""Feast as this shop's own processes load it: seconds less, and what they never ask of it left out.

Next: ``retrieval.py``, which opens it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def lean() -> Iterator[None]:
    """Let Feast be imported, for the first time, without torch and without checks of every call.

    Feast tries torch for a conversion to tensors, and goes on without it: 1.5 CPU-seconds and some
    200 MB. Its classes are compiled anew by typeguard to check the types of all their arguments,
    which ``python -O`` leaves out too: 2.8 CPU-seconds. Plain ``feast apply`` checks definitions as
    ever.
    """
    if "feast" in sys.modules:
        yield
        return
    import typeguard

    checks, has_torch = typeguard.typechecked, "torch" in sys.modules
    typeguard.typechecked = _as_it_is  # type: ignore[assignment]
    if not has_torch:
        sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        typeguard.typechecked = checks
        if not has_torch:
            del sys.modules["torch"]


def _as_it_is(target: Any) -> Any:
    """A decorator that does nothing."""
    return target
