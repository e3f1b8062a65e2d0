"""The feature catalogue says what Feast knows, and its page in the documentation is up to date."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.conftest import run

PAGE = Path(__file__).parents[2] / "docs" / "feature-catalogue.md"


@pytest.fixture(scope="module")
def written() -> str:
    from feast import FeatureService

    from feature_repo import definitions
    from feature_repo.catalogue import page

    named = [getattr(definitions, name) for name in definitions.__all__]
    services = [one for one in named if isinstance(one, FeatureService)]
    views = [one for one in named if hasattr(one, "features") and one not in services]
    return page(services, views)


def test_the_page_in_the_documentation_is_that_of_the_definitions(written):
    assert PAGE.read_text() == written, (
        f"write it again: python -m feature_repo features > {PAGE.relative_to(PAGE.parents[1])}"
    )


def test_every_field_of_every_view_has_a_meaning(written):
    rows = [line.split(" | ") for line in written.splitlines() if line.startswith("| `")]
    assert len(rows) > 100
    assert all(len(row) == 3 and len(row[2].strip(" |")) > 5 for row in rows)


def test_a_feature_without_a_meaning_is_refused_by_name():
    from feature_repo.glossary import meaning

    with pytest.raises(ValueError, match="'num_hugs_7d' has no meaning yet"):
        meaning("num_hugs_7d")


def test_the_registry_gives_the_same_page(shop, written):
    assert run(sys.executable, "-m", "feature_repo", "features", env=shop.env) == written + "\n"


def test_an_empty_registry_says_what_to_do(tmp_path):
    from feature_repo.catalogue import page_of
    from feature_repo.retrieval import open_store
    from feature_repo.settings import Settings

    with pytest.raises(ValueError, match="run `feast apply` first"):
        page_of(open_store(Settings(home=tmp_path)))
