"""Thousands of generated requests against the real application: refused in words, never broken.

Schemathesis makes them from our own description, valid ones and invalid ones. Whatever is sent, no
answer is a server error, each answer is as described, and the warehouse holds what the answers say.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

import polars as pl
import pytest
import schemathesis
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi import checks

from feature_repo.events import KINDS, REJECT_REASONS, check
from tests.conftest import copy_home

ANSWERS = {"/recommend": "recommend", "/predict": "predict", "/decide": "decide"}
CHECKS = [
    schemathesis.checks.not_a_server_error,
    checks.status_code_conformance,
    checks.content_type_conformance,
    checks.response_schema_conformance,
    checks.response_headers_conformance,
    checks.negative_data_rejection,
    checks.positive_data_acceptance,
]


@dataclass
class Fuzzed:
    """An application over a copy of the shop, and what its answers said so far."""

    app: Any
    parts: Any
    statuses: Counter = field(default_factory=Counter)
    """(path, status) to its number."""
    accepted: int = 0
    rejected: Counter = field(default_factory=Counter)
    failures: dict[tuple[str, str], str] = field(default_factory=dict)
    """(endpoint, what is wrong) to the first request and answer."""

    @property
    def num_cases(self) -> int:
        return sum(self.statuses.values())

    def note(self, path: str, answer: Any) -> None:
        """Count one answer."""
        self.statuses[path, answer.status_code] += 1
        if path == "/events" and answer.status_code == 200:
            receipt = answer.json()
            refused = receipt["rejected"]
            assert receipt["read"] == receipt["accepted"] + receipt["duplicates"] + len(refused)
            self.accepted += receipt["accepted"]
            self.rejected.update(line["reason"] for line in refused)
        if answer.status_code >= 400:
            problem = answer.json()
            assert problem["message"], problem
            assert problem["request_id"] == first(answer.headers["x-request-id"])


def first(value: Any) -> str:
    return value if isinstance(value, str) else value[0]


@pytest.fixture
def fuzzed(shop, make_model, tmp_path, monkeypatch) -> Iterator[Fuzzed]:
    """The service of a copy of the shop: real warehouse, ledger, registry and online store."""
    from feature_repo.retrieval import schema
    from feature_repo.settings import Settings
    from serving.promote import keep_campaign, save_policy
    from serving.service import create_app, open_parts
    from training.policies import Threshold

    home = tmp_path / "shop"
    copy_home(shop.settings.home, home)
    registered = {name: schema(name, shop.settings) for name in ("shopper", "item")}
    make_model(tmp_path / "model", registered)
    save_policy(tmp_path / "policy", Threshold(), shop.clock.now())
    keep_campaign(Settings(home=home), "default", {})
    monkeypatch.setenv("NUDGE_HOME", str(home))
    monkeypatch.setenv("NUDGE_REGISTRY_URL", f"sqlite:///{home}/registry.db")
    monkeypatch.setenv("NUDGE_SERVING_BUNDLE", str(tmp_path / "model"))
    monkeypatch.setenv("NUDGE_SERVING_POLICY", str(tmp_path / "policy"))
    monkeypatch.setenv("NUDGE_SERVING_RATE_PER_S", "1000000")
    monkeypatch.setenv("NUDGE_SERVING_RATE_BURST", "1000000")
    parts = open_parts()
    app = create_app(lambda: parts)

    async def started(scope: Any, receive: Any, send: Any) -> None:
        """The running application: the fuzzer opens a client for each request."""
        if scope["type"] != "lifespan":
            await app(scope, receive, send)
            return
        for what in ("startup", "shutdown"):
            await receive()
            await send({"type": f"lifespan.{what}.complete"})

    with TestClient(app):
        yield Fuzzed(started, parts)


def likely(drawn: tuple[Any, Random]) -> Any:
    """A request whose events are mostly such as a shop sends: left to chance hardly one is."""
    case, random = drawn
    for event in case.body if isinstance(case.body, list) else [case.body]:
        usual: dict[str, Any] = {
            "event_id": f"fuzz-{random.randrange(10_000)}",
            "kind": random.choice(KINDS),
            "user_id": random.choice(["shopper-00001", "shopper-00002", "новый"]),
            "item_id": random.choice(["item-00003", "item-00004", None]),
            "event_at": random.choice([None, "2025-07-01T10:00:00+02:00", "2025-11-01"]),
            "quantity": random.choice([1, 2, None]),
            "price": random.choice([9.99, "1.50", None]),
        }
        event |= {name: value for name, value in usual.items() if random.random() < 0.8}
    return case


def fuzz(fuzzed: Fuzzed, num_cases: int, seed_: int) -> None:
    """Send about `num_cases` requests, half of them valid by our description."""
    described = schemathesis.openapi.from_asgi("/openapi.json", fuzzed.app)
    operations = [found.ok() for found in described.get_all_operations()]
    assert len(operations) >= 8
    for operation in operations:
        has_input = operation.body or operation.path_parameters
        share = num_cases // 12 if has_input else 3
        for mode in GenerationMode if has_input else [GenerationMode.POSITIVE]:
            strategy = operation.as_strategy(generation_mode=mode)
            if operation.path == "/events" and mode is GenerationMode.POSITIVE:
                strategy = st.tuples(strategy, st.randoms(use_true_random=False)).map(likely)

            @seed(seed_)
            @settings(
                max_examples=share,
                deadline=None,
                database=None,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            @given(case=strategy)
            def send(case: Any) -> None:
                answer = case.call()
                fuzzed.note(operation.path, answer)  # noqa: B023
                try:
                    case.validate_response(answer, checks=CHECKS)
                except FailureGroup as found:
                    for failure in found.exceptions:
                        key = operation.label, failure.title  # noqa: B023
                        fuzzed.failures.setdefault(key, f"{case.body!r:.300}: {answer.text:.300}")

            send()


def assert_what_is_kept_is_what_was_answered(fuzzed: Fuzzed, before: dict[str, int]) -> None:
    parts = fuzzed.parts
    warehouse = parts.ledger._warehouse
    counts = warehouse.counts()
    assert fuzzed.accepted > 0
    assert counts["events"] - before["events"] == fuzzed.accepted
    answered = sum(fuzzed.statuses[path, 200] for path in ANSWERS)
    assert counts["decisions"] - before["decisions"] == answered
    kept = warehouse.events()
    good, bad = check(kept, parts.clock.now())
    assert bad.is_empty()
    assert good.equals(kept)
    letters = warehouse.dead_letters().filter(source="http")
    assert set(letters["reason"]) == set(fuzzed.rejected)
    assert set(letters["reason"]) <= set(REJECT_REASONS)
    unchanged = set(counts) - {"events", "decisions", "dead_letters", "reservations", "outcomes"}
    assert {name: counts[name] for name in unchanged} == {name: before[name] for name in unchanged}
    assert counts["reservations"] - before["reservations"] <= fuzzed.statuses["/decide", 200]


def run(fuzzed: Fuzzed, num_cases: int, seed_: int) -> None:
    before = fuzzed.parts.ledger._warehouse.counts()
    fuzz(fuzzed, num_cases, seed_)
    table = pl.DataFrame(
        [(path, status, num) for (path, status), num in sorted(fuzzed.statuses.items())],
        schema=["path", "status", "num"],
        orient="row",
    )
    with pl.Config(tbl_rows=-1):
        print(f"\n{fuzzed.num_cases} cases, seed {seed_}\n{table}")
    print(f"events: {fuzzed.accepted} accepted, rejected {dict(fuzzed.rejected)}")
    assert fuzzed.failures == {}
    assert_what_is_kept_is_what_was_answered(fuzzed, before)


def test_hundreds_of_requests_break_nothing(fuzzed):
    run(fuzzed, num_cases=300, seed_=7)


@pytest.mark.long
def test_thousands_of_requests_break_nothing(fuzzed):
    run(fuzzed, num_cases=6_000, seed_=11)
    assert fuzzed.num_cases >= 5_000
