"""What an import would do, found by doing it in a warehouse that is thrown away.

There is no second implementation: the same reading, checking and counting, in a folder of the
system's temporary files. Next: ``autofeature.py`` for where a mapping comes from.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping import Mapping
from feature_repo.importing.survey import Survey, examples, survey
from feature_repo.ingest import Report
from feature_repo.warehouse import Warehouse

NUM_EXAMPLES = 3


@dataclass(frozen=True, kw_only=True, slots=True)
class Validation:
    """The report of an import into an empty warehouse, and what that holds then."""

    report: Report
    survey: Survey
    examples: dict[str, list[str]]
    """Reason to rejected rows as they came."""


def validate(
    paths: Sequence[Path],
    mapping: Mapping | Sequence[Mapping],
    *,
    now: int,
    progress: Callable[[int], None] | None = None,
) -> Validation:
    """Import into an empty warehouse that is removed at once; nothing else is written.

    Raises
    ------
    ValueError
        When the import would.
    """
    with TemporaryDirectory(prefix="nudge-validate-") as folder:
        warehouse = Warehouse(f"sqlite:///{folder}/warehouse.db")
        try:
            warehouse.migrate()
            report = import_files(warehouse, paths, mapping, now=now, progress=progress)
            return Validation(
                report=report,
                survey=survey(warehouse),
                examples=examples(warehouse, NUM_EXAMPLES),
            )
        finally:
            warehouse.engine.dispose()
