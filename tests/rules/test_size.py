"""Small modules, small functions, a word of introduction, and no print outside a command."""

from __future__ import annotations

import ast
from pathlib import Path
from statistics import median

import pytest

ROOT = Path(__file__).parents[2]
MODULES = sorted(
    path
    for package in ("feature_repo", "training", "serving")
    for path in ROOT.glob(f"{package}/**/*.py")
)
FILES = [*MODULES, *sorted(ROOT.glob("demo*.py"))]
MAX_MODULE_LINES = 250
MAX_FUNCTION_LINES = 60


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def functions(path: Path) -> dict[str, int]:
    """Lines of each function of the file, by name and line number."""
    return {
        f"{name(path)}:{node.lineno} {node.name}": node.end_lineno - node.lineno + 1
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }


@pytest.mark.parametrize("path", FILES, ids=name)
def test_a_module_says_what_it_is_and_stays_short(path):
    text = path.read_text()
    if path.name == "__init__.py" and not text.strip():
        return
    assert ast.get_docstring(ast.parse(text)), f"{name(path)} has no docstring"
    lines = len(text.splitlines())
    assert lines <= MAX_MODULE_LINES, f"{name(path)} has {lines} lines; split it by idea"


def test_no_function_is_long_and_most_are_short():
    sizes = {where: size for path in FILES for where, size in functions(path).items()}
    assert {where: size for where, size in sizes.items() if size > MAX_FUNCTION_LINES} == {}
    ordered = sorted(sizes.values())
    assert median(ordered) <= 14
    assert ordered[int(0.9 * len(ordered))] <= 35


@pytest.mark.parametrize("path", MODULES, ids=name)
def test_only_a_command_prints(path):
    if path.name == "__main__.py":
        return
    calls = [
        node.lineno
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("print", "breakpoint")
    ]
    assert not calls, f"{name(path)} prints on line {calls}"
