"""What the text encoder's weights buy: drawn at random, frozen as published, moved by LoRA.

Uses the shop in NUDGE_HOME and its newest ``shopper`` and ``text_lora`` runs (``make demo`` makes
them; without them it says so and ends) and trains one more run whose text encoder has random
weights. Prints a Markdown table: test NDCG@10 and recall@10 over all orders, and over the targets
that training never knew (cold items), which have no id embedding and live by their text alone.
"""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from feature_repo.settings import Settings
from training.datasets.batches import Dataset
from training.evaluate.model import Trained
from training.fit import fit
from training.floors.reading import examples_of
from training.metrics.ranking import per_example, target_ranks
from training.run import Run
from training.track import find_run

METRICS = ("ndcg@10", "recall@10")


def measure(folder: Path) -> dict[str, tuple[float, float, int]]:
    """Population to NDCG@10, recall@10 and orders, with every existing item ranked."""
    dataset = Dataset(folder / "data")
    examples, trained = dataset.examples("test"), Trained(folder, dataset)
    found: dict[str, list[dict[str, np.ndarray]]] = {"all items": [], "cold items": []}
    for rows, scores, _ in trained.answers("test", examples_of(dataset, "test", "next_item")):
        target, row = examples.targets(rows)
        cold = target > dataset.meta["num_vocabulary"]
        for population, kept in (("all items", np.ones_like(cold)), ("cold items", cold)):
            asked, sizes = np.unique(row[kept], return_counts=True)
            if len(asked):
                offsets = np.concatenate([[0], np.cumsum(sizes)])
                ranks = target_ranks(scores[asked], target[kept], offsets)
                found[population].append(per_example(ranks, offsets))
    return {population: _means(parts) for population, parts in found.items() if parts}


def _means(parts: list[dict[str, np.ndarray]]) -> tuple[float, float, int]:
    columns = [np.concatenate([part[metric] for part in parts]) for metric in METRICS]
    return float(columns[0].mean()), float(columns[1].mean()), len(columns[0])


def main() -> None:
    """Measure the three and print the table."""
    settings = Settings()
    try:
        runs = {"frozen": find_run(settings.home, "shopper")}
        runs["LoRA"] = find_run(settings.home, "text_lora")
    except ValueError as error:
        print(f"skipped: {error}; `make demo` makes both runs")
        return
    base = Run.from_json((runs["frozen"] / "run.json").read_text())
    # On the calendar of the frozen run: what happened since then belongs to none of the three.
    run = replace(base, name="shopper_random_text", text_encoder=f"{base.text_encoder}:random")
    runs = {"random": fit(run, settings, now=time.time_ns() // 1000), **runs}
    print("| text encoder | population | NDCG@10 | recall@10 | orders |\n|---|---|---|---|---|")
    for name, folder in runs.items():
        for population, (ndcg, recall, num) in measure(folder).items():
            print(f"| {name} | {population} | {ndcg:.4f} | {recall:.4f} | {num:,} |")


if __name__ == "__main__":
    main()
