"""What a network foresees of shoppers' next steps, as arrays, and what its bundle says of that.

Next: ``export.py``.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

from training.datasets.batches import Dataset
from training.floors.reading import examples_of, step_labels
from training.metrics.steps import OUTCOMES, Foreseen, hit_rate, step_metrics, time_error
from training.models.future import marginals
from training.network import Network

MAX_POSITIONS = 16_384
TASK = "next_actions"


@torch.no_grad()
def foresee(network: Network, dataset: Dataset, split: str, rows: np.ndarray) -> Foreseen:
    """What `network` says of the examples number `rows` of `split`, in their order."""
    network.eval()
    texts_ND = torch.as_tensor(np.array(dataset.text_vectors))
    found: dict[int, tuple[np.ndarray, ...]] = {}
    for planned in dataset.plan(split, MAX_POSITIONS, among=rows):
        batch = dataset.batch(split, planned)
        future = network(batch.to("cpu"), dataset.items(batch.week).to("cpu"), texts_ND).future
        said = (marginals(future.log_step_BUJO), future.days_BU, future.category_BUC.softmax(2))
        answers = zip(*(part.numpy() for part in said), strict=True)
        found |= dict(zip(planned.tolist(), answers, strict=True))
    columns = zip(*(found[row] for row in rows.tolist()), strict=True)
    return Foreseen(*(np.stack(column) for column in columns))


def described(network: Network, dataset: Dataset) -> tuple[dict[str, Any], dict[str, float]]:
    """What a bundle says of the next steps: names, the average shopper's; and metrics of both.

    The average is that of validation, or of training where there is none. Nothing without the task.
    """
    if network.user.future is None:
        return {}, {}
    rows = {split: examples_of(dataset, split, TASK) for split in ("valid", "train")}
    split = "valid" if len(rows["valid"]) else "train"
    kind, days, category = step_labels(dataset, split, rows[split])
    average = (kind[:, :, None] == np.arange(len(OUTCOMES))).mean(axis=0)
    typical = [float(np.median(one[~np.isnan(one)] if (one == one).any() else 0)) for one in days.T]
    told = dataset.meta.get("categories", {})
    content = {
        "outcomes": list(OUTCOMES),
        "categories": told.get("names", []),
        "category_of_item": told.get("of_item", [])[1 : dataset.meta["num_vocabulary"]],
        "average": {"kinds": average.tolist(), "days": typical},
    }
    if split == "train":
        return content, {}
    found = foresee(network, dataset, split, rows[split])
    metrics = step_metrics(found.kinds, kind)
    metrics |= {"days_error": time_error(found.days, days)}
    metrics |= {"category_hit_rate": hit_rate(found.categories, category)}
    return content, {f"{TASK}/{n}": v for n, v in metrics.items() if not np.isnan(v)}
