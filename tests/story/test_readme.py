"""Each command of README.md, in its order, on the small simulated shop that it makes itself.

Left out: the targets of make that would run this very test, and what only prepares a terminal.
Servers get free ports and are ended by their own process id; all else runs as it is printed. The
Ray cluster takes minutes, so its commands run with `make test-long`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.story.terminal import ROOT, Terminal, blocks_of, commands_of, needs_a_shell

README = ROOT / "README.md"
pytestmark = needs_a_shell


@pytest.fixture(scope="module")
def terminal(tmp_path_factory) -> Iterator[Terminal]:
    reader = Terminal(tmp_path_factory.mktemp("reader"))
    for language, name in (("toml", "my_shop.toml"), ("csv", "orders.csv")):
        text = next(body for found, body in blocks_of(README) if found == language)
        (reader.folder / name).write_text(text)
    yield reader
    reader.close()


@pytest.mark.parametrize(
    "command",
    [
        pytest.param(command, marks=[pytest.mark.long] if command.startswith("ray ") else [])
        for command in commands_of(README)
    ],
)
def test_a_command_of_the_readme_works(terminal, command):
    said = terminal.enter(command)
    if command.startswith("curl"):
        answer = json.loads(said)
        assert answer.get("decision_id") or answer.get("accepted") or answer.get("user_id")
    if " parity" in command:
        assert said.count(" 0 differences") == 2
