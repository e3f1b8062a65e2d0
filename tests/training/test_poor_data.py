"""Data that teaches little: every task trains, answers in numbers, and says what it lacks."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_step_floors import CART, LEAVE, PURCHASE, VIEW, write
from training.ahead import described, foresee
from training.calibrate import calibrate
from training.evaluate.compare import Draws
from training.evaluate.measure import EVERYONE
from training.evaluate.page import page
from training.evaluate.report import measure, to_dict
from training.evaluate.steps import ALL_STEPS, steps_report
from training.loop import train
from training.metrics.steps import OUTCOMES
from training.network import load_state, prepare
from training.run import ModelConfig, OptimConfig, Run
from training.track import PlainRuntime

TINY = ModelConfig(width=16, num_layers=1)
ONE = OptimConfig(num_epochs=1, min_batches=1)
BOTH = Run(name="poor", model=TINY, optim=ONE)
STEPS = replace(BOTH, tasks=("next_actions",), task_weights=(1.0,), task_shares=(1.0,))


def trained(run, dataset, folder):
    """The network that a short run leaves."""
    train(run, dataset.folder, folder, PlainRuntime(folder / "checkpoint"))
    network = prepare(run, dataset)
    load_state(network, load_file(folder / "checkpoint" / "best.safetensors"))
    return network.eval()


class Asked:
    """A network, as the evaluation asks it."""

    thresholds: dict = {}  # noqa: RUF012

    def __init__(self, network, dataset):
        self.network, self.dataset = network, dataset
        self.foresee = partial(foresee, network, dataset)

    @torch.no_grad()
    def answers(self, split, rows):
        texts = torch.as_tensor(np.array(self.dataset.text_vectors))
        for planned in self.dataset.plan(split, 4096):
            if len(chunk := planned[np.isin(planned, rows)]):
                batch = self.dataset.batch(split, chunk)
                catalogue = self.dataset.items(batch.week).to("cpu")
                output = self.network(batch.to("cpu"), catalogue, texts)
                chances = self.network.probabilities(output.logit_BH)
                yield chunk, output.score_BI.numpy(), chances.numpy()


def told(network, dataset):
    """The report on `network`, with its page made."""
    run = {"name": "poor", "size": "tiny", "seed": 0, "methods": []}
    report = measure(dataset, Asked(network, dataset), Draws(5), run=run, history=[])
    assert page(report).startswith("<!doctype html>")
    found = to_dict(report)
    json.dumps(found, allow_nan=False)
    return found


def test_a_catalogue_of_one_item_is_ranked_and_nothing_can_be_wrong_about_it(
    make_dataset, tmp_path
):
    orders = [(f"u{user}", day, (1,)) for user in range(8) for day in range(user, 260, 20)]
    dataset = make_dataset(orders, num_items=1, train_end=170, valid_end=215, end=260)
    found = told(trained(BOTH, dataset, tmp_path), dataset)
    included, excluded = "seen items included", "seen items excluded"
    tables = found["next_item"]["test"]
    for source in tables[included]["sources"].values():
        assert source["recall@10"]["value"] == source["mrr"]["value"] == 1.0
    assert excluded not in tables  # whoever orders again has seen it


@pytest.mark.parametrize(("last_day", "leaves"), [(260, 0.0), (150, 1.0)])
def test_labels_that_are_all_equal_give_chances_and_no_auc(
    make_dataset, tmp_path, last_day, leaves
):
    orders = [(f"u{user}", day, (1, 2)) for user in range(8) for day in range(user, last_day, 6)]
    orders += [("late", 255, (1,))] if last_day < 260 else []
    dataset = make_dataset(orders, num_items=2, train_end=170, valid_end=215, end=260)
    network = trained(BOTH, dataset, tmp_path)
    thresholds, metrics = calibrate(network, dataset)
    assert 0 <= thresholds["leave_90d"] <= 1
    assert np.isfinite(metrics["leave_90d/log_loss"])
    table = told(network, dataset)["retention"]["leave_90d"]["test"][EVERYONE]
    for source in table["sources"].values():
        assert source["auc"]["value"] is None
        assert source["log_loss"]["value"] is not None
    assert table["sources"]["model"]["log_loss"]["value"] < 2
    assert told(network, dataset)["retention"]["leave_90d"]["base_rates"]["test"] == leaves


def test_a_kind_that_training_never_saw_gets_a_small_chance_and_a_finite_loss(tmp_path):
    viewer = ([(5, "view", 1)], [(1.0, VIEW, 0)])
    dataset = write(tmp_path / "d", [viewer] * 20)
    network = trained(replace(STEPS, optim=OptimConfig(num_epochs=6)), dataset, tmp_path / "run")
    label = np.array(dataset.examples("test").label)
    label[:, 0] = CART
    dataset._examples["test"] = replace(dataset.examples("test"), label=label)
    report = steps_report(dataset, partial(foresee, network, dataset), Draws(5))
    for source in report.tables["step 1"].sources.values():
        assert 1 < source["log_loss"].value < 40
        assert source["accuracy"].value == 0.0


def test_where_everybody_leaves_there_is_no_time_and_no_category_to_tell(tmp_path):
    gone = ([(5, "view", 1)], [])
    dataset = write(tmp_path / "d", [gone] * 10)
    network = trained(STEPS, dataset, tmp_path / "run")
    content, metrics = described(network, dataset)
    assert content["average"]["kinds"][0][LEAVE] == 1.0
    assert "next_actions/days_error" not in metrics
    tables = told(network, dataset)["next_actions"]["test"]
    for name, source in tables[ALL_STEPS]["sources"].items():
        assert source["days_error"]["value"] is None
        assert "category_hit_rate" not in source
        assert name == "model" or source["accuracy"]["value"] == 1.0


def test_an_empty_history_and_an_endless_one_are_answered(tmp_path):
    nothing = ([], [(2.0, PURCHASE, 0)])
    endless = ([(9_000 - n, "view", 1 + n % 2) for n in range(8_999)], [(1.0, VIEW, 0)])
    dataset = write(tmp_path / "d", [nothing, endless, nothing, endless])
    network = trained(STEPS, dataset, tmp_path / "run")
    found = foresee(network, dataset, "test", np.arange(4))
    assert found.kinds.shape == (4, 5, len(OUTCOMES))
    np.testing.assert_allclose(found.kinds.sum(axis=2), 1.0, rtol=1e-5)
    assert np.isfinite(found.days).all()
    assert told(network, dataset)["next_actions"]["test"][ALL_STEPS]["num_examples"] == 4
