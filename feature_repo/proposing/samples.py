"""A look into a file: how it is written, and some of its rows. Next: ``autofeature.py``."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from feature_repo.importing.readers import columns_of, format_of, list_paths, read
from feature_repo.importing.text_files import CsvHead, Layout
from feature_repo.proposing.profiles import Profile
from feature_repo.proposing.roles import likeness

SAMPLE_ROWS = 20_000
MAX_COLUMNS = 2_000


def layout_of(path: Path) -> tuple[Layout, bool]:
    """How a file is written, and whether it lacks a first line of names."""
    if format_of(path) == "json":
        names = columns_of(path, Layout())
        if not any(likeness(name, "item_id") >= 9 for name in names):
            for each in list_paths(path):
                inner = columns_of(path, Layout(each=each))
                if any(likeness(name, "item_id") >= 9 for name in inner):
                    return Layout(each=each), False
        return Layout(), False
    if format_of(path) == "parquet":
        return Layout(), False
    layout = Layout()
    try:
        head = CsvHead.read(path, layout)
        next(read(path, None, layout, chunk_rows=SAMPLE_ROWS), None)
    except ValueError as error:
        if "encoding" not in str(error):
            raise
        layout = Layout(encoding="windows-1252")
        head = CsvHead.read(path, layout)
    _refuse_many(path, head.names)
    first = [Profile.of(pl.Series([name])) for name in head.names]
    is_data = sum(one.is_whole or one.time() is not None for one in first) >= max(1, len(first) / 3)
    if not is_data:
        return layout, False
    return replace(layout, names=tuple(f"column_{n}" for n in range(1, len(first) + 1))), True


def _refuse_many(path: Path, names: Sequence[str]) -> None:
    if len(names) > MAX_COLUMNS:
        raise ValueError(
            f"{path} has {len(names)} columns; a shop's file has at most {MAX_COLUMNS}"
        )


def sample_of(path: Path, layout: Layout, names: tuple[str, ...]) -> pl.DataFrame:
    """Rows from the head; of Parquet also from the middle and the end, which cost nothing there."""
    _refuse_many(path, names)
    first = next(read(path, names, layout, chunk_rows=SAMPLE_ROWS), None)
    head = pl.DataFrame(schema=dict.fromkeys(names, pl.String)) if first is None else first.rows
    if format_of(path) != "parquet" or any("." in name for name in names):
        return head
    lazy = pl.scan_parquet(path).select(names)
    num = lazy.select(pl.len()).collect().item()
    if num <= 2 * SAMPLE_ROWS:
        return head
    later = [lazy.slice(num // 2, SAMPLE_ROWS // 2), lazy.slice(num - SAMPLE_ROWS // 2)]
    return pl.concat([head, *(part.collect() for part in later)])
