"""Folders stay whole whatever is killed when, and locks end with their process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys

import numpy as np
import pytest

from tests.training import synthetic
from training.datasets.vectors import with_text_vectors
from training.folders import alone, beside, lead, sweep
from training.track import PlainRuntime, new_attempt, sweep_attempts


def test_a_link_leads_to_the_new_folder_and_sweeping_leaves_only_that(tmp_path):
    link = tmp_path / "data"
    places = [beside(link) for _ in range(3)]
    for number, place in enumerate(places):
        place.mkdir()
        (place / "number").write_text(str(number))
    (tmp_path / "data-elsewhere").mkdir()
    lead(link, places[0])
    lead(link, places[1])
    assert (link / "number").read_text() == "1"
    sweep(link)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(
        ["data", "data-elsewhere", places[1].name]
    )


def test_a_checkpoint_that_was_cut_short_is_swept_and_the_last_whole_one_stays(tmp_path):
    runtime = PlainRuntime(tmp_path / "checkpoint")
    assert runtime.checkpoint() is None
    source = tmp_path / "passing"
    source.mkdir()
    (source / "progress.json").write_text("1")
    runtime.report({}, source)
    half = beside(runtime.folder)
    half.mkdir()
    assert (runtime.checkpoint() / "progress.json").read_text() == "1"
    (source / "progress.json").write_text("2")
    runtime.report({}, source)
    assert (runtime.checkpoint() / "progress.json").read_text() == "2"
    assert len(list(tmp_path.glob("checkpoint*"))) == 2


def test_text_vectors_can_be_changed_again_and_leave_the_first_dataset_alone(tmp_path):
    first = synthetic.write(tmp_path / "d", num_examples=20)
    link = tmp_path / "run" / "data"
    link.parent.mkdir()
    lead(link, first.folder)
    for value in (1.0, 2.0):
        vectors = np.full_like(np.array(first.text_vectors), value)
        changed = with_text_vectors(type(first)(link), vectors, link)
        assert float(changed.text_vectors[0, 0]) == value
        assert len(changed.examples("train")) == len(first.examples("train"))
    assert float(type(first)(first.folder).text_vectors[0, 0]) != 2.0
    assert len(list(link.parent.iterdir())) == 2


def test_a_lock_is_free_again_when_its_process_is_killed(tmp_path):
    lock = tmp_path / "lock"
    code = (
        "import sys, time\nfrom pathlib import Path\nfrom training.folders import alone\n"
        "with alone(Path(sys.argv[1]), wait_s=0, otherwise=''):\n"
        "    print('held', flush=True)\n    time.sleep(60)\n"
    )
    process = subprocess.Popen([sys.executable, "-c", code, lock], stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"held\n"
    with (
        pytest.raises(ValueError, match="being trained"),
        alone(lock, wait_s=0.2, otherwise="being trained"),
    ):
        pass
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()
    with alone(lock, wait_s=5, otherwise="never"):
        pass


def test_every_attempt_has_a_name_of_its_own_and_only_the_last_checkpoint_stays(tmp_path):
    assert new_attempt(tmp_path) == "attempt-0"
    for name in ("attempt-0/checkpoint_1", "attempt-9/checkpoint_1", "attempt-9/checkpoint_2"):
        (tmp_path / name).mkdir(parents=True)
    assert new_attempt(tmp_path) == "attempt-10"
    sweep_attempts(tmp_path, tmp_path / "attempt-9" / "checkpoint_2")
    assert [path.name for path in tmp_path.glob("*/*")] == ["checkpoint_2"]
