"""Seeded faults: each test prints its seed, ``NUDGE_TEST_SEED`` repeats one; the matrix at the end.

The lines that a run recorded are printed as a table for ``docs/reliability.md``.
"""

from __future__ import annotations

import os
import random
from dataclasses import dataclass, field
from statistics import median

import pytest

from tests.faults.processes import shop_on


@dataclass
class Line:
    """What one kind of fault came to."""

    tried: int = 0
    survived: int = 0
    lost: int = 0
    doubled: int = 0
    seconds: list[float] = field(default_factory=list)
    """From the end of the fault to the first whole answer or result."""

    def add(self, *, lost: int = 0, doubled: int = 0, seconds: float | None = None) -> None:
        """Count one fault."""
        self.tried += 1
        self.survived += not lost and not doubled
        self.lost, self.doubled = self.lost + lost, self.doubled + doubled
        if seconds is not None:
            self.seconds.append(seconds)

    def row(self) -> str:
        """As a row of Markdown."""
        times = f"{median(self.seconds):.1f} / {max(self.seconds):.1f}" if self.seconds else "-"
        return f"{self.survived} / {self.tried} | {self.lost} | {self.doubled} | {times}"


LINES: dict[str, Line] = {}
SEEDS: list[int] = []


@pytest.fixture
def matrix():
    """Fault to its line of the matrix."""

    def line(fault: str) -> Line:
        return LINES.setdefault(fault, Line())

    return line


@pytest.fixture
def rng(request) -> random.Random:
    """Random moments, from a printed seed."""
    seed = int(os.environ.get("NUDGE_TEST_SEED") or random.SystemRandom().randrange(10**6))
    print(f"{request.node.name}: NUDGE_TEST_SEED={seed}")
    SEEDS.append(seed)
    return random.Random(f"{seed} {request.node.name}")


@pytest.fixture
def shop_with(shop, tmp_path, request):
    """Make a copy of the shop, on other stores where they are given."""

    def make(**stores):
        return shop_on(shop, tmp_path / "home", **stores)

    return make


def pytest_terminal_summary(terminalreporter):
    """The matrix."""
    if LINES:
        write = terminalreporter.write_line
        write(f"seeds: {sorted(set(SEEDS))}")
        write("| fault | survived / tried | lost | doubled | seconds to recover, median / max |")
        write("|---|---|---|---|---|")
        for fault, line in LINES.items():
            write(f"| {fault} | {line.row()} |")
