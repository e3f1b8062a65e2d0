"""Runs a command and says what it printed and what it cost. Next: ``quality.py``."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Cost:
    """What one command, or several, took."""

    cpu_s: float = 0.0
    """Of all its processes."""
    seconds: float = 0.0
    """By the clock."""

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.cpu_s + other.cpu_s, self.seconds + other.seconds)


def run(command: Sequence[str], environment: Mapping[str, str]) -> tuple[str, Cost]:
    """Run `command` to its end; it must end well."""
    began = time.monotonic()
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as running:
        assert running.stdout is not None
        said = running.stdout.read()
        _, status, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(status)
    if running.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {said}")
    return said, Cost(used.ru_utime + used.ru_stime, time.monotonic() - began)
