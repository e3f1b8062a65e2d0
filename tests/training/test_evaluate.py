"""The report says what the examples say, of a good model, an ignorant one and the floors."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch

from training.bundle import KEYS, Bundle
from training.evaluate import answers as asking
from training.evaluate import plots, words
from training.evaluate.answers import ALL_ITEMS, MODEL, NEW_ITEMS, ask, fit_floors
from training.evaluate.compare import Draws, compare
from training.evaluate.measure import ACTIVE, EVERYONE
from training.evaluate.model import Trained
from training.evaluate.page import page
from training.evaluate.report import evaluate, measure, to_dict
from training.floors import FLOORS
from training.floors.reading import examples_of
from training.metrics.calibration import platt
from training.metrics.probability import best_f1_threshold, probability_metrics
from training.network import Network, learnt_state
from training.recipes import shopper
from training.tasks import TASKS

NUM_ITEMS, TEXT_WIDTH = 30, 384
RETENTION = TASKS["retention"]


def simple_shop(seed: int = 5) -> list[tuple[str, int, tuple[int, ...]]]:
    """Shoppers who re-buy from a few items of their own; half of them leave one day."""
    rng, orders = np.random.default_rng(seed), []
    for person in range(70):
        own = 1 + rng.choice(NUM_ITEMS, 5, replace=False)
        day, stays_until = int(rng.integers(0, 15)), 260 if person % 2 else rng.integers(40, 240)
        while day < stays_until:
            basket = {*rng.choice(own, int(rng.integers(1, 4)), replace=False)}
            if rng.random() < 0.4:
                basket |= {1 + rng.integers(NUM_ITEMS)}
            orders.append((f"user-{person:02d}", day, tuple(sorted(map(int, basket)))))
            day += int(rng.integers(5, 22))
    return orders


@pytest.fixture(scope="module")
def dataset(make_dataset):
    return make_dataset(simple_shop(), num_items=NUM_ITEMS, train_end=170, valid_end=215, end=260)


class Oracle:
    """Knows the targets and labels, and says so more or less loudly."""

    def __init__(self, dataset, noise: float, seed: int = 0) -> None:
        self.thresholds = {"leave_90d": 0.5}
        self.dataset, self.noise = dataset, noise
        self.rng = np.random.default_rng(seed)

    def foresee(self, split: str, rows: np.ndarray):
        raise AssertionError("nobody asks for next steps here")

    def answers(self, split: str, rows: np.ndarray):
        found = self.dataset.examples(split)
        for chunk in np.array_split(self.rng.permutation(rows), 7):
            scores = self.noise * self.rng.normal(size=(len(chunk), NUM_ITEMS + 1))
            target, row = found.targets(chunk)
            scores[row, target] += 1.0
            for place, week in enumerate(found.week[chunk]):
                scores[place, ~self.dataset.items(int(week)).exists_I] = -np.inf
            label = np.nan_to_num(found.label[chunk])
            logit = 8 * (label - 0.5) + self.noise * self.rng.normal(size=label.shape)
            yield chunk, scores, 1 / (1 + np.exp(-np.clip(logit, -30, 30)))


@pytest.fixture(scope="module")
def report(dataset):
    run = {"name": "shopper", "seed": 0, "size": "tiny", "methods": [{"name": "full"}]}
    history = [
        {"epoch": 1, "train_loss": 5.0, "valid_loss": 5.2},
        {"epoch": 2, "train_loss": 4.1, "valid_loss": 4.9},
        {"epoch": 3, "train_loss": 3.7, "valid_loss": 5.0},
    ]
    return measure(dataset, Oracle(dataset, 0.4), Draws(60), run=run, history=history)


def test_a_model_that_knows_the_targets_beats_every_floor(report):
    for variant in (ALL_ITEMS, NEW_ITEMS):
        table = report.ranking[variant]
        assert set(table.sources) == {
            MODEL,
            *(name for name, floor in FLOORS.items() if floor.task == "next_item"),
        }
        assert table.differences["ndcg@10"].verdict == "better"
    found = report.heads["leave_90d"].tables[EVERYONE]
    assert found.sources[MODEL]["auc"].value > found.sources["logistic_rfm"]["auc"].value
    assert found.differences["log_loss"].value < 0
    assert found.differences["log_loss"].verdict == "better"


def test_a_model_that_knows_nothing_is_called_worse(dataset):
    found = measure(dataset, Oracle(dataset, 1e6), Draws(60), run={}, history=[])
    assert found.ranking[ALL_ITEMS].differences["ndcg@10"].verdict == "worse"
    assert found.heads["leave_90d"].tables[EVERYONE].differences["brier"].verdict == "worse"


def test_the_best_possible_ranking_has_perfect_ndcg(dataset):
    found = measure(dataset, Oracle(dataset, 0.0), Draws(5), run={}, history=[])
    for variant in (ALL_ITEMS, NEW_ITEMS):
        assert found.ranking[variant].sources[MODEL]["ndcg@10"].value == pytest.approx(1.0)
        assert found.ranking_splits[variant]["valid"]["mrr"] == pytest.approx(1.0)


def test_intervals_hold_the_value_and_differences_are_those_of_the_table(report):
    for table in (report.ranking[ALL_ITEMS], report.heads["purchase_30d"].tables[EVERYONE]):
        for numbers in table.sources.values():
            assert all(n.low <= n.value <= n.high for n in numbers.values() if n.low < n.high)
        for metric, found in table.differences.items():
            model, floor = (table.sources[s][metric].value for s in (MODEL, found.floor))
            assert found.value == pytest.approx(model - floor)


def test_the_floor_compared_with_is_the_hardest_to_beat(report):
    table = report.ranking[ALL_ITEMS]
    floors = {name: n["ndcg@10"].value for name, n in table.sources.items() if name != MODEL}
    assert table.differences["ndcg@10"].floor == max(floors, key=floors.get)
    losses = report.heads["leave_90d"].tables[EVERYONE]
    floors = {name: n["brier"].value for name, n in losses.sources.items() if name != MODEL}
    assert losses.differences["brier"].floor == min(floors, key=floors.get)


def test_seen_items_leave_both_the_ranking_and_the_basket(dataset):
    said = ask(dataset, "test", Oracle(dataset, 0.0), fit_floors(dataset))
    orders, found = said.rows["next_item"], dataset.examples("test")
    some_are_dropped = 0
    for place, row in enumerate(orders):
        start, end = found.history.offsets[row], found.history.offsets[row + 1]
        target = found.target[found.target_offsets[row] : found.target_offsets[row + 1]]
        new = ~np.isin(target, found.history.item[start:end])
        is_measured = ~np.isnan(said.ranked[MODEL].values[NEW_ITEMS]["mrr"][place])
        assert is_measured == new.any()
        some_are_dropped += not new.any()
        assert not np.isnan(said.ranked[MODEL].values[ALL_ITEMS]["mrr"][place])
    assert 0 < some_are_dropped < len(orders)


def test_the_model_keeps_its_served_threshold_and_floors_calibrate_and_choose_on_validation(
    dataset, report
):
    found = report.heads["leave_90d"]
    assert found.thresholds[MODEL] == 0.5
    assert set(found.thresholds) == {MODEL, "recency", "logistic_rfm", "bg_nbd"}
    floor = FLOORS["logistic_rfm"]()
    floor.fit(dataset)
    chance, label = {}, {}
    for split in ("valid", "test"):
        rows = examples_of(dataset, split, "retention")
        chance[split] = floor.probabilities(dataset, split, rows)[:, 0]
        label[split] = dataset.examples(split).label[rows, 0].astype(float)
    logit = {split: np.log(p / (1 - p)) for split, p in chance.items()}
    slope, shift = platt(logit["valid"], label["valid"])
    calibrated = {split: 1 / (1 + np.exp(-(slope * z + shift))) for split, z in logit.items()}
    threshold = best_f1_threshold(calibrated["valid"], label["valid"])
    assert found.thresholds["logistic_rfm"] == pytest.approx(threshold)
    expected = probability_metrics(calibrated["test"], label["test"], threshold)
    numbers = found.tables[EVERYONE].sources["logistic_rfm"]
    assert {name: n.value for name, n in numbers.items()} == pytest.approx(expected)


def test_populations_are_those_of_the_calendar(dataset, report):
    found = report.heads["leave_90d"]
    rows = examples_of(dataset, "test", "retention")
    label = dataset.examples("test").label[rows, 0]
    assert found.tables[EVERYONE].num_examples == len(rows)
    assert found.base_rates[EVERYONE] == pytest.approx(label.mean())
    last = {user: day for user, day, _ in sorted(simple_shop(), key=lambda o: o[1]) if day < 215}
    recent = [last[user] > 215 - 90 for user in dataset.examples("test").user[rows]]
    assert found.tables[ACTIVE].num_examples == sum(recent)


def test_training_is_measured_on_a_spread_sample(dataset):
    said = ask(dataset, "train", Oracle(dataset, 1.0), {}, max_examples=20)
    rows = said.rows["next_item"]
    assert len(rows) == 20
    assert rows[0] == examples_of(dataset, "train", "next_item")[0]
    assert not np.isnan(said.ranked[MODEL].values[ALL_ITEMS]["mrr"]).any()


def test_chunks_change_no_number(dataset, monkeypatch):
    floors = fit_floors(dataset)
    whole = ask(dataset, "valid", Oracle(dataset, 0.0), floors)
    monkeypatch.setattr(asking, "CHUNK", 3)
    parts = ask(dataset, "valid", Oracle(dataset, 0.0, seed=9), floors)
    for name in whole.ranked:
        for variant, metrics in whole.ranked[name].values.items():
            for metric, values in metrics.items():
                np.testing.assert_array_equal(values, parts.ranked[name].values[variant][metric])


def test_draws_of_equal_seed_give_equal_intervals():
    users, values = np.arange(40) % 9, np.random.default_rng(0).random(40)

    def mean(rows: np.ndarray) -> dict:
        return {MODEL: {"m": values[rows].mean()}, "floor": {"m": 1 - values[rows].mean()}}

    assert compare(mean, users, Draws(50)) == compare(mean, users, Draws(50))
    assert compare(mean, users, Draws(50)) != compare(mean, users, Draws(50, seed=1))


def test_the_json_is_strict_and_names_everything(report):
    found = json.loads(json.dumps(to_dict(report), allow_nan=False))
    assert set(found["next_item"]["test"]) == {ALL_ITEMS, NEW_ITEMS}
    assert set(found["retention"]) == set(RETENTION.heads) - set(RETENTION.amounts)
    assert set(found["amounts"]) == set(RETENTION.amounts)
    assert len(found["amounts"]["spend_90d"]["came_by_tenth"]) == 10
    numbers = found["retention"]["leave_90d"]["test"][EVERYONE]["sources"][MODEL]
    assert set(numbers) == {
        *("auc", "log_loss", "brier", "ece", "accuracy", "precision", "recall", "f1")
    }
    assert set(found["retention"]["leave_90d"]["model_by_split"]) == {"train", "valid", "test"}


class Tags(HTMLParser):
    """Checks that tags close in order and collects what could reach outside."""

    def __init__(self) -> None:
        super().__init__()
        self.open, self.links = [], []

    def handle_starttag(self, tag, attrs):
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v[0] != "#"]
        if tag not in ("meta", "path", "rect", "use"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.links += [v for k, v in attrs if k in ("src", "href", "xlink:href") and v[0] != "#"]

    def handle_endtag(self, tag):
        if tag not in ("path", "rect", "use"):
            assert self.open.pop() == tag


def test_the_page_is_whole_and_needs_nothing_from_outside(report):
    text = page(report)
    tags = Tags()
    tags.feed(text)
    assert tags.open == []
    assert tags.links == []
    assert not re.search(r"<script|@import|url\((?!#)", text)
    assert text.count("<svg") == 2 + 2 * (len(RETENTION.heads) - 1) + 1 + 1
    assert "nan" not in re.sub(r"<[^>]*>", " ", text).lower().split()
    for word in ("popularity", "co occurrence", "logistic rfm", "seen items excluded", "AUC"):
        assert word in text


def test_names_are_escaped(report):
    report.run["name"] = "<b>shop</b>"
    try:
        assert "<b>shop</b>" not in page(report)
    finally:
        report.run["name"] = "shopper"


def test_the_words_warn_of_one_seed_and_few_shoppers(report):
    text = " ".join(words.limits(report))
    assert "one seed (0)" in text
    assert "Only" in text
    assert "coupon would help" in text


def test_equal_plots_are_equal_text(report):
    found = report.heads["leave_90d"]
    assert plots.roc(found.curves, "a") == plots.roc(found.curves, "a")
    assert plots.learning_curves([{"epoch": 1, "train_loss": 2.0}]).startswith("<svg")


@pytest.fixture(scope="module")
def finished(dataset, tmp_path_factory):
    """The folder of a run as ``fit`` leaves it, of a network that was never trained."""
    torch.manual_seed(3)
    run = shopper("tiny")
    network = Network(run, dataset.meta)
    network.calibration_H2.copy_(torch.tensor([[0.5, -1.0], [2.0, 0.3], *[[1.0, 0.1]] * 4]))
    folder = tmp_path_factory.mktemp("run")
    (folder / "run.json").write_text(run.to_json())
    (folder / "data").symlink_to(dataset.folder)
    (folder / "history.jsonl").write_text('{"epoch": 1, "train_loss": 2.0, "valid_loss": 2.5}\n')
    content = dict.fromkeys(KEYS["model"], "") | {"thresholds": {"leave_90d": 0.4}}
    weights = {name: value.numpy() for name, value in learnt_state(network).items()}
    Bundle.save(
        folder / "bundle",
        kind="model",
        name="shopper",
        created_at=0,
        content=content,
        weights=weights,
        card="",
    )
    return folder, network.eval()


@torch.no_grad()
def test_a_finished_run_answers_as_its_network_does(dataset, finished):
    folder, network = finished
    model, found = Trained(folder, dataset), dataset.examples("test")
    wanted = examples_of(dataset, "test", "next_item")[::3]
    asked = []
    for rows, scores, chances in model.answers("test", wanted):
        batch = dataset.batch("test", rows)
        catalogue, texts = dataset.items(batch.week), torch.ones(1, TEXT_WIDTH)
        output = network(batch.to("cpu"), catalogue.to("cpu"), texts)
        np.testing.assert_allclose(scores, output.score_BI, atol=1e-5)
        expected = network.probabilities(output.logit_BH)
        np.testing.assert_allclose(chances, expected, atol=1e-5)
        assert len(np.unique(found.week[rows])) == 1
        asked += rows.tolist()
    assert sorted(asked) == wanted.tolist()


def test_evaluating_a_finished_run_leaves_both_files(finished):
    folder, _ = finished
    found = evaluate(folder, num_bootstrap=20)
    assert json.loads((folder / "report.json").read_text()) == found
    assert "<svg" in (folder / "report.html").read_text()
    assert found["retention"]["leave_90d"]["thresholds"][MODEL] == 0.4
    assert found["next_item"]["test"][ALL_ITEMS]["differences"]["mrr"]["verdict"] == "worse"


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match="holds no finished run"):
        evaluate(tmp_path)
