"""What may stand in a file of this project: no address of a machine, no half-done place."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

# In pieces, so that this file does not hold what it looks for.
HOSTS = ("pypi" + ".org", "python" + "hosted", "download.py" + "torch", "conda" + ".anaconda")
FOLDERS = ("home", "root", "Users", "work", "opt", "mnt", "tmp/" + "nudge")
PATTERNS = {
    "a package index": re.compile(
        "|".join(re.escape(host) for host in HOSTS)
        + r"|--(?:extra-)?index-"
        + r"url|/simple"
        + r"/",
    ),
    "a path of one machine": re.compile(
        rf"(?<![\w.~$}})/-])/(?:{'|'.join(FOLDERS)})/[\w.]",
    ),
    "a private key": re.compile("-----BEGIN [A-Z ]*PRIVATE" + " KEY"),
    "a place left for later": re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME)\b"),
}


def project_files() -> list[Path]:
    """Files that git tracks, or would track if they were added now."""
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if listed.returncode:
        pytest.skip("not a git checkout: nobody can say which files belong to the project")
    return [ROOT / name for name in listed.stdout.split("\0") if name and (ROOT / name).is_file()]


def texts() -> list[tuple[str, str]]:
    found = []
    for path in project_files():
        try:
            found.append((str(path.relative_to(ROOT)), path.read_text()))
        except UnicodeDecodeError:
            continue
    return found


@pytest.mark.parametrize("what", PATTERNS)
def test_no_file_holds(what):
    hits = [
        f"{name}:{number}: {line.strip()[:120]}"
        for name, text in texts()
        if name != "LICENSE"
        for number, line in enumerate(text.splitlines(), 1)
        if PATTERNS[what].search(line)
    ]
    assert not hits, "\n".join(hits)


@pytest.mark.parametrize(
    ("what", "line"),
    [
        ("a package index", "https://" + "pypi" + ".org/simple"),
        ("a path of one machine", 'open("' + "/ho" + 'me/ada/shop.csv")'),
        ("a path of one machine", "cd /wo" + "rk/main"),
        ("a place left for later", "# TO" + "DO: later"),
    ],
)
def test_the_patterns_find_what_they_are_for(what, line):
    assert PATTERNS[what].search(line)


@pytest.mark.parametrize("line", ["$HOME/.local/share", "GET /users/{id}", "sqlite:///shop.db"])
def test_the_patterns_leave_ordinary_words_alone(line):
    assert not any(pattern.search(line) for pattern in PATTERNS.values())


def test_the_lock_holds_names_and_versions_only():
    lines = (ROOT / "requirements.lock").read_text().split()
    assert len(lines) > 100
    strange = [
        line for line in lines if not re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9._!]+", line)
    ]
    assert not strange


def test_no_data_or_model_lies_in_the_repository():
    heavy = {".csv", ".parquet", ".db", ".npy", ".npz", ".onnx", ".safetensors", ".pt", ".xlsx"}
    assert [str(p) for p in project_files() if p.suffix in heavy] == []
    large = [str(path) for path in project_files() if path.stat().st_size > 300_000]
    assert not large
