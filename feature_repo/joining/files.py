"""Parquet files as one sequence of numbered rows, of which as little is read as a question needs.

A file, or a folder of files in the order of their paths, hive folders such as ``country=DE`` being
columns. Row groups whose statistics lie outside the span of time are not read; with a `day`, nor is
any file of a day outside it so much as opened. Columns are read for rows that were found, a row
group at a time. Used by ``source.py``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
import pyarrow as pa
import pyarrow.parquet

from feature_repo.joining.times import DAY, Ints, Span, day_start, micros

_CELLS = 1 << 18  # read at once of one row group: about what stays in a core's cache
_NO_VALUE = "__HIVE_DEFAULT_PARTITION__"


@dataclass(frozen=True, slots=True)
class Part:
    """One file: the values of the folders it lies in, and what tells it from a later file."""

    path: Path
    folders: Mapping[str, str | None]
    stamp: tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Group:
    """A row group of a file; `start` is the number of its first row."""

    part: Part
    index: int
    start: int
    num: int


class Files:
    """The rows of `path` that may lie in `span` by their column `time`.

    `day` names the folders that hold one UTC day of `time` each. One file is open at a time, so a
    single file that is replaced meanwhile is read as it was.

    Raises
    ------
    ValueError
        When nothing is there, a file is no Parquet or was replaced while it was read, two disagree
        on a column's type, or a file holds times outside its day.
    """

    def __init__(self, path: Path, time: str, span: Span, day: str | None = None) -> None:
        self._file: pyarrow.parquet.ParquetFile | None = None
        self._open_part: Part | None = None
        self._names: frozenset[str] = frozenset()
        self._time, self._span, self._day = time, span, day
        parts = [_part(file, path) for file in _listed(path)]
        near = [part for part in parts if day is None or self._is_near(part, day)]
        self.groups: list[Group] = []
        schemas: list[pa.Schema] = []
        start = 0
        for part in near or parts[:1]:
            schemas.append(self._opened(part).schema_arrow)
            start = self._add_groups(part, start)
        self.kinds = _kinds(path, schemas, parts)

    @property
    def num_rows(self) -> int:
        """Rows of the row groups that may matter."""
        return sum(group.num for group in self.groups)

    def batches(self, names: Sequence[str], num: int) -> Iterator[tuple[int, pa.Table]]:
        """All rows, about `num` at a time: number of the first, and columns. At least one batch."""
        start, end, tables = 0, 0, list[pa.Table]()
        for group in self.groups:
            if tables and (group.start != end or end - start >= num):
                yield start, pa.concat_tables(tables)
                tables = []
            start = start if tables else group.start
            end = group.start + group.num
            tables.append(self._read(group, names))
        empty = pa.table({name: pa.array([], self.kinds[name]) for name in names})
        if tables or not self.groups:
            yield start, pa.concat_tables([empty, *tables])

    def take(self, names: Sequence[str], rows: Ints) -> dict[str, pa.ChunkedArray]:
        """The columns `names` at `rows`, which rise."""
        found: dict[str, list[pa.Array]] = {name: [] for name in names}
        for group in self.groups:
            low, high = np.searchsorted(rows, [group.start, group.start + group.num])
            if low == high:
                continue
            width = max(1, _CELLS // group.num)
            at = pa.array(rows[low:high] - group.start)
            for some in (names[i : i + width] for i in range(0, len(names), width)):
                table = self._read(group, some)
                table = table if len(at) == group.num else table.take(at)
                for name in some:
                    found[name] += table[name].chunks
        return {name: pa.chunked_array(found[name], self.kinds[name]) for name in names}

    def _is_near(self, part: Part, day: str) -> bool:
        low = _day_start(part, day)
        return self._span.meets(low, low + DAY - 1)

    def _add_groups(self, part: Part, start: int) -> int:
        """List the row groups of an opened file that may matter; the number of the next row."""
        assert self._file is not None, "it was opened"
        about = self._file.metadata
        for index in range(about.num_row_groups):
            group = about.row_group(index)
            low, high = _limits(group, self._time)
            if self._day is not None and low is not None and high is not None:
                self._check_day(part, low, high)
            if low is None or high is None or self._span.meets(low, high):
                self.groups.append(Group(part, index, start, group.num_rows))
            start += group.num_rows
        return start

    def _check_day(self, part: Part, low: int, high: int) -> None:
        assert self._day is not None, "asked where days have folders"
        start = _day_start(part, self._day)
        if low + 1 < start or high - 1 >= start + DAY:
            raise ValueError(
                f"{part.path} holds times outside its {self._day}; write each row under the UTC "
                f"day of its {self._time}, or take the tag date_partition_column from the source"
            )

    def _read(self, group: Group, names: Sequence[str]) -> pa.Table:
        """Columns of a row group; one that its file lacks comes from its folders, or is null."""
        file = self._opened(group.part)
        held = [name for name in names if name in self._names]
        read = file.read_row_group(group.index, columns=held, use_threads=False)
        columns = {}
        for name in names:
            if name in held:
                columns[name] = read[name].cast(self.kinds[name])
            else:
                value = group.part.folders.get(name)
                one = pa.scalar(value, pa.string()).cast(self.kinds[name])
                columns[name] = pa.chunked_array([pa.repeat(one, group.num)])
        return pa.table(columns)

    def _opened(self, part: Part) -> pyarrow.parquet.ParquetFile:
        if self._file is None or self._open_part is not part:
            if self._file is not None:
                self._file.close(force=True)
            self._file = _open(part)
            self._open_part = part
            self._names = frozenset(self._file.schema_arrow.names)
        return self._file


def _listed(path: Path) -> list[Path]:
    """The files of `path`; names that begin with a dot or an underscore are not data."""
    if not path.exists():
        raise ValueError(f"there is no {path}; write the Parquet file that the view reads first")
    if not path.is_dir():
        return [path]
    found = [
        file
        for file in sorted(path.rglob("*"))
        if file.is_file() and not any(p[0] in "._" for p in file.relative_to(path).parts)
    ]
    if not found:
        raise ValueError(f"{path} holds no file; write the Parquet files that the view reads first")
    return found


def _part(file: Path, root: Path) -> Part:
    folders = {}
    for folder in file.relative_to(root).parts[:-1]:
        name, is_pair, value = folder.partition("=")
        if is_pair:
            folders[name] = None if value == _NO_VALUE else unquote(value)
    return Part(file, folders, _stamp(file))


def _stamp(file: Path) -> tuple[int, int, int]:
    about = file.stat()
    return about.st_ino, about.st_size, about.st_mtime_ns


def _open(part: Part) -> pyarrow.parquet.ParquetFile:
    try:
        file = pyarrow.parquet.ParquetFile(part.path, pre_buffer=False)
    except pa.ArrowInvalid as error:
        raise ValueError(
            f"{part.path} is no whole Parquet file ({error}); write it again"
        ) from error
    if _stamp(part.path) != part.stamp:
        raise ValueError(f"{part.path} was replaced while it was read; ask again")
    return file


def _day_start(part: Part, day: str) -> int:
    value = part.folders.get(day)
    try:
        return day_start(value or "")
    except ValueError as error:
        raise ValueError(
            f"{part.path} lies in no folder {day}=YYYY-MM-DD; move it, or take the tag "
            "date_partition_column from its source"
        ) from error


def _limits(group: Any, time: str) -> tuple[int | None, int | None]:
    """Least and greatest time of a row group, to the microsecond around; None when unknown."""
    for place in range(group.num_columns):
        column = group.column(place)
        if column.path_in_schema == time and column.statistics is not None:
            limits = column.statistics
            if limits.has_min_max and isinstance(limits.min, datetime):
                return micros(limits.min), micros(limits.max) + 1
    return None, None


def _kinds(path: Path, schemas: Sequence[pa.Schema], parts: Sequence[Part]) -> dict[str, Any]:
    """The type of each column: of the files, then of the folders."""
    try:
        held = pa.unify_schemas(
            [pa.schema([(f.name, _plain(f.type)) for f in schema]) for schema in schemas],
            promote_options="permissive",
        )
    except pa.ArrowTypeError as error:
        raise ValueError(f"the files of {path} disagree: {error}; write them alike") from error
    kinds = {field.name: field.type for field in held}
    for name in dict.fromkeys(name for part in parts for name in part.folders):
        values = {part.folders.get(name) for part in parts} - {None}
        whole = all(value.lstrip("-").isdecimal() for value in values if value)
        kinds.setdefault(name, pa.int64() if whole and values else pa.string())
    return kinds


def _plain(kind: pa.DataType) -> pa.DataType:
    """The type that is computed with: dictionaries are an encoding, views another's layout."""
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    views = {pa.string_view(): pa.large_string(), pa.binary_view(): pa.large_binary()}
    return views.get(kind, kind)
