"""Feast without what the shop's own processes never ask of it."""

from __future__ import annotations

import json
import subprocess
import sys

CODE = """
import json, sys, typeguard
from feature_repo.lean import lean

checks = typeguard.typechecked
with lean():
    import feast
    hidden = sys.modules.get("torch", "absent") is None
with lean():  # not for the first time
    torch_stays_away = "torch" not in sys.modules
checked = "check_argument_types" in feast.FeatureView.__init__.__code__.co_names
print(json.dumps([hidden, torch_stays_away, checked, typeguard.typechecked is checks]))
"""


def test_feast_is_loaded_without_torch_and_without_checks_and_both_are_there_afterwards():
    said = subprocess.run(
        [sys.executable, "-c", CODE], capture_output=True, text=True, check=True, timeout=120
    )
    assert json.loads(said.stdout) == [True, True, False, True]
