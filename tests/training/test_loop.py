"""The loop learns, repeats itself exactly, resumes, and shares work among workers."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.multiprocessing
from safetensors.torch import load_file

from tests.training import synthetic
from training.calibrate import predict
from training.loop import Training, train
from training.methods.average import Average
from training.methods.gradients import average_gradients, learning_rate, make_optimizer
from training.metrics.probability import auc
from training.network import Network, load_state
from training.run import ModelConfig, OptimConfig, Run
from training.track import PlainRuntime, find_run, keep_as_latest, new_run

RUN = Run(
    name="x",
    model=ModelConfig(width=16, num_layers=1, num_heads=1),
    optim=OptimConfig(
        num_epochs=4, max_positions=600, min_batches=1, learning_rate=5e-3, num_warmup_steps=3
    ),
)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return synthetic.write(tmp_path_factory.mktemp("data") / "d", num_examples=240, longest=20)


def go(run, dataset, out, runtime=None):
    """Train and give the last weights."""
    train(run, dataset.folder, out, runtime or PlainRuntime(out / "checkpoint"))
    return load_file(out / "checkpoint" / "last.safetensors")


@pytest.fixture(scope="module")
def trained(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("run")
    return go(RUN, dataset, out), out


def assert_same(first, second):
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


def test_two_runs_of_one_seed_are_identical(dataset, trained, tmp_path):
    assert_same(trained[0], go(RUN, dataset, tmp_path))


def test_another_seed_gives_other_weights(dataset, trained, tmp_path):
    other = go(replace(RUN, seed=1), dataset, tmp_path)
    assert not torch.equal(other["items.text.weight"], trained[0]["items.text.weight"])


@pytest.mark.parametrize(("min_batches", "least", "most"), [(1, 1, 12), (40, 40, 120)])
def test_an_epoch_of_few_examples_still_has_steps(dataset, tmp_path, min_batches, least, most):
    optim = replace(RUN.optim, num_epochs=1, min_batches=min_batches)
    go(replace(RUN, optim=optim), dataset, tmp_path)
    history = json.loads((tmp_path / "history.jsonl").read_text().splitlines()[-1])
    assert least <= history["step"] <= most
    assert history["num_examples"] == len(dataset.examples("train"))


class Killed(Exception):
    """Stands for a machine that went away."""


@dataclass(frozen=True, slots=True)
class Mortal(PlainRuntime):
    """A runtime that dies after an epoch's checkpoint."""

    epoch: int = 2

    def report(self, metrics, checkpoint):
        PlainRuntime.report(self, metrics, checkpoint)
        if metrics["epoch"] == self.epoch:
            raise Killed


def test_a_resumed_run_ends_with_the_weights_of_an_uninterrupted_one(dataset, trained, tmp_path):
    with pytest.raises(Killed):
        go(RUN, dataset, tmp_path, Mortal(tmp_path / "checkpoint"))
    assert_same(trained[0], go(RUN, dataset, tmp_path))
    best = [load_file(out / "checkpoint" / "best.safetensors") for out in (trained[1], tmp_path)]
    assert_same(*best)
    histories = [lines(out) for out in (trained[1], tmp_path)]
    for line in [*histories[0], *histories[1]]:
        line.pop("seconds")
    assert histories[0] == histories[1]


def lines(out):
    return [json.loads(line) for line in (out / "history.jsonl").read_text().splitlines()]


def test_the_kept_epoch_has_the_lowest_validation_loss(trained):
    history = lines(trained[1])
    progress = json.loads((trained[1] / "checkpoint" / "progress.json").read_text())
    best = min(history, key=lambda line: line["valid_loss"])
    assert [line["epoch"] for line in history] == [1, 2, 3, 4]
    assert progress["best_epoch"] == best["epoch"]
    assert progress["best_loss"] == best["valid_loss"]


def test_the_network_learns_the_rule_of_the_data(dataset, trained):
    network = Network(RUN, dataset.meta)
    load_state(network, load_file(trained[1] / "checkpoint" / "best.safetensors"))
    examples = dataset.examples("test")
    leaves = np.zeros(len(examples))
    hits = []
    for rows, output in predict(network, dataset, "test"):
        leaves[rows] = network.probabilities(output.logit_BH)[:, 0]
        targets, row = examples.targets(rows)
        top = np.argsort(-output.score_BI.numpy(), axis=1)[:, :9]
        hits += [target in top[place] for target, place in zip(targets, row, strict=True)]
    asked = examples.task == 1
    assert auc(leaves[asked], examples.label[asked, 0]) > 0.8
    assert np.mean(hits) > 0.7  # nine of forty items by chance: 0.22


def test_training_stops_after_max_steps(dataset, tmp_path):
    run = replace(RUN, optim=replace(RUN.optim, max_steps=3))
    go(run, dataset, tmp_path)
    assert [line["step"] for line in lines(tmp_path)] == [3]


def test_a_refit_without_validation_keeps_its_last_epoch(tmp_path):
    dataset = synthetic.write(tmp_path / "d", num_examples=40)
    dataset.examples("valid")
    dataset.folder.joinpath("valid", "week.npy").unlink()
    empty = Training(RUN, dataset, tmp_path, PlainRuntime(tmp_path / "checkpoint"))
    empty.dataset.batches = lambda *told, **more: iter(())
    empty.progress.epoch = 1
    assert empty._validate() == {}
    assert empty.progress.best_epoch == 1
    empty.progress.epoch = 2
    empty._validate()
    assert empty.progress.best_epoch == 2


def test_the_rate_warms_up_and_ends_at_nothing():
    pace = OptimConfig(learning_rate=1.0, num_warmup_steps=9)
    rates = [learning_rate(pace, step, 0.0) for step in range(12)]
    assert rates[0] == pytest.approx(0.1)
    assert rates[9:] == [1.0, 1.0, 1.0]
    assert learning_rate(pace, 100, 0.5) == pytest.approx(0.5)
    assert learning_rate(pace, 100, 1.0) == pytest.approx(0.0)
    assert learning_rate(OptimConfig(max_steps=50), 50, 0.1) == pytest.approx(0.0)


def test_what_is_learnt_for_ids_is_held_back_by_a_decay_of_its_own(dataset):
    network = Network(RUN, dataset.meta)
    before = {name: value.detach().clone() for name, value in network.named_parameters()}
    torch.nn.init.ones_(network.items.delta.weight)
    for parameter in network.parameters():
        parameter.grad = torch.zeros_like(parameter)
    pace = OptimConfig(learning_rate=0.01, weight_decay=0.0, id_decay=2.0)
    make_optimizer(network, pace).step()
    for name, value in network.named_parameters():
        if name == "items.delta.weight":
            torch.testing.assert_close(value, torch.full_like(value, 0.98))
        else:
            assert torch.equal(value, before[name]), name


def test_a_gradient_is_the_mean_over_examples():
    layer = torch.nn.Linear(3, 1)
    layer(torch.ones(8, 3)).sum().backward()
    assert average_gradients(layer, torch.tensor([1.0, 8.0]), world=1) == 8
    torch.testing.assert_close(layer.weight.grad, torch.ones(1, 3))


def test_the_average_follows_the_weights_and_is_put_in_and_out():
    layer = torch.nn.Linear(1, 1, bias=False)
    average = Average(layer, decay=0.5)
    values = [1.0, 2.0, 4.0]
    expected = layer.weight.item()
    for step, value in enumerate(values, 1):
        layer.weight.data.fill_(value)
        average.update(layer, step)
        decay = min(0.5, step / (9 + step))
        expected = decay * expected + (1 - decay) * value
    with average.applied(layer):
        assert layer.weight.item() == pytest.approx(expected)
    assert layer.weight.item() == 4.0
    last = Average(layer, decay=0.0)
    layer.weight.data.fill_(7.0)
    last.update(layer, 5)
    assert last.values["weight"].item() == 7.0


def test_an_epoch_draws_the_share_of_each_task_anew(dataset, tmp_path):
    run = replace(RUN, task_shares=(1.0, 0.25))
    training = Training(run, dataset, tmp_path, PlainRuntime(tmp_path / "c"))
    task = dataset.examples("train").task
    drawn = [training._drawn(epoch) for epoch in range(4)]
    for rows in drawn:
        assert (task[rows] == 0).sum() == (task == 0).sum()
        assert 0.1 < (task[rows] == 1).mean() * len(rows) / (task == 1).sum() < 0.4
    assert len({tuple(rows) for rows in drawn}) == 4
    seen = sum(len(batch) for batch in training._batches(0))
    assert seen == len(drawn[0])


def worker(rank, world, port, data, out, run):
    torch.distributed.init_process_group(
        "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=world
    )
    torch.set_num_threads(1)
    runtime = PlainRuntime(out / f"checkpoint-{rank}", rank=rank, world=world)
    training = Training(run, synthetic.Dataset(data), out / "run", runtime)
    if rank == 1:  # one batch fewer than its colleague
        plan = training._batches
        training._batches = lambda epoch: iter(list(plan(epoch))[:-1])
    training.go()
    weights = {name: value.clone() for name, value in training.network.state_dict().items()}
    torch.save((weights, training.progress.step), out / f"weights-{rank}.pt")
    torch.distributed.destroy_process_group()


def test_two_workers_with_unequal_batches_keep_equal_weights(dataset, tmp_path):
    import socket

    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    run = replace(RUN, optim=replace(RUN.optim, num_epochs=2))
    told = (2, port, dataset.folder, tmp_path, run)
    # Forked, because fresh processes would spend their time importing torch.
    torch.multiprocessing.start_processes(worker, told, nprocs=2, start_method="fork")
    (first, steps), (second, other_steps) = (
        torch.load(tmp_path / f"weights-{rank}.pt") for rank in (0, 1)
    )
    assert steps == other_steps > 0
    assert_same(first, second)


def test_runs_are_found_by_recipe_id_and_folder(tmp_path):
    with pytest.raises(ValueError, match="finished recipes: none"):
        find_run(tmp_path, "shopper")
    old, new = (new_run(tmp_path, "shopper", now=1_700_000_000_000_000) for _ in range(2))
    assert old != new
    for folder in (old, new):
        (folder / "run.json").write_text("{}")
        keep_as_latest(folder, "shopper")
    assert find_run(tmp_path, "shopper") == new
    assert find_run(tmp_path, old.name) == old
    assert find_run(tmp_path, str(old)) == old
    with pytest.raises(ValueError, match="finished recipes: shopper"):
        find_run(tmp_path, "nothing")
