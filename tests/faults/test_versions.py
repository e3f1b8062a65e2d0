"""Tables or a registry of another version: a clear sentence, and what is served stays as it was."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from feature_repo import retrieval
from feature_repo.warehouse import Warehouse
from tests.conftest import run
from tests.faults.processes import ROOT


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    warehouse = Warehouse(f"sqlite:///{tmp_path}/warehouse.db")
    warehouse.migrate()
    return warehouse


def stamp(warehouse: Warehouse, version: str) -> None:
    with warehouse.begin() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = :v"), {"v": version})


def test_tables_of_a_newer_version_are_refused_by_every_way_in(warehouse):
    warehouse.check()
    stamp(warehouse, "9999")
    for way_in in (warehouse.check, warehouse.migrate):
        with pytest.raises(ValueError, match="version 9999, which a newer Nudge made"):
            way_in()


def test_tables_that_are_missing_are_refused_with_the_cure(tmp_path):
    with pytest.raises(ValueError, match=r"of version none .* run `python -m feature_repo init`"):
        Warehouse(f"sqlite:///{tmp_path}/w.db").check()


def test_a_service_whose_stores_are_gone_refuses_to_start_and_says_which(tmp_path, monkeypatch):
    from feature_repo.settings import Settings
    from serving.start import RefusedToStart, check_schema

    settings = Settings(home=tmp_path, warehouse_url="postgresql://nudge:x@127.0.0.1:1/shop")
    with pytest.raises(RefusedToStart, match=r"cannot be used: (?s:.*)127\.0\.0\.1"):
        check_schema(None, settings)


@pytest.mark.long
def test_a_changed_catalogue_is_seen_by_a_running_process_which_answers_as_it_began(shop_with):
    copy = shop_with()
    before = retrieval.schema("shopper", copy.settings)
    row = retrieval.unknown_row("shopper", 0, copy.settings)
    code = (
        "from feast import FeatureService, FeatureStore\n"
        "store = FeatureStore(fs_yaml_file=__import__('pathlib').Path('feature_repo/feature_store.yaml'))\n"  # noqa: E501
        "service = store.get_feature_service('shopper')\n"
        "view = store.get_feature_view('user_history')\n"
        "store.apply([FeatureService(name='shopper', features=[view])])\n"
    )
    run(str(ROOT / ".venv/bin/python"), "-c", code, env=copy.env)
    assert retrieval.registered("shopper", copy.settings) != before
    assert retrieval.schema("shopper", copy.settings) == before
    assert retrieval.unknown_row("shopper", 0, copy.settings) == row
