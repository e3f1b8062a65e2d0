"""The next steps: which labels events make, the mission's loss, and chances that add up."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import onnxruntime
import polars as pl
import pytest
import torch
from sklearn.metrics import f1_score

from feature_repo.events import EVENT_SCHEMA, KIND_CODES
from feature_repo.merging import merge
from feature_repo.warehouse import Warehouse
from tests.conftest import copy_home
from training.ahead import described, foresee
from training.datasets.batches import Dataset
from training.datasets.categories import Categories, fingerprint
from training.datasets.rows import Reads, build
from training.export import real_inputs
from training.floors.reading import examples_of, step_labels
from training.loop import train
from training.metrics.steps import LEAVE, NUM_STEPS, OUTCOMES, hit_rate, step_metrics, time_error
from training.models.blocks import Blocks
from training.models.future import Future, FutureDecoder, PastCategories, marginals
from training.models.graphs import OUTPUTS, STEP_OUTPUTS, UserGraph, compare, write_graph
from training.models.sequence import History
from training.network import prepare
from training.recipes import shopper
from training.run import Calendar, OptimConfig
from training.tasks import TASKS
from training.tasks.next_actions import log_likelihood
from training.track import PlainRuntime

DAY = 86_400_000_000
CALENDAR = Calendar(train_end=200 * DAY, valid_end=230 * DAY, test_end=265 * DAY, horizon_days=30)
VIEW, CLICK, CART, PURCHASE, RETURN = range(5)
TASK = TASKS["next_actions"]
BOUGHT, LOOKED = KIND_CODES["purchase"], KIND_CODES["view"]


def event(kind, at_days, item="cup", order=None, late_days=0.0, category=None, user="ann"):
    at = round(at_days * DAY)
    row = dict.fromkeys(EVENT_SCHEMA) | {"event_id": f"{user}{kind}{at_days}{item}{order}"}
    row |= {"kind": kind, "user_id": user, "event_at": at, "item_id": item, "order_id": order}
    return row | {"received_at": at + round(late_days * DAY), "category": category}


def asked(*rows, split="valid"):
    events = pl.DataFrame(rows, schema={**EVENT_SCHEMA, "category": pl.Int64})
    return TASK.examples(events, CALENDAR, split).to_dicts()


def told(row, what):
    return [row[f"{what}_{n}"] for n in range(1, NUM_STEPS + 1)]


class TestExamples:
    def test_steps_follow_in_their_order_and_whoever_does_no_more_leaves(self):
        [row] = asked(event("view", 1), event("cart", 203), event("view", 202.5))
        assert row["asked_at"] == 200 * DAY
        assert told(row, "kind") == [VIEW, CART, LEAVE, LEAVE, LEAVE]
        assert told(row, "days") == [2.5, 3.0, None, None, None]

    def test_lines_of_an_order_are_one_step_of_their_commonest_category(self):
        lines = [
            event("purchase", 205, "cup", "o1", category=3),
            event("purchase", 205, "lamp", "o1", category=1),
            event("purchase", 205.1, "plate", "o1", category=1),
            event("purchase", 206, "plate", "o2"),
        ]
        [row] = asked(event("view", 1), *lines)
        assert told(row, "kind")[:3] == [PURCHASE, PURCHASE, LEAVE]
        assert told(row, "days")[:2] == [5.0, 6.0]
        assert told(row, "category")[:3] == [1.0, None, None]

    def test_behaviours_of_one_moment_are_steps_in_the_order_of_kinds(self):
        [row] = asked(event("view", 1), event("purchase", 201), event("view", 201))
        assert told(row, "kind")[:3] == [VIEW, PURCHASE, LEAVE]

    @pytest.mark.parametrize(("wait", "kind"), [(0, VIEW), (29.999, VIEW), (30, LEAVE)])
    def test_what_comes_after_the_horizon_is_not_seen(self, wait, kind):
        [row] = asked(event("view", 1), event("view", 200 + wait))
        assert row["kind_1"] == kind

    def test_only_the_first_steps_count(self):
        [row] = asked(event("view", 1), *(event("click", 201 + n) for n in range(9)))
        assert told(row, "kind") == [CLICK] * NUM_STEPS

    def test_no_window_passes_the_end_of_its_split_and_what_comes_to_light_later_is_unknown(self):
        rows = [event("view", 1), event("view", 165), event("cart", 172, late_days=40)]
        for split, end in (("train", 200), ("valid", 230), ("test", 265)):
            found = asked(*rows, split=split)
            assert found
            assert all(row["asked_at"] + 30 * DAY <= end * DAY for row in found)
        assert {row["kind_1"] for row in asked(*rows, split="train")} == {VIEW, LEAVE}

    def test_searches_and_messages_are_no_steps_but_make_a_shopper_known(self):
        [row] = asked(event("message", 1, item=None), event("search", 201, item=None))
        assert row["kind_1"] == LEAVE

    def test_whoever_is_not_known_yet_is_not_asked_about(self):
        assert asked(event("view", 200)) == []
        assert asked() == []


def decoder(steps=NUM_STEPS):
    made = FutureDecoder(4, num_steps=steps, num_outcomes=len(OUTCOMES), num_categories=3)
    made.category.known_C.fill_(True)
    return made


def history(*rows):
    """A history (item's category, kind, days ago) of each shopper; how long ago, by the last."""
    longest = max(map(len, rows))
    padded = [[*row, *[(0, 0, row[-1][2])] * (longest - len(row))] for row in rows]
    category, kind, days = torch.tensor(padded, dtype=torch.float32).flatten(0, 1).unbind(1)
    blank = torch.zeros(len(days))
    told = (torch.zeros(len(days), 4), kind.long(), *[blank] * 3)
    return History(*told, Blocks(((len(rows), longest),)), category.long()), days


def future(seed=0, num=3, steps=NUM_STEPS):
    """A random future of `num` shoppers."""
    torch.manual_seed(seed)
    made = decoder(steps)
    with torch.no_grad():
        for parameter in made.parameters():
            parameter.normal_()
        return made(torch.randn(num, 4), *history(*[[(1, BOUGHT, 0.0)]] * num))


class TestLoss:
    def test_it_is_minus_the_sum_of_the_logs_of_what_was_done(self):
        # ŷ of the true steps: .5 at first, then .25 given it, then leaving .8; nothing after that.
        step = torch.full((1, NUM_STEPS, 6, 6), 0.1)
        step[0, 0, 0, VIEW] = 0.5
        step[0, 1, 1 + VIEW, CART] = 0.25
        step[0, 2, 1 + CART, LEAVE] = 0.8
        said = Future(step.log(), torch.zeros(1, NUM_STEPS), torch.zeros(1, NUM_STEPS, 3))
        kinds = torch.tensor([[VIEW, CART, LEAVE, LEAVE, LEAVE]], dtype=torch.float32)
        expected = -(math.log(0.5) + math.log(0.25) + math.log(0.8))
        assert -float(log_likelihood(said, kinds)) == pytest.approx(expected, rel=1e-6)
        label = torch.cat([kinds, torch.full((1, 10), math.nan)], dim=1)
        assert float(self.loss(said, label)) == pytest.approx(expected, rel=1e-6)

    def loss(self, said, label):
        batch = SimpleNamespace(label_BH=label, weight_B=torch.ones(len(label)))
        return TASK.loss(SimpleNamespace(future=said), batch)

    def test_time_and_category_count_where_they_are_known(self):
        said = Future(
            torch.zeros(1, NUM_STEPS, 6, 6),
            torch.tensor([[3.0, 4.0, 5.0, 6.0, 7.0]]),
            torch.tensor([[[2.0, 0.0, 0.0]] * NUM_STEPS]),
        )
        label = torch.full((1, 15), math.nan)
        label[0, :5] = LEAVE
        label[0, 5], label[0, 10] = 7.0, 0.0
        late = abs(math.log(4) - math.log(8))
        category = -math.log(math.exp(2) / (math.exp(2) + 2))
        assert float(self.loss(said, label)) == pytest.approx(0.3 * (late + category), rel=1e-5)

    def test_examples_of_other_tasks_teach_nothing_and_spoil_no_gradient(self):
        features = torch.randn(2, 4, requires_grad=True)
        made, past = decoder(), history([(1, BOUGHT, 0.0)], [(2, LOOKED, 0.0)])
        label = torch.full((2, 15), math.nan)
        assert float(self.loss(made(features, *past), label)) == 0.0
        label[0, :5] = LEAVE
        self.loss(made(features, *past), label).backward()
        assert torch.isfinite(features.grad).all()
        assert (features.grad[1] == 0).all()
        assert (features.grad[0] != 0).any()


class TestFuture:
    def test_chances_are_the_exact_sum_over_all_sequences(self):
        said = future(num=2, steps=3)
        expected = torch.zeros(2, 3, len(OUTCOMES))
        for kinds in itertools.product(range(len(OUTCOMES)), repeat=3):
            if any(a == LEAVE and b != LEAVE for a, b in itertools.pairwise(kinds)):
                continue
            chance = log_likelihood(said, torch.tensor([kinds] * 2)).exp()
            for step, kind in enumerate(kinds):
                expected[:, step, kind] += chance
        torch.testing.assert_close(marginals(said.log_step_BUJO), expected)

    def test_chances_sum_to_one_leaving_only_grows_and_days_ascend(self):
        said = future(num=20)
        chances = marginals(said.log_step_BUJO)
        torch.testing.assert_close(chances.sum(dim=2), torch.ones(20, NUM_STEPS))
        assert (chances[:, :, LEAVE].diff(dim=1) >= -1e-6).all()
        assert (said.days_BU.diff(dim=1) >= 0).all()


class TestPastCategories:
    def chances(self, *rows, fading=1.0, even=1.0, known=3):
        """Of the first step, by category."""
        past = PastCategories(NUM_STEPS, 3)
        past.known_C[:known] = True
        with torch.no_grad():
            past.fading.fill_(fading)
            past.log_even_U.fill_(math.log(even))
            return past(*history(*rows))[:, 0].exp()

    def test_a_category_is_likelier_the_more_and_the_later_it_was_met(self):
        row = [(1, LOOKED, 3.0), (1, LOOKED, 3.0), (2, BOUGHT, 0.0)]
        [alike] = self.chances(row, fading=0.0, even=3.0)
        torch.testing.assert_close(alike, torch.tensor([3.0, 2.0, 1.0]) / 6)
        [faded] = self.chances(row, fading=1.0, even=3.0)
        torch.testing.assert_close(faded, torch.tensor([1.5, 2.0, 1.0]) / 4.5)

    def test_of_whom_nothing_is_known_every_category_is_as_likely(self):
        past = [(0, BOUGHT, 0.0), (2, LOOKED, 0.0)], [(0, 0, 0.0), (0, 0, 0.0)]
        some, nothing = self.chances(*past)
        assert some.argmax() == 1
        torch.testing.assert_close(nothing, torch.full((3,), 1 / 3))

    def test_what_is_no_category_never_comes(self):
        [said] = self.chances([(1, BOUGHT, 0.0)], known=2)
        torch.testing.assert_close(said, torch.tensor([0.75, 0.25, 0.0]), atol=1e-6, rtol=1e-6)


class TestMetrics:
    def test_they_equal_slow_references(self):
        rng = np.random.default_rng(0)
        chances = rng.dirichlet(np.ones(6), size=(40, NUM_STEPS))
        kinds = rng.integers(0, 6, (40, NUM_STEPS))
        found = step_metrics(chances, kinds)
        losses = [-np.log(chances[:, u][np.arange(40), kinds[:, u]]).mean() for u in range(5)]
        assert found["log_loss"] == pytest.approx(np.mean(losses))
        assert found["step_2/log_loss"] == pytest.approx(losses[1])
        called = chances[:, 0].argmax(axis=1)
        assert found["step_1/accuracy"] == (called == kinds[:, 0]).mean()
        expected = f1_score(kinds[:, 0], called, average="macro")
        assert found["step_1/macro_f1"] == pytest.approx(expected)

    def test_a_perfect_answer_is_perfect(self):
        kinds = np.array([[0, 3, 5, 5, 5], [5, 5, 5, 5, 5]])
        found = TASK.metrics(np.eye(6)[kinds], kinds)
        assert found["accuracy"] == found["macro_f1"] == 1.0
        assert found["log_loss"] == pytest.approx(0.0, abs=1e-9)

    def test_time_and_category_are_measured_where_they_are_known(self):
        nan = np.nan
        real = np.array([[2.0, nan], [4.0, 10.0]])
        assert time_error(np.array([[1.0, 99.0], [4.0, 13.0]]), real) == 1.0
        chances = np.array([[[0.1, 0.9], [0.5, 0.5]], [[0.8, 0.2], [0.3, 0.7]]])
        assert hit_rate(chances, np.array([[1.0, nan], [1.0, 1.0]])) == pytest.approx(2 / 3)
        assert math.isnan(hit_rate(chances, np.full((2, 2), nan)))


class TestCategories:
    def test_numbers_go_by_what_shoppers_turned_to_before_the_cut(self):
        items = pl.DataFrame(
            {"item_id": ["a", "b", "c", "d"], "category": ["home", "garden", "home", None]}
        )
        rows = [event("view", 1, item) for item in "bab"] + [event("view", 9, "a", late_days=n)
                                                             for n in range(5)]  # fmt: skip
        events = pl.DataFrame(rows, schema={**EVENT_SCHEMA, "category": pl.Int64}).drop("category")
        found = Categories.fit(items, events, before=5 * DAY)
        assert found.names == ("garden", "home")
        assert found.to_dict(["", "a", "d"])["of_item"] == [-1, 1, -1]
        assert found.told(events)["category"].to_list()[:3] == [0, 1, 0]

    def test_a_shop_without_categories_has_none(self):
        items = pl.DataFrame(
            {"item_id": ["a"], "category": [None]}, schema_overrides={"category": pl.String}
        )
        events = pl.DataFrame(
            [event("view", 1, "a")], schema={**EVENT_SCHEMA, "category": pl.Int64}
        )
        found = Categories.fit(items, events, before=5 * DAY)
        assert (found.names, fingerprint(items)) == ((), "")
        assert found.told(events)["category"].to_list() == [None]


RUN = replace(shopper("tiny"), tasks=("next_actions",), task_weights=(1.0,), task_shares=(1.0,))


@pytest.fixture(scope="module")
def dataset(shop, tmp_path_factory):
    """The next steps in the simulated shop, which tells the categories of its items."""
    home = tmp_path_factory.mktemp("steps") / "home"
    copy_home(shop.settings.home, home)
    settings = shop.settings.model_copy(update={"home": home})
    warehouse = Warehouse(settings.warehouse)
    told = shop.world.items.select("item_id", "category", known_at=pl.col("first_at"))
    merge(warehouse, "item_id", told, precedence=0)
    calendar = replace(Calendar.from_span(*warehouse.span()), snapshot_every_days=30)
    blank = lambda texts: np.zeros((len(texts), RUN.model.text_width), np.float32)  # noqa: E731
    reads = Reads(text_encoder=lambda name, seed: (name, blank))
    return Dataset(build(RUN, calendar, {"next_actions": TASK}, settings, reads))


def test_labels_come_back_from_the_folder_as_they_were_made(dataset):
    rows = examples_of(dataset, "train", "next_actions")
    kind, days, category = step_labels(dataset, "train", rows)
    assert set(np.unique(kind)) == set(range(len(OUTCOMES)))
    assert np.isnan(days[kind == LEAVE]).all()
    assert (days[kind < LEAVE] < 90).all()
    names = dataset.meta["categories"]["names"]
    assert len(names) > 1
    assert np.nanmax(category) == len(names) - 1


def test_the_user_graph_foresees_what_the_network_does(dataset, tmp_path):
    torch.manual_seed(0)
    network = prepare(RUN, dataset).eval()
    given = real_inputs(network, dataset, num=6)
    outputs = (*OUTPUTS["user"], *STEP_OUTPUTS)
    write_graph(UserGraph(network), given, outputs, tmp_path / "user.onnx")
    assert compare(UserGraph(network), tmp_path / "user.onnx", [given]) < 1e-3
    expected = foresee(network, dataset, "train", np.arange(6))
    session = onnxruntime.InferenceSession(str(tmp_path / "user.onnx"))
    kinds, days, categories = session.run(list(STEP_OUTPUTS), given)
    np.testing.assert_allclose(kinds, expected.kinds, atol=1e-4)
    np.testing.assert_allclose(days, expected.days, rtol=1e-3)
    np.testing.assert_allclose(categories, expected.categories, atol=1e-4)


def test_training_lowers_the_loss_and_the_bundle_tells_names_and_averages(dataset, tmp_path):
    config = replace(RUN, optim=OptimConfig(num_epochs=3, max_positions=2048, learning_rate=3e-3))
    train(config, dataset.folder, tmp_path, PlainRuntime(tmp_path / "checkpoint"))
    lines = (tmp_path / "history.jsonl").read_text().splitlines()
    losses = [json.loads(line)["train_loss"] for line in lines]
    assert losses[-1] < losses[0]
    told, metrics = described(prepare(RUN, dataset), dataset)
    assert told["outcomes"] == list(OUTCOMES)
    assert told["categories"] == dataset.meta["categories"]["names"]
    known = dataset.meta["categories"]["of_item"][1 : dataset.meta["num_vocabulary"]]
    assert told["category_of_item"] == known
    assert np.sum(told["average"]["kinds"], axis=1) == pytest.approx([1.0] * NUM_STEPS)
    assert {"next_actions/log_loss", "next_actions/days_error"} < set(metrics)
