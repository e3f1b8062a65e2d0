"""A service that reads the words of messages answers as training would, and encodes each once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import polars as pl
import pytest
import torch

from feature_repo import retrieval
from feature_repo.words import MESSAGES
from serving.catalogue import build
from serving.predictor import Predictor
from serving.texts import TextCache, Texts
from tests.training.small_text import small_text
from training.bundle import Bundle
from training.datasets.batches import Dataset
from training.datasets.catalogue import item_spine
from training.datasets.rows import Reads
from training.datasets.rows import build as build_dataset
from training.export import Finished, pack
from training.network import Network, prepare
from training.recipes import shopper
from training.run import Calendar, Run
from training.tasks import TASKS

SERVICE = "shopper_with_messages"
TASK = {"tasks": ("retention",), "task_weights": (1.0,), "task_shares": (1.0,)}


@pytest.fixture(scope="module")
def trained(shop, tmp_path_factory) -> tuple[Run, Network, Dataset, Bundle]:
    """A network by chance, its dataset of the simulated shop, and its bundle."""
    text = small_text()
    reads = Reads(text_encoder=lambda name, seed: ("small", text.encode))
    calendar = Calendar.from_span(*shop.warehouse.span())
    run = replace(shopper("tiny"), service=SERVICE, calendar=calendar, **TASK)
    tasks = {name: TASKS[name] for name in run.tasks}
    dataset = Dataset(build_dataset(run, calendar, tasks, shop.settings, reads))
    torch.manual_seed(0)
    network = prepare(run, dataset).eval()
    network.text = text
    services = (run.service, run.item_service)
    finished = Finished(
        thresholds={},
        metrics={},
        schema={name: retrieval.schema(name, shop.settings) for name in services},
        schema_hash=retrieval.schema_hash(services, shop.settings),
        lineage={},
    )
    folder = tmp_path_factory.mktemp("run")
    return run, network, dataset, pack(run, network, dataset, folder, finished, created_at=7)


@pytest.fixture
def reader(trained, tmp_path) -> Predictor:
    return Predictor(trained[-1], tmp_path)


def wordy(dataset: Dataset) -> np.ndarray:
    """Examples of the test with words in their history."""
    history = dataset.examples("test").history
    said = np.add.reduceat(np.append(history.words > 0, False), history.offsets[:-1])
    return np.flatnonzero(said)


def row_of(dataset, shop, example: int) -> tuple[dict, int]:
    """What the feature store tells of the shopper of a test example at its moment."""
    examples = dataset.examples("test")
    asked_at = int(examples.asked_at[example])
    moment = pl.lit(asked_at).cast(pl.Datetime("us", "UTC")).alias("event_timestamp")
    spine = pl.DataFrame({"user_id": [str(examples.user[example])]}).with_columns(moment)
    return retrieval.point_in_time(spine, SERVICE, shop.settings).row(0, named=True), asked_at


def catalogue_of(dataset, shop, week: int, reader: Predictor):
    spine = item_spine(dataset.item_ids[1:], [dataset.meta["weeks"][week]])
    frame = retrieval.point_in_time(spine, "item", shop.settings)
    return build(frame, reader.spec, reader, 0)


def test_the_bundle_names_the_service_it_reads(trained):
    manifest = trained[-1].manifest
    assert manifest["service"] == SERVICE
    assert {*MESSAGES} <= set(manifest["schema"][SERVICE])


def test_a_served_answer_is_that_of_the_network_in_training(trained, reader, shop):
    _, network, dataset, _ = trained
    texts = torch.as_tensor(np.array(dataset.text_vectors))
    chosen = wordy(dataset)[:6]
    assert len(chosen) == 6
    for example in chosen:
        batch = dataset.batch("test", np.array([example]))
        with torch.no_grad():
            output = network(batch.to("cpu"), dataset.items(batch.week).to("cpu"), texts)
            expected = network.probabilities(output.logit_BH)[0].numpy()
        catalogue = catalogue_of(dataset, shop, batch.week, reader)
        row, asked_at = row_of(dataset, shop, example)
        scores = reader.score(row, asked_at, catalogue)
        found = [(scores.probabilities | scores.amounts)[head] for head in network.head_names]
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)
        known = [catalogue.index[item] for item in dataset.item_ids[1:5]]
        np.testing.assert_allclose(scores.items[known], output.score_BI[0, 1:5], atol=1e-3)
        silent = reader.score(row | {"message_text": [""] * 8}, asked_at, catalogue)
        assert silent.probabilities != scores.probabilities


def test_a_live_row_is_answered_with_its_words(trained, reader, shop):
    *_, dataset, _ = trained
    now = shop.clock.now()
    user = str(dataset.examples("test").user[wordy(dataset)[0]])
    row = retrieval.online_row(user, SERVICE, now, shop.settings)
    assert row["message_text"]
    catalogue = catalogue_of(dataset, shop, -1, reader)
    unknown = retrieval.unknown_row(SERVICE, now, shop.settings)
    for told in (row, unknown):
        assert all(np.isfinite([*reader.score(told, now, catalogue).probabilities.values()]))


STRANGE = {
    "nothing": [],
    "blank": ["", ""],
    "long": ["where is my parcel " * 105],
    "another language": ["我的杯子碎了，我要退款", "Моя чашка разбита 😡"],
    "no word of any language": ["\u200b", "%%%%", "𓂀"],
}


@pytest.mark.parametrize("texts", STRANGE.values(), ids=STRANGE)
def test_whatever_a_message_holds_is_answered(trained, reader, shop, texts):
    *_, dataset, _ = trained
    row, asked_at = row_of(dataset, shop, wordy(dataset)[0])
    num = len(texts)
    row |= {"message_text": texts, "message_at": row["history_at"][-num:] if num else []}
    row["history_kind"] = [*row["history_kind"][: len(row["history_kind"]) - num], *[7] * num]
    scores = reader.score(row, asked_at, catalogue_of(dataset, shop, -1, reader))
    assert np.isfinite([*scores.probabilities.values()]).all()


def test_each_message_is_encoded_once_alone_and_kept_in_memory(trained, tmp_path, monkeypatch):
    reader, encoded = Predictor(trained[-1], tmp_path), []
    encode = Texts.encode
    monkeypatch.setattr(Texts, "encode", lambda self, t: encoded.append(list(t)) or encode(self, t))
    texts = reader._texts
    first = texts.of_messages(["late again", "", "thanks"])
    again = texts.of_messages(["thanks", "late again"])
    assert encoded == [["late again"], ["thanks"]]
    np.testing.assert_array_equal(first[[2, 0]], again)
    assert not first[1].any()
    assert texts.of_messages([]).shape == (0, reader.text_width)
    assert list(tmp_path.iterdir()) == []  # nobody's words are written down


def test_the_oldest_of_many_messages_leave_memory_first(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("serving.texts.MESSAGES_IN_MEMORY", 2)
    texts = Predictor(trained[-1], tmp_path)._texts
    for word in ("one", "two", "three", "three", "one"):
        texts.of_messages([word])
    assert texts._message.cache_info()[:2] == (1, 4)


def test_promoting_takes_over_no_words_of_messages(trained, tmp_path):
    _, _, dataset, bundle = trained
    num_texts, num_items = dataset.meta["num_texts"], dataset.meta["num_item_texts"]
    assert num_texts > num_items
    cache = TextCache(tmp_path, bundle)
    assert cache.seed(dataset.folder) == num_items
    assert set(cache.load()) == set(dataset.texts[:num_items])


def test_a_model_that_reads_no_words_encodes_none(model, tmp_path, monkeypatch, desk):
    monkeypatch.setattr(Texts, "of_messages", lambda *_: pytest.fail("asked for words"))
    plain = Predictor(model, tmp_path)
    graph = onnx.load(Path(model.path("user.onnx")))
    assert not plain.reads_words
    assert "words" not in [given.name for given in graph.graph.input]
    now = desk.clock.now()
    plain.score(desk.parts.read_user("ada", now), now, desk.parts.shelf.current)
