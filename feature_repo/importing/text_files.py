"""Text files as they are opened: unpacked, decoded, their separator and names found.

Next: ``readers.py``.
"""

from __future__ import annotations

import codecs
import csv
import io
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.csv

BLOCK_BYTES = 1 << 20
"""Parsed at once; Arrow reads 32 of them ahead. A row is never longer."""
HEAD_BYTES = 1 << 18
"""Read to find the separator, the names and the encoding; a first line is never longer."""
SEPARATORS = (",", ";", "\t", "|")
COMPRESSIONS = {".gz": "gzip", ".zst": "zstd"}
_UNREADABLE = (pa.ArrowException, OSError, EOFError, UnicodeError, csv.Error, zlib.error)
Rows = tuple[pl.DataFrame, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """What a file does not say about itself."""

    encoding: str | None = None
    """Of text; None: UTF-8, or UTF-16 by its mark."""
    separator: str | None = None
    """Between the fields of CSV; None: found by looking."""
    names: tuple[str, ...] = ()
    """Columns of CSV without a first line of names."""
    each: str | None = None
    """Path to a list inside a JSON object: one row for each of its members."""

    def __post_init__(self) -> None:
        if self.separator is not None and len(self.separator) != 1:
            raise ValueError(f"separator is {self.separator!r}; it must be one character")
        if len(set(self.names)) < len(self.names):
            raise ValueError(f"names has one twice, {list(self.names)}; rename it")
        if self.encoding is not None:
            try:
                codecs.lookup(self.encoding)
            except LookupError as error:
                raise ValueError(
                    f"encoding {self.encoding!r} is unknown; try utf-8 or latin-1"
                ) from error


@contextmanager
def named(path: Path) -> Iterator[None]:
    """Errors of the readers as sentences that name the file."""
    try:
        yield
    except UnicodeError as error:
        raise ValueError(_encoding_fault(path, error)) from error
    except _UNREADABLE as error:
        said = " ".join(str(error).split())
        if "invalid UTF8" in said:
            raise ValueError(_encoding_fault(path, error)) from error
        raise ValueError(
            f"{path} could not be read ({said or type(error).__name__}); save or copy it again"
        ) from error


def _encoding_fault(path: Path, error: Exception) -> str:
    return (
        f"{path} could not be read as text ({error}); say in the mapping how it is written, "
        'for example encoding = "windows-1252" or "latin-1"'
    )


@contextmanager
def opened(path: Path) -> Iterator[Any]:
    """The file's content, unpacked as it is read."""
    compression = COMPRESSIONS.get(path.suffix.lower())
    with pa.OSFile(str(path)) as file:
        yield file if compression is None else pa.CompressedInputStream(file, compression)


@dataclass(frozen=True, slots=True)
class CsvHead:
    """What the beginning of a CSV file tells."""

    names: tuple[str, ...]
    separator: str
    encoding: str
    num_header_lines: int

    @classmethod
    def read(cls, path: Path, layout: Layout) -> CsvHead:
        text, encoding = head(path, layout)
        separator = layout.separator or sniff(text)
        if layout.names:
            return cls(layout.names, separator, encoding, 0)
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
        first = next((row for row in rows if any(name.strip() for name in row)), [])
        names = [name.strip() for name in first]
        if not names:
            raise ValueError(f"{path} is empty; leave it out, or write the first line of names")
        return cls(tuple(_unique(names)), separator, encoding, rows.line_num)


def head(path: Path, layout: Layout) -> tuple[str, str]:
    """The first lines of a text file without a mark, and its encoding."""
    with named(path), opened(path) as file:
        content = file.read(HEAD_BYTES)
    encoding = layout.encoding
    if encoding is None:
        marks = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)
        encoding = "utf-16" if content.startswith(marks) else "utf-8"
    with named(path):
        whole = len(content) < HEAD_BYTES
        text = codecs.getincrementaldecoder(encoding)().decode(content, final=whole)
    if "\0" in text:
        raise ValueError(f"{path} holds NUL bytes, so it is no text; save it as CSV")
    return text.removeprefix("\ufeff"), encoding


def sniff(text: str) -> str:
    """The separator by which most of the first lines have the same number of fields, over one."""

    def agreement(separator: str) -> tuple[int, int]:
        try:
            rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=separator))[:200]
        except csv.Error:
            return 0, 0
        widths = [len(row) for row in rows if row]
        width = widths[0] if widths else 0
        return (sum(found == width for found in widths) if width > 1 else 0), width

    return max(SEPARATORS, key=agreement)


def _unique(names: Sequence[str]) -> Iterator[str]:
    """A name that stands there again is told apart, as spreadsheets and pandas do."""
    seen: set[str] = set()
    for place, name in enumerate(names, 1):
        name = name or f"column_{place}"
        again = 1
        told = name
        while told in seen:
            told, again = f"{name}.{again}", again + 1
        seen.add(told)
        yield told


def lines(path: Path, layout: Layout) -> Iterator[str]:
    """The lines of a text file that are not blank."""
    _, encoding = head(path, layout)
    with opened(path) as file:
        told = "utf-8-sig" if encoding == "utf-8" else encoding
        text = io.TextIOWrapper(io.BufferedReader(file, 1 << 20), encoding=told)
        for line in text:
            if line.strip():
                yield line


def read_csv(
    path: Path, names: list[str], layout: Layout, chunk_rows: int, block_bytes: int
) -> Iterator[Rows]:
    """Rows with the columns `names` as text, and lines that have another number of fields."""
    found = CsvHead.read(path, layout)
    broken: list[str] = []

    def refuse(row: Any) -> str:
        broken.append(row.text)
        return "skip"

    with opened(path) as file:
        batches = pa.csv.open_csv(
            file,
            pa.csv.ReadOptions(
                use_threads=False,
                block_size=block_bytes,
                encoding="utf8" if found.encoding == "utf-8" else found.encoding,
                column_names=list(found.names),
                skip_rows=found.num_header_lines,
            ),
            pa.csv.ParseOptions(
                delimiter=found.separator, newlines_in_values=True, invalid_row_handler=refuse
            ),
            pa.csv.ConvertOptions(
                include_columns=names,
                column_types=dict.fromkeys(names, pa.string()),
                strings_can_be_null=True,
                null_values=[""],
            ),
        )
        pending: list[pa.RecordBatch] = []
        for batch in batches:
            pending.append(batch)
            if sum(part.num_rows for part in pending) >= chunk_rows:
                yield from _sliced(pending, chunk_rows, broken)
                pending = []
        if pending:
            yield from _sliced(pending, chunk_rows, broken)
        if broken:
            yield (pl.DataFrame(schema=dict.fromkeys(names, pl.String)), tuple(broken))


def _sliced(batches: list[pa.RecordBatch], chunk_rows: int, broken: list[str]) -> Iterator[Rows]:
    frame = pl.DataFrame(pl.from_arrow(pa.Table.from_batches(batches)))
    for part in frame.iter_slices(chunk_rows):
        yield (part, tuple(broken))
        broken.clear()
