"""The service over PostgreSQL and Redis: the same answers, and limits that hold over processes."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from feature_repo.ledger import Ledger
from tests.conftest import run
from tests.serving.test_process import ROOT, answers_of_one_process, check_answers, serve

DECIDE_MANY = """
import json, sys
from concurrent.futures import ThreadPoolExecutor
from fastapi.testclient import TestClient
from serving.service import app

users = sys.argv[1].split(",")
with TestClient(app) as client, ThreadPoolExecutor(4) as pool:
    print("ready", flush=True)
    sys.stdin.readline()
    answers = list(pool.map(lambda user: client.post("/decide", json={"user_id": user}), users))
print(json.dumps([[answer.status_code, answer.json().get("action")] for answer in answers]))
"""
COUPON = 5_000_000


@pytest.fixture(scope="module")
def served(shop_on_servers, make_model, tmp_path_factory):
    return serve(shop_on_servers, make_model, tmp_path_factory.mktemp("served"))


def test_an_event_changes_the_next_answer_on_servers_as_on_files(shop_on_servers, served):
    check_answers(answers_of_one_process(shop_on_servers, served))


def test_two_processes_never_spend_more_than_the_budget(shop_on_servers, served):
    from serving.promote import keep_campaign

    shop = shop_on_servers
    changes = {"daily_budget_micros": 3 * COUPON, "cap_num": 100}
    keep_campaign(shop.settings, "default", changes | {"cost_micros": {"coupon": COUPON}})
    users = shop.warehouse.events(kinds=["purchase"])["user_id"].unique().sort().to_list()
    asked = 3 * users  # actions are drawn: often enough that more than three coupons are
    command = [sys.executable, "-c", DECIDE_MANY, ",".join(asked)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    several = [subprocess.Popen(command, env=served, cwd=ROOT, **pipes) for _ in range(2)]
    try:
        for one in several:
            assert "ready\n" in iter(one.stdout.readline, "")
        for one in several:
            one.stdin.write("go\n")
            one.stdin.flush()
        said = [one.communicate(timeout=120)[0].splitlines() for one in several]
    finally:
        for one in several:
            one.kill()
    answers = [json.loads(lines[-1]) for lines in said]
    given = [action for mine in answers for status, action in mine if status == 200]
    assert len(given) == 2 * len(asked), answers
    assert given.count("coupon") == 3, "as many wanted one, and no more"
    assert Ledger(shop.warehouse).spent_micros("default", shop.clock.now()) == 3 * COUPON


def test_plain_feast_materializes_beside_it_and_both_reads_agree(shop_on_servers):
    from feature_repo import publish

    shop = shop_on_servers
    publish.rollup(shop.warehouse, shop.settings)
    start, end = "2025-01-01T00:00:00", "2025-12-31T00:00:00"
    command = ["feast", "materialize", start, end, "--views", "user_state"]
    run(*command, env=shop.env, cwd=ROOT / "feature_repo")
    found = run(sys.executable, "-m", "feature_repo", "parity", env=shop.env)
    assert found.count(" 0 differences") == 2, found
