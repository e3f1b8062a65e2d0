"""What a serving process does once so that each request costs less.

Measured by ``tests/bench/bench_recommend.py``; the figures stand in ``docs/serving.md``.
"""

from __future__ import annotations

import gc
import os
import sys
import threading
from collections.abc import Callable

YOUNG_OBJECTS = 50_000
"""Objects made before Python looks for rings among them; a request makes some thousand."""
NICENESS = 10
"""Of work that nobody waits for: beside a request on the same core it gets a tenth."""


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


def background_thread(work: Callable[[], None], name: str) -> threading.Thread:
    """A thread for `work` that lets requests go first, where threads have a niceness (Linux)."""

    def run() -> None:
        if sys.platform == "linux":
            own = threading.get_native_id()
            before = os.getpriority(os.PRIO_PROCESS, own)
            os.setpriority(os.PRIO_PROCESS, own, before + NICENESS)
        work()

    return threading.Thread(target=run, name=name, daemon=True)
