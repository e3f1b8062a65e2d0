"""Of which version a warehouse's tables are, and how they become those of this one.

The migrations lie in ``infra/migrations``. Next: ``warehouse.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import sqlalchemy as sa

MIGRATIONS = Path(__file__).parents[1] / "infra" / "migrations"


def migrate(connection: sa.Connection) -> None:
    """Bring the tables to the newest migration.

    Raises
    ------
    ValueError
        When they are newer.
    """
    from alembic import command
    from alembic.config import Config

    _refuse_newer(_found(connection))
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def check(connection: sa.Connection) -> None:
    """Refuse tables that are missing, older or newer; the ``ValueError`` says what to do."""
    found, head = _found(connection), _migrations().get_current_head()
    _refuse_newer(found)
    if found != head:
        raise ValueError(
            f"the warehouse's tables are of version {found or 'none'} and this is {head}; run "
            "`python -m feature_repo init`, which brings them up to it"
        )


def _migrations() -> Any:
    from alembic.script import ScriptDirectory

    return ScriptDirectory(str(MIGRATIONS))


def _found(connection: sa.Connection) -> str | None:
    """Which migration the tables are of; None before the first."""
    if not sa.inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(sa.text("SELECT version_num FROM alembic_version")).scalar()


def _refuse_newer(found: str | None) -> None:
    known = {script.revision for script in _migrations().walk_revisions()}
    if found is not None and found not in known:
        raise ValueError(
            f"the warehouse's tables are of version {found}, which a newer Nudge made; this one "
            f"knows {max(known)} at most: use the newer one"
        )
