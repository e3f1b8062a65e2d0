"""The three graphs say what torch says, at any size, and the bundle holds all they need."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import onnxruntime
import pytest
import torch
from tokenizers import Tokenizer

import training.export
from tests.training import synthetic
from tests.training.small_text import small_text
from training.bundle import GRAPHS, KEYS, Bundle
from training.calibrate import calibrate, predict
from training.datasets.encode import padded
from training.export import Finished, export, pack, real_inputs
from training.metrics.ranking import per_example, target_ranks
from training.models.graphs import compare
from training.network import prepare, restore
from training.recipes import shopper
from training.run import ModelConfig
from training.tasks import TASKS

TWO = {"tasks": ("next_item", "retention"), "task_weights": (1.0, 1.0), "task_shares": (1.0, 0.3)}
RUN = replace(shopper("tiny"), model=ModelConfig(width=16, num_layers=2), **TWO)
HEADS, LOGITS = TASKS["retention"].heads, TASKS["retention"].logits
CALIBRATION = [(0.7 + 0.1 * place, 0.2 - 0.1 * place) for place in range(len(LOGITS))]


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("data") / "d", num_examples=90)


@pytest.fixture(scope="module")
def network(dataset):
    torch.manual_seed(0)
    network = prepare(RUN, dataset).eval()
    network.text = small_text()
    network.set_calibration(dict(zip(LOGITS, CALIBRATION, strict=True)))
    network.set_habit(0.5)
    return network


@pytest.fixture(scope="module")
def run_folder(network, dataset, tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_text(RUN.to_json())
    finished = Finished(
        thresholds={"leave_90d": 0.5, "purchase_30d": 0.4},
        metrics={"recall@10": 0.25},
        schema={"shopper": {"num_orders": "Float64"}, "item": {"price": "Float64"}},
        schema_hash="abc",
        lineage={"best_epoch": 1},
    )
    pack(RUN, network, dataset, folder, finished, created_at=7)
    return folder


def session(folder, graph):
    return onnxruntime.InferenceSession(str(folder / "bundle" / graph))


def test_the_graphs_have_the_promised_names(run_folder):
    promised = {
        "text.onnx": (["input_ids", "attention_mask"], ["text_vector"]),
        "items.onnx": (
            ["text_vector", "item_index", "item_scalars"],
            ["item_vector", "item_bias"],
        ),
        "user.onnx": (
            ["item_vectors", "kinds", "gaps", "quantities", "amounts", "time_to_now", "scalars"],
            ["user_vector", "copy", "probabilities"],
        ),
    }
    for graph, (inputs, outputs) in promised.items():
        opened = session(run_folder, graph)
        assert [given.name for given in opened.get_inputs()] == inputs
        assert [given.name for given in opened.get_outputs()] == outputs


def test_the_graphs_together_score_as_the_network_does(run_folder, network, dataset):
    rows = np.flatnonzero(dataset.examples("test").week == 4)
    batch, catalogue = dataset.batch("test", rows), dataset.items(4)
    examples = dataset.examples("test")
    users = padded(examples.history.take(rows), examples.asked_at[rows], examples.scalars[rows])
    texts = np.array(dataset.text_vectors)
    with torch.no_grad():
        expected = network(batch.to("cpu"), catalogue.to("cpu"), torch.as_tensor(texts))
    given = {
        "text_vector": np.where(catalogue.text_I[:, None] >= 0, texts[catalogue.text_I], 0.0),
        "item_index": catalogue.index_I,
        "item_scalars": catalogue.scalars_IS,
    }
    given["text_vector"] = given["text_vector"].astype(np.float32)
    vectors, biases = session(run_folder, "items.onnx").run(None, given)
    user, copies, probabilities = session(run_folder, "user.onnx").run(
        None,
        {
            "item_vectors": vectors[users.item_BL] * (users.item_BL > 0)[:, :, None],
            "kinds": users.kind_BL,
            "gaps": users.gap_BL,
            "quantities": users.quantity_BL,
            "amounts": users.amount_BL,
            "time_to_now": users.time_to_now_B,
            "scalars": users.scalars_BF,
        },
    )
    scores = user @ vectors.T + biases
    for row, items in enumerate(users.item_BL):
        np.add.at(scores[row], items, copies[row])
    scores[:, ~catalogue.exists_I] = -np.inf
    np.testing.assert_allclose(scores, expected.score_BI, rtol=1e-3, atol=1e-3)
    np.testing.assert_allclose(
        probabilities, network.probabilities(expected.logit_BH).detach(), atol=1e-4
    )


def test_the_tokenizer_of_the_bundle_makes_the_tokens_of_training(run_folder, network):
    tokenizer = Tokenizer.from_file(str(run_folder / "bundle" / "tokenizer.json"))
    texts = ["red cup", "a very long text " * 40, ""]
    tokens = tokenizer.encode_batch(texts)
    ids, mask = network.text.tokens(texts)
    assert [t.ids for t in tokens] == ids.tolist()
    assert [t.attention_mask for t in tokens] == mask.tolist()
    found = session(run_folder, "text.onnx").run(
        None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()}
    )[0]
    np.testing.assert_allclose(found, network.text.encode(texts), atol=1e-4)


def test_the_bundle_is_whole(run_folder, dataset):
    bundle = Bundle.load(run_folder / "bundle")
    manifest = bundle.manifest
    assert set(KEYS["model"]) <= set(manifest)
    assert set(GRAPHS) <= set(manifest["files"])
    assert manifest["heads"] == list(HEADS)
    assert manifest["vocabulary"] == list(dataset.spec.vocabulary)
    assert manifest["origin"] == run_folder.name
    assert 0 <= manifest["max_export_difference"] < 1e-3
    assert manifest["calibration"][LOGITS[0]] == pytest.approx([0.7, 0.2])
    assert manifest["habit"] == 0.5
    assert not any(name.startswith("text.") for name in bundle.weights())
    card = bundle.path("card.md").read_text()
    assert "recall@10" in card
    assert "leave_90d" in card
    json.dumps(manifest, allow_nan=False)


def test_a_finished_run_is_restored_from_its_folder(run_folder, network, dataset):
    run, again = restore(run_folder, dataset)
    assert run == RUN
    for name, value in again.state_dict().items():
        torch.testing.assert_close(value, network.state_dict()[name])


def test_real_inputs_fit_the_user_graph(network, dataset, tmp_path):
    graph = training.export.UserGraph(network)
    given = real_inputs(network, dataset)
    training.export.write_graph(graph, given, training.export.OUTPUTS["user"], tmp_path / "u.onnx")
    assert compare(graph, tmp_path / "u.onnx", [given]) < 1e-3
    # The comparison sees a difference: another network is not this graph.
    network.user.vector.bias.data += 1.0
    assert compare(graph, tmp_path / "u.onnx", [given]) > 1e-2
    network.user.vector.bias.data -= 1.0


def test_an_export_that_differs_is_refused(network, dataset, tmp_path, monkeypatch):
    monkeypatch.setattr(training.export, "compare", lambda *told: 0.5)
    monkeypatch.setattr(training.export, "write_graph", lambda *told: None)
    with pytest.raises(ValueError, match="differs from torch by 5"):
        export(network, tmp_path, dataset.texts)


def test_a_network_without_copies_is_measured_as_it_ranks(dataset):
    torch.manual_seed(0)
    run = replace(RUN, model=replace(RUN.model, copies=False))
    network = prepare(run, dataset).eval()
    _, metrics = calibrate(network, dataset)
    assert network.habit == 0.0
    examples, found = dataset.examples("valid"), []
    for rows, output in predict(network, dataset, "valid"):
        targets, row = examples.targets(rows)
        asked, sizes = np.unique(row, return_counts=True)
        offsets = np.concatenate([[0], np.cumsum(sizes)])
        ranks = target_ranks(output.score_BI[asked].numpy(), targets, offsets)
        found.extend(per_example(ranks, offsets)["ndcg@10"])
    assert metrics["ndcg@10"] == pytest.approx(np.mean(found))


def test_calibration_on_validation_lowers_its_log_loss(network, dataset):
    thresholds, metrics = calibrate(network, dataset)
    assert set(thresholds) == set(HEADS) - {"spend_90d"}
    label = dataset.examples("valid").label[:, 0]
    base = np.nanmean(label)
    nothing_known = -(base * np.log(base) + (1 - base) * np.log(1 - base))
    assert metrics["leave_90d/log_loss"] <= nothing_known + 0.02
    assert 0 <= metrics["recall@10"] <= 1
