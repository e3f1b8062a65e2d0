"""Plain `feast apply` reads one file of ours, from the root as from inside the folder."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("folder", [ROOT, ROOT / "feature_repo"], ids=["root", "inside"])
def test_feast_sees_the_catalogue_and_nothing_else(folder):
    from feast.repo_operations import get_repo_files

    assert get_repo_files(folder) == [ROOT / "feature_repo" / "definitions.py"]


def test_the_settings_and_the_store_file_name_the_same_variables():
    import re

    text = (ROOT / "feature_repo" / "feature_store.yaml").read_text()
    named = set(re.findall(r"\$\{(\w+)\}", text))
    shell = (ROOT / "infra" / "environment.sh").read_text()
    assert named
    for variable in named:
        assert f"export {variable}" in shell, (
            f"{variable} stays literal text in plain `feast apply`"
        )
