"""The whole story of ``make demo`` on the small simulated shop, in an empty home folder."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEPS = 9


@pytest.mark.long
def test_the_demo_tells_the_whole_story(tmp_path):
    surroundings = os.environ | {
        "VIRTUAL_ENV": str(ROOT / ".venv"),
        "NUDGE_HOME": str(tmp_path / "home"),
        "XDG_DATA_HOME": str(tmp_path / "share"),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "NO_COLOR": "1",
        "COLUMNS": "200",
    }
    told = subprocess.run(
        ["bash", "-c", ". infra/environment.sh && python demo.py --tiny"],
        cwd=ROOT,
        env=surroundings,
        capture_output=True,
        text=True,
        timeout=580,
    )
    assert told.returncode == 0, told.stdout[-6000:] + told.stderr[-3000:]
    assert "The shop is simulated" in told.stdout
    assert told.stdout.count(" 0 differences") == 4  # two services, said and in the last table
    short = told.stdout.partition("The story in short")[2]
    assert [int(n) for n in re.findall(r"^│ (\d+) +│", short, re.MULTILINE)] == [
        *range(1, STEPS + 1)
    ]
    assert re.search(r"\w+, then purchase", short)
    report = re.search(r"The report, with plots: (\S+)", told.stdout)
    assert report is not None
    assert "<svg" in Path(report[1]).read_text() or "<img" in Path(report[1]).read_text()
