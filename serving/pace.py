"""What a serving process does once so that each request costs less.

Measured by ``tests/bench/bench_recommend.py``; the figures stand in ``docs/serving.md``.
"""

from __future__ import annotations

import gc
import os
from collections.abc import Callable

YOUNG_OBJECTS = 50_000
"""Objects made before Python looks for rings among them; a request makes some thousand."""


def without_spans() -> None:
    """Record no trace of each request, unless the environment says ``OTEL_SDK_DISABLED=false``.

    BentoML records one even where nothing exports it. To be called before it makes its server.
    """
    os.environ.setdefault("OTEL_SDK_DISABLED", "true")


def settle(request: Callable[[], object]) -> None:
    """Do one `request` to warm up, then keep what is there out of the collection of garbage.

    The registry, the features and the items are hundreds of thousands of objects that stay for as
    long as the process does; a full collection walks all of them while no request is answered.
    """
    request()
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
