"""One network for three tasks beside a network each: what they know, and what they cost.

Next: ``shop_sections.py``.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from tests.bench.shop_quality import TASKS, Fit, Shop
from tests.bench.shop_tables import Row, facts, spread

SEEDS = (0, 1)
SHARED, ALONE = "one network", "a network each"
COST = "What they cost"
NUM_FORWARDS = 300


def sharing(shop: Shop, rows: Sequence[tuple[str, Row]]) -> dict[str, Any]:
    """Figures of the section; `rows` are a task and what is asked about it."""
    shared = [shop.fit(seed) for seed in SEEDS]
    alone = {task: [shop.fit(seed, (task,)) for seed in SEEDS] for task in TASKS}
    lines, names, values = [], [], []
    for task, row in rows:
        one, other = (row.model([fit.report for fit in fits]) for fits in (shared, alone[task]))
        gain = row.sign * (one - other)
        lines.append([row.words, spread(one), spread(other), f"{gain.mean():+.4f}\n{_all(gain)}"])
        names += [f"{row.words}: {SHARED}", f"{row.words}: {ALONE}"]
        values += [one.tolist(), other.tolist()]
    costs = {"heads": ["", SHARED, *(f"{task} alone" for task in TASKS), "the three together"]}
    return {
        "title": "One network or several",
        "facts": facts([fit.report for fit in shared]),
        "bars": {
            "what": "quality of each task",
            "names": names,
            "values": values,
            "is_model": [True, False] * len(rows),
        },
        "tables": {
            "What they know": {"heads": ["", SHARED, ALONE, "gain of sharing"], "rows": lines},
            COST: costs | {"rows": _costs(shared[-1], [fits[-1] for fits in alone.values()])},
        },
    }


def _all(gains: np.ndarray) -> str:
    """Each seed's own."""
    return "by seed " + " and ".join(f"{gain:+.4f}" for gain in gains)


def _costs(shared: Fit, alone: Sequence[Fit]) -> list[list[str]]:
    """Parameters, training and answering: of the one, of each, and of all of these.

    Of the last seed, whose dataset lay there already.
    """
    fits = [shared, *alone]
    told = {
        "parameters": ([float(fit.num_parameters) for fit in fits], 0),
        "CPU-s of a fit": ([fit.cpu_s for fit in fits], 0),
        "CPU-ms of an answer": (forward_ms(fits), 2),
    }
    return [
        [what, *(f"{value:,.{digits}f}" for value in [*values, sum(values[1:])])]
        for what, (values, digits) in told.items()
    ]


def forward_ms(fits: Sequence[Fit]) -> list[float]:
    """Median CPU-ms of the user graph on one history of 200 behaviours, taking turns.

    What every ``/recommend`` and ``/predict`` runs, by ONNX Runtime on one thread.
    """
    from onnxruntime import InferenceSession, SessionOptions

    from training.datasets.batches import Dataset
    from training.models.probes import user_inputs
    from training.network import restore

    options, asked = SessionOptions(), []
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    for fit in fits:
        _, network = restore(fit.folder, Dataset(fit.folder / "data"))
        _, history, _ = user_inputs(network, np.random.default_rng(0))
        asked.append((InferenceSession(fit.folder / "bundle" / "user.onnx", options), history))
    taken: list[list[float]] = [[] for _ in fits]
    for _ in range(NUM_FORWARDS):
        for times, (session, history) in zip(taken, asked, strict=True):
            began = time.thread_time()
            session.run(None, history)
            times.append(1e3 * (time.thread_time() - began))
    return [float(np.median(times)) for times in taken]
