"""What a finding is, and the checks that need no store: versions, disk, who can get in.

Next: ``doctor.py``, which runs these and those of the stores.
"""

from __future__ import annotations

import ipaddress
import os
import platform
import shutil
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from feature_repo.settings import Settings

PROJECT = Path(__file__).parents[1] / "pyproject.toml"
PACKAGES = ("bentoml", "feast", "polars", "psycopg", "ray", "redis", "sqlalchemy", "torch")
"""Those whose versions matter most; ray and torch only where they are installed."""
GIB = 2**30


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: its `name`, whether it is `good`, what was found, and the cure if it is not."""

    name: str
    good: bool
    found: str
    cure: str = ""


def versions() -> Iterator[Finding]:
    """Python and the packages, beside what ``pyproject.toml`` asks for."""
    project = tomllib.loads(PROJECT.read_text(encoding="utf-8"))["project"]
    python = platform.python_version()
    asked = SpecifierSet(project["requires-python"])
    cure = f"use Python {asked}: `make PYTHON=/path/to/python3.11 .venv`"
    yield Finding("python version", python in asked, python, cure)
    lines = [*project["dependencies"], *project["optional-dependencies"]["training"]]
    for wanted in map(Requirement, lines):
        if wanted.name not in PACKAGES:
            continue
        try:
            found = version(wanted.name)
        except PackageNotFoundError:
            if wanted.name in ("ray", "torch"):
                continue
            found = "missing"
        good = found != "missing" and wanted.specifier.contains(found, prereleases=True)
        cure = f"install {wanted}: `make .venv` sets up the tested versions"
        yield Finding(f"{wanted.name} version", good, found, cure)


def disk(settings: Settings, warehouse_bytes: int) -> Finding:
    """Whether the home folder has room for another build of everything."""
    free = shutil.disk_usage(settings.home).free
    wanted = max(GIB, 2 * warehouse_bytes)
    found = f"{free / GIB:.1f} GiB free in {settings.home.resolve()}"
    cure = f"free {wanted / GIB:.1f} GiB, or move NUDGE_HOME to a larger disk"
    return Finding("disk", free >= wanted, found, cure)


def access(settings: Settings) -> Iterator[Finding]:
    """Whether whoever reaches Ray or the service has to show something."""
    mode = os.environ.get("RAY_AUTH_MODE", "")
    cure = "set RAY_AUTH_MODE=token, or activate .venv: whoever reaches a Ray head runs code on it"
    yield Finding("ray access", mode == "token", f"RAY_AUTH_MODE is {mode or 'not set'}", cure)
    host = os.environ.get("BENTOML_HOST", "0.0.0.0")  # BentoML's own default
    keys = Path(os.environ.get("NUDGE_SERVING_KEYS_FILE", settings.home / "keys.json"))
    required = os.environ.get("NUDGE_SERVING_REQUIRE_KEYS", "").lower()
    asks = required in ("1", "true", "yes", "on") or (required == "" and keys.exists())
    found = f"BENTOML_HOST is {host}, API keys are {'' if asks else 'not '}asked for"
    cure = "set BENTOML_HOST=127.0.0.1, or make an API key before others can reach the service"
    yield Finding("service access", asks or _is_loopback(host), found, cure)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
