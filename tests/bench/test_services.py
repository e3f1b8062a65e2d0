"""The services that a bench measures beside each other still answer, and alike."""

from __future__ import annotations

import http.client
from contextlib import closing

import pytest

from tests.bench import bench_live, bench_recommend
from tests.bench.bench_recommend import body
from tests.bench.obvious_service import OBVIOUS_YAML
from tests.bench.served import ask, server

SERVICES = ("tests.bench.obvious_service:Obvious", "serving.service:Nudge")


@pytest.mark.long
def test_the_obvious_composition_and_ours_recommend_the_same(tmp_path):
    bench_recommend.make(tmp_path, "300 items")
    told = []
    for service in SERVICES:
        command = (*bench_live.COMMAND[:2], service, *bench_live.COMMAND[3:])
        settings = {OBVIOUS_YAML: str(tmp_path / "obvious.yaml")}
        with server(command, tmp_path / "home", **settings) as (port, _):
            with closing(http.client.HTTPConnection("127.0.0.1", port, timeout=60)) as connection:
                items = ask(connection, "/recommend", body("shopper-00003"))["items"]
            told.append([item["item_id"] for item in items][:30])
    assert len(told[0]) == 30
    assert told[0] == told[1]
