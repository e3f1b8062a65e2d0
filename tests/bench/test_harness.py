"""The harness of the benches measures what it says and refuses unequal answers."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TINY = """
import time
from pathlib import Path

from tests.bench.harness import Bench, Measured, run


def make(folder, size):
    (folder / "number").write_text(size)


def burn(seconds, mebibytes, answer):
    def side(folder, size):
        number = int((folder / "number").read_text())

        def call():
            held = bytearray(mebibytes << 20)
            end = time.process_time() + seconds
            while time.process_time() < end:
                pass
            return Measured(answer=number * answer, figures={"rows_per_s": number / seconds})

        return call

    return side


BENCH = Bench(
    name="tiny", title="", line="", goals=(), figure="cpu_s", sizes=("1", "20"), make=make,
    sides={"slow": burn(0.6, 1, 1), "fast": burn(0.1, 100, ANSWER)},
    obvious="slow", ours="fast", rounds=1, only={"slow": ("20",)},
)
if __name__ == "__main__":
    run(BENCH)
"""


def bench(folder: Path, answer: int) -> subprocess.CompletedProcess[str]:
    (folder / "tiny.py").write_text(TINY.replace("ANSWER", str(answer)))
    return subprocess.run(
        [sys.executable, "-m", "tiny", "--out", str(folder)],
        cwd=folder,
        env={"PYTHONPATH": f"{folder}:{ROOT}"},
        capture_output=True,
        text=True,
        check=False,
    )


def test_each_side_is_measured_in_its_own_process_and_compared_at_every_size(tmp_path):
    done = bench(tmp_path, answer=1)
    assert done.returncode == 0, done.stderr
    sizes = json.loads((tmp_path / "tiny.json").read_text())["sizes"]
    assert set(sizes["1"]) == {"fast"}
    slow, fast = (sizes["20"][side]["figures"] for side in ("slow", "fast"))
    assert slow["cpu_s"]["median"] > 2 * fast["cpu_s"]["median"]
    assert fast["peak_mib"]["median"] > slow["peak_mib"]["median"] + 50
    assert fast["rows_per_s"]["median"] == 200
    assert "| 20 | fast |" in done.stdout


def test_unequal_answers_are_no_result(tmp_path):
    done = bench(tmp_path, answer=2)
    assert done.returncode != 0
    assert "the answers differ at 20" in done.stderr
    assert not (tmp_path / "tiny.json").exists()
