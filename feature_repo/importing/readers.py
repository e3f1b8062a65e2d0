"""A shop's files as chunks of rows: text as it stands in CSV and JSON lines, typed in Parquet.

Whatever the format, compression or size, one chunk at a time is in memory. Next: ``mapping.py`` for
what the columns mean.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet

from feature_repo.importing.nested import Unnest, deep_column, leaves
from feature_repo.importing.text_files import (
    BLOCK_BYTES,
    COMPRESSIONS,
    CsvHead,
    Layout,
    lines,
    named,
    read_csv,
)

CHUNK_ROWS = 100_000
TEXT_FORMATS = {".csv": "csv", ".tsv": "csv", ".txt": "csv"}
JSON_FORMATS = {".jsonl": "json", ".ndjson": "json", ".json": "json"}
FORMATS = {**TEXT_FORMATS, **JSON_FORMATS, ".parquet": "parquet"}


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a file, and the lines among them that are none."""

    rows: pl.DataFrame
    broken: tuple[str, ...] = ()


def files_of(paths: Sequence[Path]) -> list[Path]:
    """The files to read, in the order of their names; folders with all below, hidden ones not.

    Raises
    ------
    ValueError
        When a path does not exist, has a format that can't be read, or nothing is found.
    """
    files: list[Path] = []
    for path in paths:
        if not path.exists():
            raise ValueError(f"{path} does not exist; mend the path")
        if path.is_dir():
            below = [file for file in sorted(path.rglob("*")) if not _is_hidden(file, path)]
            files += [file for file in below if file.is_file() and format_of(file)]
        elif format_of(path):
            files.append(path)
        else:
            known = ", ".join([*FORMATS, *COMPRESSIONS])
            raise ValueError(f"{path} is none of {known}; save or unpack it as one of these")
    if not files:
        raise ValueError(
            f"no {', '.join(FORMATS)} file in {[str(path) for path in paths]}; mend the path"
        )
    return list(dict.fromkeys(files))


def format_of(path: Path) -> str | None:
    """``csv``, ``json`` or ``parquet`` by the file's name, None when it is none of them."""
    suffixes = [suffix.lower() for suffix in path.suffixes]
    if suffixes and suffixes[-1] in COMPRESSIONS:
        found = FORMATS.get(suffixes[-2]) if len(suffixes) > 1 else None
        return None if found == "parquet" else found
    return FORMATS.get(suffixes[-1]) if suffixes else None


def columns_of(path: Path, layout: Layout) -> list[str]:
    """Names of the columns of a file; of JSON lines the paths found in its first lines."""
    with named(path):
        if format_of(path) == "parquet":
            return leaves(pa.parquet.read_schema(path))
        if format_of(path) == "csv":
            return list(CsvHead.read(path, layout).names)
        unnest = Unnest((), layout.each)
        return unnest.paths(line for _, line in zip(range(1000), lines(path, layout), strict=False))


def list_paths(path: Path) -> list[str]:
    """Paths to lists of objects in the first JSON lines of a file."""
    with named(path):
        first = (line for _, line in zip(range(1000), lines(path, Layout()), strict=False))
        return Unnest(()).list_paths(first)


def read(
    path: Path,
    columns: Sequence[str] | None,
    layout: Layout,
    *,
    chunk_rows: int = CHUNK_ROWS,
    block_bytes: int = BLOCK_BYTES,
) -> Iterator[Chunk]:
    """Chunks of at most `chunk_rows` rows with `columns` (None: all), always cut alike.

    Raises
    ------
    ValueError
        With the file's name, when it can't be read or lacks a column.
    """
    with named(path):
        names = columns_of(path, layout) if columns is None else list(dict.fromkeys(columns))
        kind = format_of(path)
        if kind == "json":
            yield from _read_json(path, names, layout, chunk_rows)
            return
        known = columns_of(path, layout)
        if missing := [name for name in names if name not in known]:
            more = f" and {len(known) - 50} more" if len(known) > 50 else ""
            raise ValueError(
                f"{path} has no column {missing}; it has {known[:50]}{more}; mend the mapping"
            )
        if kind == "csv":
            for frame, broken in read_csv(path, names, layout, chunk_rows, block_bytes):
                yield Chunk(frame, broken)
        else:
            yield from _read_parquet(path, names, chunk_rows)


def _is_hidden(file: Path, folder: Path) -> bool:
    return any(part.startswith((".", "__MACOSX")) for part in file.relative_to(folder).parts)


def _read_parquet(path: Path, names: list[str], chunk_rows: int) -> Iterator[Chunk]:
    # Not memory-mapped and not read ahead: a file larger than memory passes in small pieces.
    file = pa.parquet.ParquetFile(path, pre_buffer=False, buffer_size=1 << 20)
    for batch in file.iter_batches(batch_size=chunk_rows, columns=names, use_threads=False):
        frame = pl.DataFrame(pl.from_arrow(batch))
        yield Chunk(frame.select(deep_column(name, frame.schema).alias(name) for name in names))


def _read_json(path: Path, names: list[str], layout: Layout, chunk_rows: int) -> Iterator[Chunk]:
    unnest = Unnest(tuple(names), layout.each)
    rows: list[tuple[str | None, ...]] = []
    broken: list[str] = []
    schema = dict.fromkeys(names, pl.String)
    for number, line in enumerate(lines(path, layout)):
        try:
            rows += unnest.rows(line)
        except (json.JSONDecodeError, RecursionError, TypeError) as error:
            if number == 0 and line.lstrip().startswith("["):
                raise ValueError(
                    f"{path} is one JSON list; write one object on each line"
                ) from error
            broken.append(line.strip())
        if len(rows) >= chunk_rows or len(broken) >= chunk_rows:
            yield Chunk(pl.DataFrame(rows, schema=schema, orient="row"), tuple(broken))
            rows, broken = [], []
    if rows or broken:
        yield Chunk(pl.DataFrame(rows, schema=schema, orient="row"), tuple(broken))
