"""Who may import whom: the contracts of pyproject.toml, and one door for each library."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("feature_repo", "training", "serving")

DOORS = {
    "feast": ("feature_repo",),
    "sqlalchemy": (
        "feature_repo.attaching",
        "feature_repo.commits",
        "feature_repo.engine",
        "feature_repo.sqlite",
        "feature_repo.exposures",
        "feature_repo.limits",
        "feature_repo.messages",
        "feature_repo.rules",
        "feature_repo.server",
        "feature_repo.shoppers",
        "feature_repo.slates",
        "feature_repo.tables",
        "feature_repo.versions",
        "feature_repo.warehouse",
        "feature_repo.ingest",
        "feature_repo.ledger",
        "feature_repo.merging",
        "feature_repo.importing.resume",
        "feature_repo.importing.survey",
        "feature_repo.rollups",
    ),
    "alembic": ("feature_repo.versions",),
    "ray": ("training.workers",),
    "transformers": ("training.models", "training.methods"),
    "peft": ("training.models", "training.methods"),
    "bentoml": ("serving.service", "serving.start", "serving.promote"),
    "PIL": ("training.datasets.photos", "training.models.image"),
    "structlog": ("serving.logs",),
}

# By any chain of our own imports, those inside functions included.
FORBIDDEN = {
    "serving.service": ("torch", "ray", "transformers", "peft"),
    "training.bundle": ("torch", "ray", "feast"),
    "training.datasets.encode": ("torch", "ray", "feast"),
}

# A machine that only trains has none of these, and reads a dataset folder all the same.
ABSENT_WHERE_WE_ONLY_TRAIN = ("ray", "feast", "polars")
TRAINS_ALONE = (
    "training.loop",
    "training.network",
    "training.models",
    "training.methods",
    "training.tasks",
    "training.bundle",
    "training.export",
    "training.metrics",
    "training.effects",
    "training.run",
)


def modules() -> Iterator[tuple[str, Path]]:
    """Dotted name and path of every module of the three packages."""
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def imported(path: Path) -> Iterator[str]:
    """Every module that the file imports by its absolute name, wherever in the file."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def within(module: str, places: tuple[str, ...]) -> bool:
    return any(module == place or module.startswith(f"{place}.") for place in places)


@cache
def graph() -> grimp.ImportGraph:
    return grimp.build_graph(
        *PACKAGES,
        include_external_packages=True,
        exclude_type_checking_imports=True,
        cache_dir=None,
    )


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        env={**os.environ, "HF_HUB_OFFLINE": "1", "BENTOML_DO_NOT_TRACK": "true"},
    )


def test_the_contracts_of_pyproject_hold():
    # In a process of its own: it configures logging, and silences all loggers made before.
    done = python("from importlinter.cli import *; exit(lint_imports(no_cache=True, no_logo=True))")
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("library", DOORS)
def test_each_library_has_one_door(library):
    strays = [
        f"{module} imports {name}"
        for module, path in modules()
        for name in imported(path)
        if name.partition(".")[0] == library and not within(module, DOORS[library])
    ]
    assert not strays


@pytest.mark.parametrize(
    ("module", "library"),
    [(module, library) for module, libraries in FORBIDDEN.items() for library in libraries],
)
def test_no_chain_of_imports_leads_from_a_light_module_to_a_heavy_library(module, library):
    if library not in graph().modules:
        pytest.skip(f"nothing imports {library} yet")
    chain = graph().find_shortest_chain(importer=module, imported=library)
    assert chain is None, " -> ".join(chain)


def test_the_serving_process_holds_no_training_library():
    heavy = FORBIDDEN["serving.service"]
    done = python(
        f"import serving.service, sys; print([m for m in {heavy!r} if m in sys.modules])",
    )
    assert done.stdout.strip().splitlines()[-1:] == ["[]"], done.stdout + done.stderr


def test_training_imports_where_the_feature_store_and_ray_are_absent():
    done = python(
        f"""
import importlib, sys
for name in {ABSENT_WHERE_WE_ONLY_TRAIN!r}:
    sys.modules[name] = None  # importing it now raises ImportError
for name in {TRAINS_ALONE!r}:
    importlib.import_module(name)
""",
    )
    assert done.returncode == 0, done.stderr


def test_packages_say_nothing_but_their_registries():
    for module, path in modules():
        if path.name != "__init__.py" or not path.read_text().strip():
            continue
        tree = ast.parse(path.read_text())
        allowed = (ast.Expr, ast.ImportFrom, ast.AnnAssign, ast.Assign)
        assert all(isinstance(node, allowed) for node in tree.body), module
        assert any(isinstance(node, ast.AnnAssign | ast.Assign) for node in tree.body), module
