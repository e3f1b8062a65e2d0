"""Keys, scopes, sizes, rates, request ids and log lines, on the real application."""

from __future__ import annotations

import io
import json
import logging
import os
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fastapi.testclient import TestClient
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

from serving import keys, logs
from serving.catalogue import Shelf
from serving.endpoints import ENDPOINTS, OTHER, endpoint_of
from serving.guard import Guard, is_local
from serving.limits import MAX_BUCKETS, Buckets
from serving.settings import ServingSettings
from serving.upkeep import Upkeep

ROOT = Path(__file__).parents[2]
VIEW = {"event_id": "n1", "kind": "view", "user_id": "bob", "item_id": "cup"}
ELSEWHERE = "http://10.1.2.3"
"""Base of a client whose requests come in at an address that other machines reach."""


@pytest.fixture
def file(tmp_path) -> Path:
    return tmp_path / "keys.json"


@pytest.fixture
def serve(desk, file) -> Callable:
    """A client of the service with other settings, and with the keys of `file`."""
    from serving.service import create_app

    @contextmanager
    def started(base: str = "http://testserver", **settings) -> Iterator[TestClient]:
        ring = keys.KeyRing(file, look_every_s=0)
        given = desk.parts
        upkeep = Upkeep(given.upkeep._chores, given.spool)
        parts = desk.with_parts(shelf=Shelf(given.shelf._make, desk.clock), upkeep=upkeep)
        app = create_app(lambda: parts, lambda app: Guard(app, ServingSettings(**settings), ring))
        with TestClient(app, base_url=base, raise_server_exceptions=False) as client:
            yield client

    return started


@pytest.fixture
def key(file) -> Callable[..., str]:
    """Makes a key of a scope; gives the key itself."""

    def make(scope: str = "admin", name: str | None = None, **options) -> str:
        now = options.pop("now", time.time())
        return keys.make(file, name or scope, scope, now=now, **options)[1]

    return make


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@pytest.fixture
def lines() -> Iterator[Callable[[], list[dict]]]:
    """What our loggers wrote as JSON lines."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.formatter())
    loggers = [logging.getLogger(name) for name in logs.OURS]
    for logger in loggers:
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
    yield lambda: [json.loads(line) for line in stream.getvalue().splitlines()]
    for logger in loggers:
        logger.removeHandler(handler)
        logger.setLevel(logging.NOTSET)


# Keys


def test_without_any_key_this_machine_needs_none(serve):
    with serve() as client:
        assert client.post("/recommend", json={"user_id": "ada"}).status_code == 200


def test_without_any_key_another_machine_is_refused(serve):
    with serve(ELSEWHERE) as client:
        assert client.post("/recommend", json={"user_id": "ada"}).status_code == 401
        assert client.get("/docs").status_code == 401
        assert client.get("/ready").status_code == 200
    with serve(ELSEWHERE, require_keys=False) as client:
        assert client.get("/users/ada").status_code == 200


def test_once_a_key_was_made_it_is_needed_here_too_and_the_page_stays_open(serve, key):
    with serve() as client:
        assert client.get("/users/ada").status_code == 200
        text = key("read")
        assert client.get("/users/ada").status_code == 401
        assert client.get("/users/ada", headers=bearer(text)).status_code == 200
        assert client.get("/users/ada", headers={"X-API-Key": text}).status_code == 200
        assert client.get("/docs").status_code == client.get("/ready").status_code == 200


def test_behind_a_proxy_keys_can_be_required_from_the_start(serve):
    with serve(require_keys=True) as client:
        for path in ("/users/ada", "/docs", "/openapi.json", "/metrics"):
            assert client.get(path).status_code == 401, path


@pytest.mark.parametrize(
    ("scope", "allowed"),
    [
        ("read", {"/recommend", "/predict", "/users/ada", "/decisions/none", "/docs"}),
        ("write", {"/recommend", "/predict", "/users/ada", "/decisions/none", "/docs"}
         | {"/events", "/decide"}),
        ("admin", {"/recommend", "/predict", "/users/ada", "/decisions/none", "/docs"}
         | {"/events", "/decide", "/metrics", "/nowhere"}),
    ],
)  # fmt: skip
def test_each_scope_allows_its_endpoints_and_names_the_one_that_is_needed(
    serve, key, scope, allowed
):
    asked = {"/recommend": {"user_id": "ada"}, "/predict": {"user_id": "ada"}}
    asked |= {"/decide": {"user_id": "ada"}, "/events": VIEW}
    others = ("/users/ada", "/decisions/none", "/docs", "/metrics", "/nowhere")
    text = key(scope)
    with serve(ELSEWHERE) as client:
        for path in (*asked, *others):
            body = asked.get(path)
            answer = client.request(
                "POST" if body else "GET", path, json=body, headers=bearer(text)
            )
            assert (answer.status_code != 403) == (path in allowed), path
            if answer.status_code == 403:
                need = endpoint_of(path).scope
                assert answer.json()["error"] == "forbidden"
                assert f"scope {need}; this key has the scope {scope}" in answer.json()["message"]


def test_unknown_wrong_revoked_and_expired_keys_get_one_answer(serve, key, file):
    live, gone = key("read", "live"), key("read", "gone")
    old = key("read", "old", now=time.time() - 10 * 86_400, expires_days=1)
    keys.revoke(file, "gone", now=time.time())
    marked = f"{live[:-1]}{'a' if live[-1] != 'a' else 'b'}"
    answers = []
    with serve() as client:
        for text in ("made-up", "nudge_", marked, gone, old, "nudge_x_ÿ".encode("latin-1").decode("latin-1")):  # fmt: skip  # noqa: E501
            header = {"Authorization": f"Bearer {text}".encode("latin-1")}
            answer = client.get("/users/ada", headers=header)
            assert answer.headers["www-authenticate"] == 'Bearer realm="nudge"'
            answers.append((answer.status_code, answer.json() | {"request_id": ""}))
        assert client.get("/users/ada", headers=bearer(live)).status_code == 200
    assert answers == [answers[0]] * 6
    assert answers[0][0] == 401


def test_revoking_the_last_key_opens_nothing_nor_does_losing_or_breaking_the_file(serve, key, file):
    text = key("read")
    with serve() as client:
        keys.revoke(file, "read", now=time.time())
        assert client.get("/users/ada", headers=bearer(text)).status_code == 401
        assert client.get("/users/ada").status_code == 401
        file.write_text("{")
        assert client.get("/users/ada").status_code == 401
        file.unlink()
        assert client.get("/users/ada").status_code == 401


def test_a_ring_looks_at_its_file_again_only_after_a_while(key, file):
    ring = keys.KeyRing(file, look_every_s=0.2)
    text = key("read")
    assert ring.find(text) is None
    time.sleep(0.25)
    assert ring.find(text).scope == "read"


def test_the_file_is_its_owners_alone_and_holds_no_key(key, file):
    text = key("write")
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    kept = file.read_text()
    assert text not in kept
    assert text.split("_", 2)[2] not in kept
    assert text.split("_", 2)[1] in kept
    assert list(file.parent.glob("*.partial")) == []


@given(st.text(max_size=300))
def test_no_text_but_the_key_is_the_key(key_ring, text):
    assert key_ring.find(text) is None
    assert key_ring.find(f"nudge_{text}") is None


@pytest.fixture(scope="module")
def key_ring(tmp_path_factory):
    file = tmp_path_factory.mktemp("ring") / "keys.json"
    keys.make(file, "one", "admin", now=0.0)
    return keys.KeyRing(file)


def test_a_file_that_holds_no_keys_is_named_with_its_remedy(file):
    file.write_text('{"keys": 7}')
    with pytest.raises(ValueError, match=r"is not a file of API keys .*restore it"):
        keys.KeyRing(file)


def test_the_commands_make_list_and_revoke_keys(tmp_path, monkeypatch):
    from serving.__main__ import app

    monkeypatch.setenv("NUDGE_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")

    def told(*command: str):
        return CliRunner().invoke(app, ["key", *command])

    made = told("create", "--name", "till", "--scope", "write", "--expires-days", "30")
    assert made.exit_code == 0, made.output
    text = made.output.splitlines()[-1]
    found = keys.KeyRing(tmp_path / "keys.json").find(text)
    assert (found.name, found.scope) == ("till", "write")
    assert found.expires_at - found.created_at == 30 * 86_400
    assert told("create", "--name", "till", "--scope", "read").exit_code == 2
    assert told("create", "--name", "till", "--scope", "all").exit_code == 2
    assert told("create", "--name", "b", "--scope", "read", "--expires-days", "0").exit_code == 2
    listed = told("list").output
    assert found.key_id in listed
    assert "live" in listed
    assert text not in listed
    assert told("revoke", found.key_id).exit_code == 0
    assert told("revoke", found.key_id).exit_code == 2
    assert "revoked" in told("list").output


# Where it listens


@pytest.mark.parametrize(
    ("host", "is_ours"),
    [
        ("127.0.0.1", True), ("127.9.9.9", True), ("::1", True), ("::ffff:127.0.0.1", True),
        ("0.0.0.0", False), ("::", False), ("10.0.0.1", False), ("192.168.1.7", False),
        ("8.8.8.8", False), ("::ffff:10.0.0.1", False), ("fe80::1%eth0", False),
        ("/run/nudge.sock", True),
    ],
)  # fmt: skip
def test_only_loopback_counts_as_this_machine(host, is_ours):
    assert is_local(host) is is_ours


def test_a_service_that_others_reach_refuses_to_start_without_a_key(tmp_path):
    env = os.environ | {"NUDGE_HOME": str(tmp_path), "BENTOML_HOME": str(tmp_path / "models")}
    bentoml = Path(sys.executable).parent / "bentoml"
    command = [bentoml, "serve", "serving.service:Nudge", "--port", "0", "--host", "0.0.0.0"]
    done = subprocess.run(
        command, env=env, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    told = done.stdout + done.stderr
    assert done.returncode != 0
    assert "would listen on 0.0.0.0" in told
    assert "python -m serving key create" in told
    assert "Traceback" not in told


def test_the_entrance_is_checked_against_keys_and_settings(tmp_path, key, file):
    from feature_repo.settings import Settings
    from serving.start import RefusedToStart, check_entrance

    home = Settings(home=tmp_path)
    check_entrance("127.0.0.1", home, ServingSettings())
    check_entrance("0.0.0.0", home, ServingSettings(require_keys=False))
    check_entrance("0.0.0.0", home, ServingSettings(require_keys=True))
    with pytest.raises(RefusedToStart, match=r"would listen on 0\.0\.0\.0"):
        check_entrance("0.0.0.0", home, ServingSettings())
    key("read")
    check_entrance("0.0.0.0", home, ServingSettings())
    file.write_text("[]")
    with pytest.raises(RefusedToStart, match="not a file of API keys"):
        check_entrance("127.0.0.1", home, ServingSettings())


def test_every_endpoint_says_what_it_asks_for(serve):
    with serve() as client:
        described = client.get("/openapi.json").json()
    for path, methods in described["paths"].items():
        assert path in ENDPOINTS, f"{path} needs a line in serving/endpoints.py"
        for operation in methods.values():
            assert bool(operation.get("security")) == (ENDPOINTS[path].scope is not None)
    assert set(described["components"]["securitySchemes"]) == {"bearer", "header"}


@pytest.mark.parametrize("path", ["/users", "/users/", "/metrics/", "//metrics", "/a/users/b", ""])
def test_a_path_that_is_no_endpoint_asks_for_as_much_as_it_may_be(path):
    assert endpoint_of(path) in (OTHER, ENDPOINTS["/users/{user_id}"])


# Sizes and forms


def test_a_large_body_is_refused_whether_its_length_is_told_or_not(serve, desk):
    large = b'{"user_id": "' + b"a" * 10_000_000 + b'"}'
    before = desk.warehouse.counts()
    with serve() as client:
        for content in (large, iter([large[:600_000], large[600_000:]])):
            answer = client.post(
                "/events", content=content, headers={"Content-Type": "application/json"}
            )
            assert (answer.status_code, answer.json()["error"]) == (413, "too_large")
            assert "more than 1048576 bytes" in answer.json()["message"]
    with serve(max_body_bytes=2000) as client:
        assert client.post("/recommend", json={"user_id": "ada"}).status_code == 200
        assert client.post("/events", json=[VIEW] * 60).status_code == 413
    assert desk.warehouse.counts() == before | {"decisions": 1}


@pytest.mark.parametrize(
    "headers",
    [
        {"Content-Type": "text/plain"},
        {"Content-Type": "application/x-www-form-urlencoded"},
        {"Content-Type": "application/json; charset=utf-16"},
        {"Content-Type": "application/json", "Content-Encoding": "gzip"},
        {},
    ],
)
def test_a_body_that_is_not_called_json_is_refused_with_the_header_to_send(serve, headers):
    with serve() as client:
        answer = client.post("/recommend", content=b'{"user_id": "ada"}', headers=headers)
        assert (answer.status_code, answer.json()["error"]) == (415, "unsupported")
        assert "Content-Type: application/json" in answer.json()["message"]


@pytest.mark.parametrize("kind", ["application/json", "Application/JSON; charset=UTF-8",
                                  "application/problem+json"])  # fmt: skip
def test_json_by_its_other_names_is_taken(serve, kind):
    with serve() as client:
        sent = {"content": b'{"user_id": "ada"}', "headers": {"Content-Type": kind}}
        assert client.post("/recommend", **sent).status_code == 200


def test_long_headers_and_addresses_are_refused(serve):
    with serve() as client:
        assert client.get("/ready", headers={"X-More": "a" * 20_000}).status_code == 431
        answer = client.get(f"/users/ada?{'a' * 9000}")
        assert (answer.status_code, answer.json()["error"]) == (414, "too_large")


# Rates


def test_a_key_beyond_its_rate_is_told_when_to_come_again_and_others_are_not(serve, key):
    one, two = key("read", "one"), key("read", "two")
    with serve(rate_per_s=0.5, rate_burst=2) as client:
        found = [client.get("/users/ada", headers=bearer(one)) for _ in range(3)]
        assert [answer.status_code for answer in found] == [200, 200, 429]
        assert found[2].headers["retry-after"] == "2"
        assert found[2].json()["error"] == "rate_limited"
        assert client.get("/users/ada", headers=bearer(two)).status_code == 200
        assert client.get("/ready").status_code == 200


def test_buckets_refill_with_time_and_the_longest_unused_go():
    moment = [0.0]
    buckets = Buckets(rate=2.0, burst=3, clock=lambda: moment[0])
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5]
    moment[0] = 0.5
    assert [buckets.take("a"), buckets.take("a")] == [0.0, 0.5]
    moment[0] = 1000.0
    assert [buckets.take("a") for _ in range(4)] == [0.0, 0.0, 0.0, 0.5], "never over the burst"
    for number in range(MAX_BUCKETS + 50):
        buckets.take(str(number))
    assert len(buckets) == MAX_BUCKETS


# Request ids, headers, logs


def test_every_answer_has_a_request_id_and_keeps_a_sane_one(serve, lines):
    with serve() as client:
        kept = client.get("/ready", headers={"X-Request-Id": "till-7.2026_a"})
        assert kept.headers["x-request-id"] == "till-7.2026_a"
        for odd in ("a b", "a" * 65, "é".encode(), ""):
            made = client.get("/users/a%00b", headers={"X-Request-Id": odd})
            assert len(made.headers["x-request-id"]) == 32
            assert made.json()["request_id"] == made.headers["x-request-id"]
        assert client.get("/nowhere").json()["request_id"]
    assert lines()[0]["request_id"] == "till-7.2026_a"


def test_a_log_line_tells_what_happened_and_names_no_person(serve, key, lines, desk):
    text, names = key("write"), ["ada-7c1", "order-9x2", "sku-5q8", "search words 3z", "note-8v"]
    user, order, item, words, event = names
    with serve() as client:
        client.headers |= bearer(text)
        made = client.post("/recommend", json={"user_id": user}).json()["decision_id"]
        client.post("/decide", json={"user_id": user})
        sent = {"event_id": event, "kind": "purchase", "user_id": user, "item_id": item}
        sent |= {"order_id": order, "quantity": 1, "price": 2.5, "text": words}
        client.post("/events", json=[sent, sent | {"kind": "dance"}])
        client.post("/events", json=sent | {"quantity": user})
        client.get(f"/users/{user}?{user}")
        client.get(f"/decisions/{made}")
        client.get(f"/{user}/{item}")
        desk.fail["features"] = OSError(f"no row of {user}")
        client.post("/recommend", json={"user_id": user})
    written = json.dumps(lines(), ensure_ascii=False)
    for name in (*names, made, text, "testclient", "testserver"):
        assert name not in written
    found = [line for line in lines() if line["event"] == "request"]
    assert [(line["route"], line["status"], line["error"]) for line in found] == [
        ("/recommend", 200, ""),
        ("/decide", 200, ""),
        ("/events", 200, ""),
        ("/events", 422, "invalid"),
        ("/users/{user_id}", 200, ""),
        ("/decisions/{decision_id}", 200, ""),
        ("other", 403, "forbidden"),
        ("/recommend", 200, ""),
    ]
    assert {line["key"] for line in found} == {text.split("_", 2)[1]}
    assert all(line["duration_ms"] > 0 and line["timestamp"] for line in found)
    fault = next(line for line in lines() if "exception" in line)
    assert fault["exception"] == "OSError"
    assert fault["request_id"] == found[-1]["request_id"]
    assert any("conftest.py" in frame for frame in fault["frames"])


def test_a_fault_is_a_problem_with_its_request_id_and_its_trace_only_in_the_log(
    serve, lines, desk, monkeypatch
):
    def broken(*_):
        raise RuntimeError("a bug that quotes ada")

    monkeypatch.setattr(type(desk.parts.predictor), "score", broken)
    with serve() as client:
        answer = client.post("/predict", json={"user_id": "ada"})
    assert answer.status_code == 500
    assert answer.json()["request_id"] == answer.headers["x-request-id"]
    assert set(answer.json()) == {"error", "message", "fields", "request_id"}
    assert "RuntimeError" not in answer.text
    fault, line = lines()
    assert fault["exception"] == "RuntimeError"
    assert any("asked.py" in frame for frame in fault["frames"])
    assert "quotes" not in json.dumps(fault)
    assert (line["status"], line["error"], line["level"]) == (500, "internal", "error")


def test_outside_a_request_the_log_keeps_an_exceptions_message(lines):
    try:
        raise ValueError("the file is gone")
    except ValueError:
        logging.getLogger("serving.catalogue").exception("renewal failed")
    assert lines()[0]["message"] == "the file is gone"


def test_answers_are_not_kept_by_caches_and_pages_load_nothing_from_outside(serve):
    with serve() as client:
        data, page = client.get("/users/ada"), client.get("/docs")
    assert data.headers["cache-control"] == "no-store"
    assert data.headers["x-content-type-options"] == "nosniff"
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "http" not in policy
    assert page.headers["x-frame-options"] == "DENY"


def test_other_sites_pages_may_call_only_when_the_setting_names_them(serve):
    asked = {"Origin": "https://shop.example", "Access-Control-Request-Method": "POST"}
    with serve() as client:
        answer = client.options("/recommend", headers=asked)
        assert "access-control-allow-origin" not in answer.headers
    with serve(cors_origins="https://shop.example, https://b.example", require_keys=True) as client:
        answer = client.options("/recommend", headers=asked)
        assert answer.status_code == 200
        assert answer.headers["access-control-allow-origin"] == "https://shop.example"
        other = client.options("/recommend", headers=asked | {"Origin": "https://evil.example"})
        assert "access-control-allow-origin" not in other.headers
        assert client.get("/users/ada").status_code == 401
