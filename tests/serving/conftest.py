"""A tiny model made of hand-written graphs, a shop of three shoppers, and the service over both."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import polars as pl
import pytest
from onnx import TensorProto, helper, numpy_helper

from feature_repo.derive import ITEM_FEATURES, USER_FEATURES
from feature_repo.events import EVENT_SCHEMA, KIND_CODES
from feature_repo.exposures import Experiments
from feature_repo.ingest import ingest, received_times
from feature_repo.ledger import Campaign, Ledger
from feature_repo.settings import DAY, FixedClock, Settings, microseconds
from feature_repo.warehouse import Warehouse
from serving.catalogue import Shelf, build
from serving.experiments.running import Assignment
from serving.predictor import Predictor
from serving.routes.meters import Meters
from serving.routes.parts import Parts
from serving.settings import ServingSettings
from serving.sights import Sights
from serving.spool import Spool
from serving.start import load_policy
from serving.upkeep import Chores, Upkeep
from training.bundle import Bundle
from training.datasets.normalise import Normaliser
from training.policies import Threshold

NOW = microseconds("2025-06-15T12:00:00")
WIDTH, TEXT_WIDTH = 4, 6
HISTORY = {
    "history_at": pl.Int64,
    "history_kind": pl.Int64,
    "history_item": pl.String,
    "history_quantity": pl.Int64,
    "history_amount": pl.Float64,
    "history_order": pl.String,
}
SCHEMA = {
    "shopper": dict.fromkeys(USER_FEATURES, "Float64"),
    "item": dict.fromkeys(ITEM_FEATURES, "Float64") | {"text": "String"},
}
ITEMS = {
    "cup": ("a red cup", 2.5, 40.0),
    "lamp": ("a blue lamp", 19.0, 5.0),
    "plate": ("a green plate", 4.0, 12.0),
    "vase": ("a new vase", 9.0, 0.0),
}
VOCABULARY = ("cup", "lamp", "plate")
MEAN = {"spend_90d/mean": 12.5}
STEPS = {
    "step_kinds": [[[0.1, 0.0, 0.1, 0.5, 0.0, 0.3], [0.2, 0.0, 0.0, 0.2, 0.1, 0.5]]],
    "step_days": [[4.0, 9.5]],
    "step_categories": [[[0.7, 0.3], [0.4, 0.6]]],
}
NEXT_ACTIONS = {
    "outcomes": ["view", "click", "cart", "purchase", "return", "leave"],
    "categories": ["kitchen", "garden"],
    "category_of_item": [0, -1, 1],
    "average": {"kinds": [[0.5, 0.0, 0.0, 0.2, 0.0, 0.3]] * 2, "days": [7.0, 8.0]},
}


def graph(name: str, nodes: list, inputs: dict, outputs: dict, weights: dict, path: Path) -> None:
    """Write one ONNX graph; inputs and outputs are name to (element type, shape)."""
    values = [
        [helper.make_tensor_value_info(n, kind, shape) for n, (kind, shape) in some.items()]
        for some in (inputs, outputs)
    ]
    constants = [numpy_helper.from_array(np.asarray(w), n) for n, w in weights.items()]
    made = helper.make_graph(nodes, name, *values, constants)
    model = helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model)
    onnx.save(model, path)


FLOAT, INT = TensorProto.FLOAT, TensorProto.INT64


def write_text_graph(folder: Path) -> None:
    table = np.random.default_rng(1).normal(size=(20, TEXT_WIDTH)).astype(np.float32)
    graph(
        "text",
        [
            helper.make_node("Gather", ["table", "input_ids"], ["tokens"]),
            helper.make_node("Cast", ["attention_mask"], ["mask"], to=FLOAT),
            helper.make_node("Unsqueeze", ["mask", "last"], ["mask3"]),
            helper.make_node("Mul", ["tokens", "mask3"], ["real"]),
            helper.make_node("ReduceSum", ["real", "axis"], ["text_vector"], keepdims=0),
        ],
        {"input_ids": (INT, ["n", "t"]), "attention_mask": (INT, ["n", "t"])},
        {"text_vector": (FLOAT, ["n", TEXT_WIDTH])},
        {"table": table, "last": np.array([2]), "axis": np.array([1])},
        folder / "text.onnx",
    )


def write_items_graph(folder: Path) -> None:
    rng = np.random.default_rng(2)
    num_scalars = 2 * len(ITEM_FEATURES)
    delta = rng.normal(size=(len(VOCABULARY) + 1, WIDTH)).astype(np.float32)
    delta[0] = 0
    graph(
        "items",
        [
            helper.make_node("MatMul", ["text_vector", "projection"], ["projected"]),
            helper.make_node("Gather", ["delta", "item_index"], ["known"]),
            helper.make_node("Add", ["projected", "known"], ["item_vector"]),
            helper.make_node("ReduceMean", ["item_scalars", "axis"], ["item_bias"], keepdims=0),
        ],
        {
            "text_vector": (FLOAT, ["n", TEXT_WIDTH]),
            "item_index": (INT, ["n"]),
            "item_scalars": (FLOAT, ["n", num_scalars]),
        },
        {"item_vector": (FLOAT, ["n", WIDTH]), "item_bias": (FLOAT, ["n"])},
        {
            "projection": rng.normal(size=(TEXT_WIDTH, WIDTH)).astype(np.float32),
            "delta": delta,
            "axis": np.array([1]),
        },
        folder / "items.onnx",
    )


def write_user_graph(folder: Path, slopes: Sequence[float]) -> None:
    """The vector is the mean of the history, each behaviour copies 0.5, heads go by recency.

    The next steps are the same for everybody.
    """
    weights = np.zeros((2 * len(USER_FEATURES), len(slopes)), np.float32)
    weights[USER_FEATURES.index("recency_days_purchase")] = slopes
    rows = {"kinds": INT, "gaps": FLOAT, "quantities": FLOAT, "amounts": FLOAT}
    graph(
        "user",
        [
            helper.make_node("ReduceMean", ["item_vectors", "one"], ["user_vector"], keepdims=0),
            helper.make_node("Greater", ["kinds", "zero"], ["real"]),
            helper.make_node("Cast", ["real"], ["ones"], to=FLOAT),
            helper.make_node("Mul", ["ones", "half"], ["copy"]),
            helper.make_node("MatMul", ["scalars", "weights"], ["logits"]),
            helper.make_node("Sigmoid", ["logits"], ["probabilities"]),
            *(helper.make_node("Identity", [f"all_{name}"], [name]) for name in STEPS),
        ],
        {
            "item_vectors": (FLOAT, ["n", "L", WIDTH]),
            **{name: (kind, ["n", "L"]) for name, kind in rows.items()},
            "time_to_now": (FLOAT, ["n"]),
            "scalars": (FLOAT, ["n", 2 * len(USER_FEATURES)]),
        },
        {
            "user_vector": (FLOAT, ["n", WIDTH]),
            "copy": (FLOAT, ["n", "L"]),
            "probabilities": (FLOAT, ["n", len(slopes)]),
            **{name: (FLOAT, np.shape(values)) for name, values in STEPS.items()},
        },
        {
            "one": np.array([1]),
            "zero": np.array(0),
            "half": np.array(0.5, np.float32),
            "weights": weights,
            **{f"all_{name}": np.array(values, np.float32) for name, values in STEPS.items()},
        },
        folder / "user.onnx",
    )


def write_tokenizer(folder: Path) -> None:
    from tokenizers import Tokenizer, models, pre_tokenizers

    words = ["[PAD]", "[UNK]", "a", "red", "blue", "green", "new", "cup", "lamp", "plate", "vase"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.enable_padding()
    tokenizer.save(str(folder / "tokenizer.json"))


def normaliser(names: tuple[str, ...]) -> dict:
    num = len(names)
    return Normaliser(names=names, means=(3.0,) * num, deviations=(1.0,) * num).to_dict()


HEADS = {"leave_90d": 2.0, "purchase_30d": -2.0, "visit_30d": 0.0, "spend_90d": 0.0}
"""Slope of each head's log odds by recency: who bought long ago leaves.

Visits were never taught, and everybody spends one half.
"""


def write_model(
    folder: Path,
    schema: dict[str, dict[str, str]] | None = None,
    heads: Mapping[str, float] = HEADS,
) -> Bundle:
    """A model bundle whose graphs can be followed by hand."""
    folder.mkdir(parents=True, exist_ok=True)
    write_user_graph(folder, list(heads.values()))
    for write in (write_text_graph, write_items_graph, write_tokenizer):
        write(folder)
    content: dict[str, Any] = {
        "run": {"name": "hand", "calendar": {"valid_end": NOW - 60 * DAY}},
        "service": "shopper",
        "item_service": "item",
        "schema": schema or SCHEMA,
        "schema_hash": "feed5eed",
        "vocabulary": list(VOCABULARY),
        "normalisers": {"user": normaliser(USER_FEATURES), "item": normaliser(ITEM_FEATURES)},
        "history_length": 50,
        "heads": list(heads),
        "amounts": ["spend_90d"],
        "silent": ["visit_30d"],
        "thresholds": {"leave_90d": 0.5, "purchase_30d": 0.5},
        "calibration": {},
        "next_actions": NEXT_ACTIONS,
        "metrics": {"leave_90d/prevalence": 0.4, "purchase_30d/prevalence": 0.3, **MEAN},
        "lineage": {},
        "max_export_difference": 0.0,
    }
    return Bundle.save(
        folder,
        kind="model",
        name="hand",
        created_at=NOW,
        content=content,
        weights={"none": np.zeros(1, np.float32)},
        card="# A model made by hand",
    )


def user_row(user_id: str, events: pl.DataFrame, asked_at: int) -> pl.DataFrame:
    """A plain feature row: enough for the hand-made model."""
    mine = events.filter(user_id=user_id, kind="purchase").sort("event_at")
    scalars: dict[str, float | None] = dict.fromkeys(USER_FEATURES)
    if len(mine):
        at = mine["event_at"].to_list()
        scalars |= {
            "tenure_days": (asked_at - at[0]) / DAY,
            "recency_days_purchase": (asked_at - at[-1]) / DAY,
            "num_orders": float(mine["order_id"].n_unique()),
            "mean_gap_days": (at[-1] - at[0]) / DAY / (len(at) - 1) if len(at) > 1 else None,
        }
    lists = {
        "history_at": mine["event_at"].to_list(),
        "history_kind": [KIND_CODES["purchase"]] * len(mine),
        "history_item": mine["item_id"].to_list(),
        "history_quantity": mine["quantity"].to_list(),
        "history_amount": [price / 1e6 for price in mine["price_micros"]],
        "history_order": mine["order_id"].to_list(),
    }
    types = {"user_id": pl.String} | dict.fromkeys(USER_FEATURES, pl.Float64)
    types |= {name: pl.List(kind) for name, kind in HISTORY.items()}
    return pl.DataFrame([{"user_id": user_id} | scalars | lists], schema=types)


def item_frame() -> pl.DataFrame:
    """The item service's rows of the four items."""
    types = {"item_id": pl.String} | dict.fromkeys(ITEM_FEATURES, pl.Float64) | {"text": pl.String}
    rows = [
        dict.fromkeys(ITEM_FEATURES, 1.0)
        | {"item_id": item, "text": text, "price": price, "num_purchases_30d": sold}
        for item, (text, price, sold) in ITEMS.items()
    ]
    return pl.DataFrame(rows, schema=types)


def purchase(event_id: str, user_id: str, item_id: str, at: int, **more: Any) -> dict[str, Any]:
    """One purchase in ``EVENT_SCHEMA``."""
    return dict.fromkeys(EVENT_SCHEMA) | {
        "event_id": event_id,
        "kind": "purchase",
        "user_id": user_id,
        "item_id": item_id,
        "event_at": at,
        "received_at": at,
        "order_id": f"order-{event_id}",
        "quantity": 1,
        "price_micros": 2_500_000,
        **more,
    }


@dataclass
class Desk:
    """Everything behind a service under test."""

    parts: Parts
    warehouse: Warehouse
    ledger: Ledger
    clock: FixedClock
    meters: Meters
    fail: dict[str, Exception] = field(default_factory=dict)
    """Name of a read or write to the error it raises from now on."""

    def with_parts(self, **changes: Any) -> Parts:
        """The parts, with some exchanged."""
        return replace(self.parts, **changes)


@pytest.fixture(scope="session")
def model(tmp_path_factory) -> Bundle:
    return write_model(tmp_path_factory.mktemp("bundle") / "model")


@pytest.fixture(scope="session")
def make_model() -> Callable[..., Bundle]:
    return write_model


@pytest.fixture(scope="session")
def predictor(model, tmp_path_factory) -> Predictor:
    return Predictor(model, tmp_path_factory.mktemp("texts"))


@pytest.fixture
def store(tmp_path, monkeypatch):
    """A BentoML model store of its own."""
    import bentoml
    from bentoml._internal.configuration.containers import BentoMLContainer
    from bentoml._internal.models import ModelStore

    (tmp_path / "store").mkdir()
    with BentoMLContainer.model_store.patch(ModelStore(str(tmp_path / "store"))):
        yield bentoml.models


@pytest.fixture
def desk(tmp_path, predictor) -> Desk:
    warehouse = Warehouse(f"sqlite:///{tmp_path / 'warehouse.db'}")
    warehouse.migrate()
    history = [
        purchase("e1", "ada", "cup", NOW - 101 * DAY),
        purchase("e2", "ada", "plate", NOW - 71 * DAY),
        purchase("e3", "ada", "cup", NOW - 41 * DAY),
        purchase("e4", "bob", "lamp", NOW - 2 * DAY),
    ]
    ingest(warehouse, pl.DataFrame(history, schema=EVENT_SCHEMA), source="test", now=NOW)
    ledger, clock, meters = Ledger(warehouse), FixedClock(NOW), Meters()
    ledger.upsert_campaign(
        Campaign(
            campaign_id="default",
            daily_budget_micros=50_000_000,
            cap_num=1,
            cap_days=7.0,
            cost_micros={"coupon": 5_000_000},
        )
    )
    fail: dict[str, Exception] = {}

    def read_user(user_id: str, asked_at: int) -> dict[str, Any]:
        if "features" in fail:
            raise fail["features"]
        row = user_row(user_id, warehouse.events(user_ids=[user_id]), asked_at)
        return row.drop("user_id", strict=False).row(0, named=True)

    def record(frame: pl.DataFrame):
        report = ingest(warehouse, frame, source="http", now=clock.now(), detail=True)
        ledger.attach_outcomes(frame)
        return report

    def refresh(user_ids: list[str]) -> None:
        if "rows" in fail:
            raise fail["rows"]

    spool = Spool(tmp_path / "spool")
    chores = Chores(
        absorb=ledger.absorb,
        attach=ledger.attach_missing,
        refresh=refresh,
        heal=lambda: 0,
        incarnation=lambda: str(len(read_user("", NOW))),
        schema_drift=lambda: fail.get("schema", ""),
    )
    numbers = itertools.count()
    policy = Threshold(coupon_threshold=0.6, reminder_threshold=0.4, epsilon=0.1)
    parts = Parts(
        settings=ServingSettings(),
        clock=clock,
        predictor=predictor,
        shelf=Shelf(lambda as_of: build(item_frame(), predictor.spec, predictor, as_of), clock),
        policy=policy,
        policy_name="threshold",
        policy_version="p0",
        assign=Assignment(
            policy,
            "threshold:p0",
            read=Experiments(warehouse).running,
            load=load_policy,
            refresh_s=0,
        ),
        ledger=ledger,
        read_user=read_user,
        unknown_user=lambda at: user_row("", EVENT_SCHEMA.to_frame(), at).row(0, named=True),
        record=record,
        refresh=refresh,
        known_times=partial(received_times, warehouse),
        new_id=lambda: f"decision-{next(numbers)}",
        sights=Sights(warehouse, Settings(home=tmp_path), look_every_s=0),
        meters=meters,
        spool=spool,
        upkeep=Upkeep(chores, spool, retry_s=0.1),
    )
    return Desk(parts, warehouse, ledger, clock, meters, fail)


@pytest.fixture
def client(desk):
    from fastapi.testclient import TestClient

    from serving.service import create_app

    with TestClient(create_app(lambda: desk.parts), raise_server_exceptions=False) as client:
        yield client


@pytest.fixture
def figures() -> Callable[[Any], dict[str, float]]:
    """A client's figures by name and labels; those of one process add up over its services."""

    def read(client: Any) -> dict[str, float]:
        lines = [line for line in client.get("/metrics").text.splitlines() if line[:1] != "#"]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    return read
