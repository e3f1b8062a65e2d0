"""What a Feast source over Parquet files means: its files, and the parts its columns play.

A source or its view tagged ``{"collect": "N", "order": "column,column"}`` holds one scalar row per
happening and is read as lists of the last N; one tagged
``{"date_partition_column": "NAME"}`` lies in folders ``NAME=YYYY-MM-DD``. Next: ``files.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from feast import FileSource
from feast.data_source import DataSource
from feast.repo_config import RepoConfig

from feature_repo.joining.files import Files
from feature_repo.joining.times import Span


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """What the columns of a source mean; with `collect`, its rows are read as lists of the last."""

    keys: tuple[str, ...]
    time: str
    created: str | None = None
    order: tuple[str, ...] = ()
    collect: int | None = None
    day: str | None = None
    """The folders that hold one UTC day of `time` each."""

    def __post_init__(self) -> None:
        if self.collect is not None and self.collect < 1:
            raise ValueError(f"collect is {self.collect}; name the rows to keep, at least 1")

    @classmethod
    def of(
        cls,
        tags: Mapping[str, str],
        *,
        keys: Sequence[str],
        time: str,
        created: str | None,
    ) -> Layout:
        """By the tags of a source and its view."""
        return cls(
            keys=tuple(keys),
            time=time,
            created=created or None,
            order=tuple(name.strip() for name in tags.get("order", "").split(",") if name.strip()),
            collect=int(tags["collect"]) if "collect" in tags else None,
            day=tags.get("date_partition_column"),
        )

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that say who, when and in which order."""
        return (*self.keys, *self.stamps, *self.order)

    @property
    def stamps(self) -> tuple[str, ...]:
        """The columns that hold moments."""
        return (self.time,) if self.created is None else (self.time, self.created)


def open_files(config: RepoConfig, source: DataSource | None, layout: Layout, span: Span) -> Files:
    """The files of `source`.

    Raises
    ------
    ValueError
        When it is no ``FileSource`` on this machine.
    """
    if not isinstance(source, FileSource):
        raise ValueError(f"{source} is a {type(source).__name__}; this store reads FileSource only")
    place = source.path.removeprefix("file://")
    if "://" in place:
        raise ValueError(f"{place} is not on this machine; this store reads local files only")
    return Files(Path(config.repo_path or ".") / place, layout.time, span, layout.day)


def check_columns(files: Files, names: Sequence[str], source: DataSource) -> None:
    """Refuse columns that no file has, by name."""
    missing = [name for name in dict.fromkeys(names) if name not in files.kinds]
    if missing:
        has = ", ".join(files.kinds)
        path = getattr(source, "path", source.name)
        raise ValueError(f"{path} has no column {', '.join(missing)}; it has {has}")
