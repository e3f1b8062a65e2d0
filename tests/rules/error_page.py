"""Every error that a user can meet, read from the code: what it says and its cure.

``python -m tests.rules.error_page`` writes ``docs/errors.md``; ``test_errors.py`` holds the page to
the code, and each message to its form: what happened, then ``; `` and what to change.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "errors.md"
PACKAGES = ("feature_repo", "training", "serving")
OUR_OWN = ("Exit", "HTTPException", "StopIteration", "DiskFull", "StoreFailed")
"""Not read by people, or their cure is added by the class itself."""


@dataclass(frozen=True, order=True, slots=True)
class Message:
    """One message: where it comes from, what it says happened, and the cure it names."""

    module: str
    what: str
    cure: str


def messages() -> list[Message]:
    """All of them, by module and in the order of the alphabet; values are shown as an ellipsis."""
    found = {
        Message(path.relative_to(ROOT).as_posix(), *_halves(text))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for text in _texts(ast.parse(path.read_text()))
    }
    return sorted(found)


def page() -> str:
    """The page in Markdown."""
    lines = [PAGE.read_text().split("\n## feature_repo/")[0].rstrip()]
    module = ""
    for message in messages():
        if message.module != module:
            module = message.module
            lines += ["", f"## {module}", "", "| it says | do |", "|---|---|"]
        lines.append(f"| {_cell(message.what)} | {_cell(message.cure)} |")
    return "\n".join(lines) + "\n"


def _texts(tree: ast.Module) -> Iterator[str]:
    """The message of each error that is raised with words of its own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Raise) and isinstance(node.exc, ast.Call) and node.exc.args:
            name = ast.unparse(node.exc.func).rpartition(".")[2]
            text = "".join(_parts(node.exc.args[0]))
            is_passed_on = text.endswith(": …") or not any(letter.isalpha() for letter in text)
            if name not in OUR_OWN and not is_passed_on:
                yield text


def _parts(node: ast.expr) -> Iterator[str]:
    """The words of a string, with an ellipsis for what is filled in."""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.value
    elif isinstance(node, ast.JoinedStr):
        for value in node.values:
            yield from _parts(value) if isinstance(value, ast.Constant) else ("…",)
    elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        yield from (*_parts(node.left), *_parts(node.right))


def _halves(text: str) -> tuple[str, str]:
    what, _, cure = text.partition("; ")
    return what, cure


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ").replace("*", "\\*")


if __name__ == "__main__":
    PAGE.write_text(page())
