"""Each command of the page "Your own shop", in its order, on files that no mapping was made for."""

from __future__ import annotations

import json
from pathlib import Path

import polars as pl
import pytest

from feature_repo.settings import microseconds
from feature_repo.world import World
from tests.story.terminal import ROOT, Terminal, commands_of, needs_a_shell

pytestmark = [needs_a_shell, pytest.mark.long]


def write_exports(folder: Path) -> None:
    """A click log and an order book, in the names and habits of two other systems."""
    folder.mkdir()
    world = World(
        seed=11, num_shoppers=80, num_items=100, start_at=microseconds("2025-01-01T00:00:00")
    )
    events = pl.concat([world.step() for _ in range(340)])
    number = pl.col("user_id").str.extract(r"(\d+)").cast(pl.Int64)
    sku = pl.col("item_id").str.extract(r"(\d+)").cast(pl.Int64)
    named = events.with_columns(
        visitor=pl.format("c-{}", number),
        sku=pl.format("i-{}", sku),
        action=pl.col("kind").replace({"view": "pv", "cart": "add_to_cart", "purchase": "buy"}),
        unit_price=pl.col("price_micros") / 1_000_000,
        created_at=pl.from_epoch("event_at", "us").dt.strftime("%Y-%m-%d %H:%M:%S"),
    ).filter(pl.col("kind").is_in(["view", "cart", "purchase"]))
    columns = ("created_at", "visitor", "action", "sku", "order_id", "quantity", "unit_price")
    half = named.height // 2
    for name, part in (("part-1", named[:half]), ("part-2", named[half:])):
        part.select(*columns, title="text").write_csv(folder / f"{name}.csv", separator=";")


def test_the_page_leads_from_unknown_files_to_a_served_decision(tmp_path):
    write_exports(tmp_path / "exports")
    reader = Terminal(tmp_path)
    try:
        for command in commands_of(ROOT / "docs" / "your-shop.md"):
            command = command.replace(" exports", f" {tmp_path / 'exports'}")
            said = reader.enter(command)
            if command.startswith("curl"):
                answer = json.loads(said)
                assert answer.get("decision_id") or answer["accepted"] == 1
                assert not answer.get("missing"), "the shopper is one of the files"
            if " parity" in command:
                assert said.count(" 0 differences") == 2
    finally:
        reader.close()
