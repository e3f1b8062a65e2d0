"""The same tests on all that they promise to work on: SQLite and PostgreSQL, SQLite and Redis."""

from __future__ import annotations

import pytest

from feature_repo.warehouse import Warehouse


@pytest.fixture(params=["sqlite", "postgresql"])
def warehouse_url(request, tmp_path) -> str:
    """URL of an empty, migrated warehouse."""
    if request.param == "postgresql":
        return request.getfixturevalue("postgres_url")
    url = f"sqlite:///{tmp_path}/shop.db"
    Warehouse(url).migrate()
    return url


@pytest.fixture
def warehouse(warehouse_url) -> Warehouse:
    """An empty warehouse."""
    return Warehouse(warehouse_url)


@pytest.fixture(scope="session", params=["files", "servers"])
def shop(request):
    """A shop in its home folder, and one on PostgreSQL and Redis."""
    return request.getfixturevalue(f"shop_on_{request.param}")
