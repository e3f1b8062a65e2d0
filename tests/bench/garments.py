"""What photos of items are worth: a shop whose photos are real and whose purchases are made.

``python -m tests.bench.garments FOLDER`` takes the photos of ``clothing_images_small`` (in
``NUDGE_DATA``), trains a small ResNet of transformers on the classes of its training part, and
sells the other garments, which that network never saw, to shoppers who each like a few classes.
Nobody bought these garments: tastes are drawn here, and only the photos are real. Then it runs the
product's own ``benchmark next_item --cold`` with several inputs and prints one table of them.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
import torch
from PIL import Image
from torch.nn import functional as F
from transformers import ResNetConfig, ResNetForImageClassification
from transformers.models.vit.image_processing_pil_vit import ViTImageProcessorPil

DATA = Path(os.environ.get("NUDGE_DATA", Path(__file__).parents[3] / "shared" / "data"))
NUM_SHOPPERS, LENGTHS, FAITH = 2000, (6, 12), 0.9
"""Shoppers; items bought by each; share of them from the classes that the shopper likes."""
NUM_LIKED = (1, 2)
SIDE, EPOCHS, BATCH, PEAK = 64, 24, 64, 3e-3
PHOTOS = ["--image", "photo", "--image-encoder"]
INPUTS = {
    "photos": [*PHOTOS, "vision", "--inputs", "ids", "--inputs", "content"],
    "photos, weights drawn at random": [*PHOTOS, "vision:random"],
    "the true class": ["--attribute", "label"],
    "the true class and photos": ["--attribute", "label", *PHOTOS, "vision"],
}


def purchases(label: np.ndarray, rng: np.random.Generator) -> pl.DataFrame:
    """Lists of different items, numbered as `label` is, most from one or two classes."""
    names, group = np.unique(label, return_inverse=True)
    of_class = [np.flatnonzero(group == number) for number in range(len(names))]
    rows = []
    for user in range(NUM_SHOPPERS):
        liked = rng.choice(len(names), rng.integers(NUM_LIKED[0], NUM_LIKED[1] + 1), replace=False)
        own: list[int] = []
        for _ in range(rng.integers(LENGTHS[0], LENGTHS[1] + 1)):
            shelf = of_class[rng.choice(liked)] if rng.random() < FAITH else np.arange(len(label))
            own.append(int(rng.choice(np.setdiff1d(shelf, own))))
        rows.append({"user_id": user, "item_ids": own})
    return pl.DataFrame(rows)


def pixels(photos: pl.Series) -> torch.Tensor:
    """(n, 3, SIDE, SIDE), as the processor that is saved beside the network gives them."""
    pictures = [Image.open(BytesIO(photo)).convert("RGB") for photo in photos]
    return processor()(images=pictures, return_tensors="pt")["pixel_values"]


def processor() -> ViTImageProcessorPil:
    """Scales to SIDE and normalises."""
    return ViTImageProcessorPil(size={"height": SIDE, "width": SIDE})


def trained(photos: pl.DataFrame, others: pl.DataFrame, folder: Path) -> float:
    """Save a ResNet that learnt the classes of `photos`; the share of `others` it tells right."""
    torch.manual_seed(0)
    names = sorted(photos["label"].unique())
    network = ResNetForImageClassification(
        ResNetConfig(
            embedding_size=32,
            hidden_sizes=[32, 64, 128, 256],
            depths=[1, 1, 1, 1],
            layer_type="basic",
            num_labels=len(names),
        )
    )
    label = torch.tensor([names.index(name) for name in photos["label"]])
    pixel, num = pixels(photos["photo"]), len(photos)
    steps = EPOCHS * (num // BATCH)
    optimizer = torch.optim.AdamW(network.parameters(), weight_decay=0.05)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, PEAK, total_steps=steps)
    for _ in range(steps):
        rows = torch.randint(num, (BATCH,))
        seen = torch.where(torch.rand(BATCH, 1, 1, 1) < 0.5, pixel[rows].flip(3), pixel[rows])
        top, left = torch.randint(9, (2,)).tolist()
        seen = F.pad(seen, (4, 4, 4, 4))[:, :, top : top + SIDE, left : left + SIDE]
        loss = F.cross_entropy(network(seen).logits, label[rows], label_smoothing=0.1)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    network.eval().save_pretrained(folder)
    processor().save_pretrained(folder)
    with torch.no_grad():
        told = network(pixels(others["photo"])).logits.argmax(dim=1)
    return float(np.mean([names[i] == own for i, own in zip(told, others["label"], strict=True)]))


def make(folder: Path) -> str:
    """Write the shop and the vision model into `folder`; what to know of it, a sentence."""
    photos = pl.read_parquet(DATA / "clothing_images_small" / "images_160.parquet").rename(
        {"jpeg": "photo"}
    )
    is_learnt = pl.col("split") == "train"
    items = photos.filter(~is_learnt).with_row_index("item_id")
    right = trained(photos.filter(is_learnt), items, folder / "vision")
    items.select("item_id", "label", "photo").write_parquet(folder / "items.parquet")
    sold = purchases(items["label"].to_numpy(), np.random.default_rng(0))
    sold.write_parquet(folder / "purchases.parquet")
    return f"{len(items)} garments, {len(sold)} shoppers; the network tells {right:.1%} right."


def measure(folder: Path, inputs: list[str], seed: int) -> dict[str, list[float]]:
    """HR@10 of cold, warm and all targets by source."""
    figures = folder / "figures.json"
    command = f"benchmark next_item purchases.parquet --items items.parquet --cold --seed {seed} "
    command += "--size small --figures figures.json --output page.html"
    run = [sys.executable, "-m", "training", *command.split(), *inputs]
    if "--inputs" not in inputs:
        run += ["--inputs", "content"]
    subprocess.run(run, cwd=folder, check=True, capture_output=True, text=True)
    table = json.loads(figures.read_text())["tables"]["Items that training never saw"]
    return {row[0]: [float(cell) for cell in row[1:]] for row in table["rows"]}


def main() -> None:
    """Make, measure and print."""
    seeds = range(3)
    with tempfile.TemporaryDirectory() as made:
        folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(made)
        folder.mkdir(parents=True, exist_ok=True)
        told = folder / "told.txt"
        if not told.exists():
            told.write_text(make(folder))
        print(f"{told.read_text()}\n\n| inputs | source | HR@10, cold | warm | all |")
        print("|---|---|--:|--:|--:|")
        shown: set[str] = set()
        for name, inputs in INPUTS.items():
            found = [measure(folder, inputs, seed) for seed in seeds]
            for source in found[0]:
                if "+" in source or source in shown:
                    continue
                shown |= {source} & {"popularity", "co_occurrence", "ids"}
                hits = np.array([one[source] for one in found])
                cells = [f"{m:.4f} ± {d:.4f}" for m, d in
                         zip(hits.mean(axis=0), hits.std(axis=0, ddof=1), strict=True)]  # fmt: skip
                print(f"| {name} | {source} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
