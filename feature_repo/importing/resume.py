"""How far each file was imported, so that a repeat of the same import goes on where it ended.

A file is known by its content and the mapping that read it: one that has grown, and any file under
a mapping that has changed, is read anew. Next: ``importers.py``.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from feature_repo.importing.mapping import Mapping
from feature_repo.ingest import Report
from feature_repo.tables import imported_files
from feature_repo.warehouse import Warehouse

COUNTED = ("read", "accepted", "duplicates", "rejected", "reasons")


class Progress:
    """What is done of one file under one mapping; `report` counts what was done before.

    Rows done before count as a repeat would count them: the accepted ones as duplicates.

    Raises
    ------
    ValueError
        When the same file was imported under this name by columns that gave its rows other ids.
    """

    def __init__(
        self, warehouse: Warehouse, path: Path, mapping: Mapping, sizes: tuple[int, int], now: int
    ) -> None:
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "blake2b").hexdigest()[:64]
        identity = f"{mapping.digest()}\n{content}\n{sizes}"
        self._row: dict[str, Any] = {
            "file_id": hashlib.sha256(identity.encode()).hexdigest(),
            "source": mapping.name,
            "path": str(path),
            "content": content,
            "id_columns": [] if mapping.has_own_ids else mapping.event_columns,
            "num_chunks": 0,
            "finished": False,
            "counts": {},
            "imported_at": now,
        }
        self._warehouse = warehouse
        self._counts = Report()
        self.report = self._recall()

    @property
    def num_chunks(self) -> int:
        """Chunks that are done."""
        return int(self._row["num_chunks"])

    @property
    def finished(self) -> bool:
        """Whether the file is done to its end."""
        return bool(self._row["finished"])

    def note(self, report: Report) -> None:
        """One more chunk is done."""
        self._counts.add(report)
        self._row["num_chunks"] += 1
        self._write()

    def finish(self) -> None:
        """The file is done."""
        self._row["finished"] = True
        self._write()

    def _recall(self) -> Report:
        table = imported_files.c
        same = sa.select(imported_files).where(
            table.content == self._row["content"], table.source == self._row["source"]
        )
        with self._warehouse.read() as connection:
            rows = [dict(row) for row in connection.execute(same).mappings()]
        found = next((row for row in rows if row["file_id"] == self._row["file_id"]), None)
        if found is None:
            self._refuse_other_ids(rows)
            return Report()
        self._row = found
        self._counts = Report(**found["counts"])
        before = Report(**found["counts"])
        before.duplicates, before.accepted = before.duplicates + before.accepted, 0
        before.skipped = before.read
        return before

    def _refuse_other_ids(self, rows: list[dict[str, Any]]) -> None:
        """Rows named by a hash of other columns would all be kept a second time."""
        for row in rows:
            if row["id_columns"] != self._row["id_columns"] and row["counts"].get("accepted"):
                raise ValueError(
                    f"{self._row['path']} was imported as {self._row['source']!r} before, by "
                    f"{row['id_columns'] or 'own ids'}; the mapping now reads "
                    f"{self._row['id_columns'] or 'own ids'}, so each row would be a second event. "
                    "Start a new NUDGE_HOME, or map the columns as before"
                )

    def _write(self) -> None:
        self._row["counts"] = {name: getattr(self._counts, name) for name in COUNTED}
        with self._warehouse.begin(lock="imported_files") as connection:
            mine = imported_files.c.file_id == self._row["file_id"]
            connection.execute(sa.delete(imported_files).where(mine))
            connection.execute(sa.insert(imported_files).values(**self._row))
