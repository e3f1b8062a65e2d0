"""Activating .venv gives a shell addresses that belong together, and overrules nobody."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ENTER = f". {ROOT}/infra/environment.sh"


def after(tmp_path: Path, *lines: str, shell: str = "bash", **given: str) -> dict[str, str]:
    """The environment after `lines` in a shell that had `given` only."""
    plain = {
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "VIRTUAL_ENV": f"{ROOT}/.venv",
    }
    script = "\n".join(["set -eu", *lines, "env -0"])
    done = subprocess.run(
        [shell, "-c", script], env=plain | given, cwd=tmp_path, capture_output=True, check=True
    )
    pairs = (pair.partition("=") for pair in done.stdout.decode().split("\0") if pair)
    return {name: value for name, _, value in pairs}


@pytest.mark.parametrize("shell", ["bash", "sh"])
def test_the_addresses_are_absolute_and_lie_in_the_root_by_default(tmp_path, shell):
    found = after(tmp_path, ENTER, shell=shell)
    assert found["NUDGE_HOME"] == f"{ROOT}/.nudge"
    assert found["NUDGE_REGISTRY_URL"] == f"sqlite:///{ROOT}/.nudge/registry.db"
    assert found["NUDGE_ONLINE_URL"] == f"sqlite:///{ROOT}/.nudge/online.db"
    assert found["FEAST_FS_YAML_FILE_PATH"] == f"{ROOT}/feature_repo/feature_store.yaml"


def test_a_relative_home_is_made_absolute(tmp_path):
    assert after(tmp_path, ENTER, NUDGE_HOME="shop")["NUDGE_HOME"] == f"{tmp_path}/shop"


def test_what_was_set_stays(tmp_path):
    given = {
        "NUDGE_REGISTRY_URL": "postgresql+psycopg://shop/registry",
        "NUDGE_ONLINE_URL": "redis://:word@shop:6379/3",
        "BENTOML_HOME": str(tmp_path / "models"),
        "NUDGE_HISTORY_LENGTH": "50",
        "RAY_AUTH_MODE": "disabled",
    }
    found = after(tmp_path, ENTER, ENTER, **given)
    assert {name: found[name] for name in given} == given


@pytest.mark.parametrize("scheme", ["postgres", "postgresql"])
def test_a_registry_on_postgresql_gets_the_driver_that_feast_wants_named(tmp_path, scheme):
    found = after(tmp_path, ENTER, NUDGE_REGISTRY_URL=f"{scheme}://user:word@shop/registry")
    assert found["NUDGE_REGISTRY_URL"] == "postgresql+psycopg://user:word@shop/registry"


def test_another_home_takes_its_stores_along(tmp_path):
    first = after(tmp_path, ENTER)
    second = after(tmp_path, ENTER, f"NUDGE_HOME={tmp_path}/b", ENTER)
    assert second["NUDGE_REGISTRY_URL"] == f"sqlite:///{tmp_path}/b/registry.db"
    assert second["NUDGE_ONLINE_URL"] == f"sqlite:///{tmp_path}/b/online.db"
    assert second["BENTOML_HOME"] != first["BENTOML_HOME"]


def test_an_address_that_was_unset_is_derived_again(tmp_path):
    found = after(tmp_path, ENTER, "unset NUDGE_REGISTRY_URL NUDGE_ONLINE_URL BENTOML_HOME", ENTER)
    assert found["NUDGE_REGISTRY_URL"].endswith("/.nudge/registry.db")
    assert found["NUDGE_ONLINE_URL"].endswith("/.nudge/online.db")
    assert Path(found["BENTOML_HOME"]).is_dir()


def test_the_model_store_lies_outside_the_folder_that_bentoml_builds(tmp_path):
    store = Path(after(tmp_path, ENTER)["BENTOML_HOME"])
    assert ROOT not in store.parents
