"""An import goes on where it ended, and a repeat costs next to nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from feature_repo.importing import importers
from feature_repo.importing.importers import import_files
from feature_repo.importing.mapping_file import parse_mappings
from feature_repo.settings import microseconds
from feature_repo.warehouse import Warehouse

NOW = microseconds("2026-01-01T00:00:00")
TOML = """
base_currency = "EUR"
{more}
[columns]
user_id = "who"
event_at = "at"
item_id = "what"
quantity = "pieces"
price = "price"
[kind]
default = "purchase"
[[kind.rules]]
kind = "return"
column = "pieces"
matches = "^-"
"""
LINES = [
    f"u{n % 7},2025-01-{n // 50 + 1:02} 10:{n % 60:02}:00,i{n % 3},{'-1' if n % 9 == 8 else 2},1.5"
    for n in range(600)
]
HEAD = "who,at,what,pieces,price\n"


def mapping(more: str = "", name: str = "shop"):
    return parse_mappings(TOML.format(more=more), name)


def shop(folder, name: str = "shop") -> Warehouse:
    made = Warehouse(f"sqlite:///{folder}/{name}.db")
    made.migrate()
    return made


@pytest.fixture
def path(tmp_path):
    (tmp_path / "lines.csv").write_text(HEAD + "\n".join([*LINES, "u1,never,i1,1,1"]) + "\n")
    return tmp_path / "lines.csv"


def counted(report) -> tuple:
    return report.read, report.accepted, report.duplicates, report.rejected, report.reasons


def test_a_repeat_reads_nothing_again_and_counts_as_if_it_had(warehouse, path, monkeypatch):
    first = import_files(warehouse, [path], mapping(), now=NOW, chunk_rows=100)
    assert first.accepted + first.duplicates == 600
    assert first.skipped == 0
    monkeypatch.setattr(importers, "read", None)  # calling it would raise
    again = import_files(warehouse, [path], mapping(), now=NOW, chunk_rows=100)
    assert counted(again) == (601, 0, 600, 1, {"bad_time": 1})
    assert again.skipped == 601
    assert any("imported before" in said for said in again.notices)


class Stop(Exception):
    """What ends an import here and there."""


@pytest.mark.parametrize("after", [0, 1, 40, 100, 250, 601])
def test_an_import_that_was_cut_anywhere_ends_like_one_that_was_not(tmp_path, path, after):
    whole, cut = shop(tmp_path, "whole"), shop(tmp_path, "cut")
    sizes = {"chunk_rows": 100, "block_bytes": 2_000}
    expected = import_files(whole, [path], mapping(), now=NOW, **sizes)
    seen = 0

    def progress(num: int) -> None:
        nonlocal seen
        seen += num
        if seen >= after:
            raise Stop

    with pytest.raises(Stop):
        import_files(cut, [path], mapping(), now=NOW, progress=progress, **sizes)
    report = import_files(cut, [path], mapping(), now=NOW, **sizes)
    assert cut.events().equals(whole.events())
    assert cut.dead_letters().equals(whole.dead_letters())
    assert report.read == expected.read
    assert report.reasons == expected.reasons


def test_a_file_that_has_grown_is_read_to_its_new_end(tmp_path, path):
    warehouse = shop(tmp_path)
    import_files(warehouse, [path], mapping(), now=NOW)
    num = warehouse.counts()["events"]
    with path.open("a") as file:
        file.write("u1,2025-02-01 10:00:00,i1,1,1\n")
    report = import_files(warehouse, [path], mapping(), now=NOW)
    assert (report.read, report.accepted, report.skipped) == (602, 1, 0)
    assert warehouse.counts()["events"] == num + 1


def test_another_mapping_of_the_same_columns_is_read_anew(tmp_path, path):
    warehouse = shop(tmp_path)
    first = import_files(warehouse, [path], mapping(), now=NOW)
    more = '[[rejects]]\nreason = "ignored"\ncolumn = "what"\nvalues = ["none"]\n'
    changed = parse_mappings(TOML.format(more="") + more, "shop")
    report = import_files(warehouse, [path], changed, now=NOW)
    assert (report.skipped, report.accepted) == (0, 0)
    assert report.duplicates == first.accepted + first.duplicates


def test_a_mapping_that_would_double_every_row_is_refused(tmp_path, path):
    warehouse = shop(tmp_path)
    import_files(warehouse, [path], mapping(), now=NOW)
    fewer = parse_mappings(TOML.format(more="").replace('price = "price"\n', ""), "shop")
    with pytest.raises(ValueError, match="each row would be a second event"):
        import_files(warehouse, [path], fewer, now=NOW)


def test_a_killed_import_is_completed_by_the_same_command(tmp_path):
    path = tmp_path / "lines.csv"
    path.write_text(
        HEAD + "\n".join(f"u{n},2025-01-01 10:00:00,i{n % 9},2,1.5" for n in range(150_000))
    )
    (tmp_path / "shop.toml").write_text(TOML.format(more=""))
    env = os.environ | {"NUDGE_HOME": str(tmp_path / "home"), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "feature_repo", "import", str(path)]
    command += ["--mapping", str(tmp_path / "shop.toml")]
    started = subprocess.Popen(command, env=env, stdout=subprocess.DEVNULL)
    database = tmp_path / "home" / "warehouse.db-wal"
    deadline = time.monotonic() + 120
    # The first 50,000 rows are written well before the last.
    while time.monotonic() < deadline and started.poll() is None:
        if database.exists() and database.stat().st_size > 8_000_000:
            break
        time.sleep(0.02)
    started.send_signal(signal.SIGKILL)
    started.wait(30)
    warehouse = Warehouse(f"sqlite:///{tmp_path}/home/warehouse.db")
    assert warehouse.counts()["events"] < 150_000
    done = subprocess.run(command, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    assert warehouse.counts()["events"] == 150_000
