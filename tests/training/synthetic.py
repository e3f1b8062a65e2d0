"""A small dataset folder with a known rule, made without warehouse, feature store or encoder.

Shoppers buy items of one group, whose texts and text vectors tell it; they re-buy; and whether they
stay is told by their first scalar.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from training.datasets.batches import Dataset
from training.datasets.encode import EncodeSpec
from training.datasets.examples import Examples
from training.datasets.histories import Histories
from training.datasets.normalise import Normaliser
from training.tasks import TASKS

DAY = 86_400_000_000
RETENTION = TASKS["retention"]
GROUPS = ("red cup", "blue lamp", "green plate", "paper bag")
NUM_WEEKS, NUM_ITEMS, NUM_VOCABULARY = 6, 41, 37
NUM_SCALARS, NUM_ITEM_SCALARS, TEXT_WIDTH = 3, 2, 384
PURCHASE, MESSAGE = 4, 7
START = 1_700_000_000_000_000


def write(
    folder: Path,
    *,
    num_examples: int = 160,
    longest: int = 40,
    seed: int = 0,
    has_words: bool = False,
) -> Dataset:
    """Write the folder and open it; with words, every fifth behaviour is a message."""
    rng = np.random.default_rng(seed)
    group = np.arange(NUM_ITEMS) % len(GROUPS)
    folder.mkdir(parents=True)
    _write_items(folder, group, rng)
    counts = {"train": num_examples, "valid": num_examples // 3, "test": num_examples // 3}
    for split, num in counts.items():
        examples = _examples(num, longest, group, rng)
        if has_words:
            examples = replace(examples, history=_with_words(examples.history, rng))
        examples.save(folder / split)
    (folder / "meta.json").write_text(json.dumps(_meta(counts) | {"has_words": has_words}))
    return Dataset(folder)


def _write_items(folder: Path, group: np.ndarray, rng: np.random.Generator) -> None:
    shape = (NUM_WEEKS, NUM_ITEMS)
    exists = np.ones(shape, bool)
    exists[:, 0] = False
    exists[: NUM_WEEKS // 2, NUM_VOCABULARY:] = False
    vectors = rng.normal(size=(len(GROUPS), TEXT_WIDTH))[group]
    vectors += 0.5 * rng.normal(size=vectors.shape)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    text = np.broadcast_to(np.arange(NUM_ITEMS, dtype=np.int32), shape).copy()
    text[:, 0] = -1
    np.save(folder / "items_exists.npy", exists)
    np.save(folder / "items_text.npy", text)
    numbers = rng.normal(size=(*shape, 2 * NUM_ITEM_SCALARS)).astype(np.float32)
    np.save(folder / "items_scalars.npy", numbers)
    np.save(folder / "text_vectors.npy", vectors.astype(np.float32))
    texts = [f"{GROUPS[g]} number {item}" for item, g in enumerate(group)]
    (folder / "texts.json").write_text(json.dumps(texts))
    ids = [""] + [f"item-{item}" for item in range(1, NUM_ITEMS)]
    (folder / "items.json").write_text(json.dumps(ids))


def _examples(num: int, longest: int, group: np.ndarray, rng: np.random.Generator) -> Examples:
    """Half of the examples ask for the next basket, half whether the shopper stays."""
    taste, lengths = rng.integers(0, len(GROUPS), num), rng.integers(0, longest, num)
    pools = [np.flatnonzero(group[1:NUM_VOCABULARY] == g) + 1 for g in range(len(GROUPS))]
    items = [rng.choice(pools[g], n) for g, n in zip(taste, lengths, strict=True)]
    task, numbers = np.arange(num) % 2, rng.normal(size=(num, 2 * NUM_SCALARS))
    stays = numbers[:, 0] > 0
    told = {head: ~stays if head.startswith("leave") else stays for head in RETENTION.heads}
    told["spend_90d"] = 10.0 * stays
    label = np.where(task[:, None] == 1, np.stack(list(told.values()), axis=1), np.nan)
    baskets = [
        rng.choice(pools[g], 3, replace=False) if kind == 0 else np.zeros(0, np.int64)
        for g, kind in zip(taste, task, strict=True)
    ]
    total = int(lengths.sum())
    at = [START - DAY - np.sort(rng.integers(0, 90 * DAY, n))[::-1] for n in lengths]
    return Examples(
        task=task,
        week=rng.integers(0, NUM_WEEKS, num),
        user=np.array([f"shopper-{row}" for row in range(num)], dtype=np.str_),
        asked_at=np.full(num, START),
        weight=np.ones(num, np.float32),
        scalars=numbers.astype(np.float32),
        label=label.astype(np.float32),
        target=np.concatenate(baskets).astype(np.int64),
        target_offsets=np.cumsum([0, *map(len, baskets)]),
        num_bought=np.array([len(basket) for basket in baskets]),
        history=Histories(
            item=np.concatenate(items).astype(np.int32),
            kind=np.full(total, PURCHASE, np.int8),
            quantity=np.ones(total, np.float32),
            amount=rng.exponential(5.0, total).astype(np.float32),
            at=np.concatenate(at).astype(np.int64),
            offsets=np.cumsum([0, *lengths]),
        ),
    )


def _with_words(history: Histories, rng: np.random.Generator) -> Histories:
    """Every fifth behaviour a message without an item; one in three of them says nothing."""
    is_message = np.arange(len(history.kind)) % 5 == 0
    words = rng.integers(1, NUM_ITEMS + 1, len(history.kind)) * (rng.random(len(is_message)) < 0.7)
    return replace(
        history,
        kind=np.where(is_message, MESSAGE, history.kind).astype(np.int8),
        item=np.where(is_message, 0, history.item).astype(np.int32),
        words=np.where(is_message, words, 0).astype(np.int32),
    )


def _meta(counts: dict[str, int]) -> dict:
    def normaliser(name: str, num: int) -> Normaliser:
        names = tuple(f"{name}_{column}" for column in range(num))
        return Normaliser(names=names, means=(0.0,) * num, deviations=(1.0,) * num)

    spec = EncodeSpec(
        vocabulary=tuple(f"item-{item}" for item in range(1, NUM_VOCABULARY)),
        user=normaliser("user", NUM_SCALARS),
        item=normaliser("item", NUM_ITEM_SCALARS),
        history_length=200,
    )
    return {
        "tasks": ["next_item", "retention"],
        "counts": counts,
        "spec": spec.to_dict(),
        "num_items": NUM_ITEMS,
        "num_vocabulary": NUM_VOCABULARY,
        "num_kinds": 11,
        "num_scalars": 2 * NUM_SCALARS,
        "num_item_scalars": 2 * NUM_ITEM_SCALARS,
        "weeks": [START] * NUM_WEEKS,
        "lineage": {"made": "by a test"},
    }
