"""The floors of next actions, and the report that holds a model against them."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from feature_repo.events import KIND_CODES
from tests.training import synthetic
from training.datasets.batches import Dataset
from training.datasets.histories import Histories
from training.evaluate.compare import Draws
from training.evaluate.page import page
from training.evaluate.report import measure, to_dict
from training.floors import FLOORS
from training.floors.last_steps import NONE, last_steps
from training.floors.reading import examples_of, step_labels
from training.metrics.steps import LEAVE, NUM_STEPS, OUTCOMES, STEP_LABELS, Foreseen

DAY = 86_400_000_000
START = synthetic.START
VIEW, CLICK, CART, PURCHASE, RETURN = range(5)
STEP_FLOORS = ("step_frequency", "repeat_last", "markov")


def write(folder, shoppers):
    """A dataset of shoppers: (past [(days ago, kind, item)], future [(days, kind, category)])."""
    synthetic.write(folder, num_examples=8)
    splits = {"train": shoppers, "valid": shoppers[:2], "test": shoppers}
    for split, some in splits.items():
        found = Dataset(folder).examples(split)
        num = len(some)
        lines = [(START - round(ago * DAY), KIND_CODES[k], item) for past, _ in some
                 for ago, k, item in past]  # fmt: skip
        label = np.full((num, len(STEP_LABELS)), np.nan)
        label[:, :NUM_STEPS] = LEAVE
        for row, (_, future) in enumerate(some):
            for place, (days, kind, category) in enumerate(future):
                label[row, place::NUM_STEPS] = kind, days, category
        at, kind, item = (np.array(one) for one in zip(*lines, strict=True))
        ones = np.ones(len(lines), np.float32)
        history = Histories(
            item=item.astype(np.int32), kind=kind.astype(np.int8), quantity=ones, amount=ones,
            at=at.astype(np.int64), offsets=np.cumsum([0, *(len(past) for past, _ in some)]),
        )  # fmt: skip
        made = replace(
            found,
            task=np.zeros(num, np.int64),
            week=np.zeros(num, np.int64),
            user=np.array([f"shopper-{row}" for row in range(num)]),
            asked_at=np.full(num, START),
            weight=np.ones(num, np.float32),
            scalars=np.zeros((num, 2 * synthetic.NUM_SCALARS), np.float32),
            label=label.astype(np.float32),
            target=np.zeros(0, np.int64),
            target_offsets=np.zeros(num + 1, np.int64),
            num_bought=np.zeros(num, np.int64),
            history=history,
        )
        for path in (folder / split).glob("*.npy"):
            path.unlink()
        (folder / split).rmdir()
        made.save(folder / split)
    meta = json.loads((folder / "meta.json").read_text())
    meta |= {"tasks": ["next_actions"], "heads": {"next_actions": []}, "dropped": {}}
    meta |= {"labels": {"next_actions": list(STEP_LABELS)}}
    meta |= {"counts": {split: len(some) for split, some in splits.items()}}
    meta |= {"calendar": {split: [START, START + 90 * DAY] for split in splits}}
    meta["categories"] = {"names": ["kitchen", "garden"], "of_item": [-1, 0, 1] + [-1] * 38}
    (folder / "meta.json").write_text(json.dumps(meta))
    return Dataset(folder)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    buyer = ([(40, "purchase", 1), (30, "purchase", 1), (30, "purchase", 2)],
             [(10.0, PURCHASE, 0), (20.0, PURCHASE, 0)])  # fmt: skip
    viewer = ([(9, "view", 2), (2, "view", 1), (1, "message", 0)], [(1.0, VIEW, 1)])
    newcomer = ([(3, "search", 0)], [])
    return write(tmp_path_factory.mktemp("steps") / "d", [buyer, buyer, viewer, viewer, newcomer])


def rows(dataset):
    return examples_of(dataset, "test", "next_actions")


def floor(name, dataset):
    made = FLOORS[name]()
    made.fit(dataset)
    return made.foresee(dataset, "test", rows(dataset))


def test_the_last_step_is_read_from_the_history_without_searches_and_messages(dataset):
    found = last_steps(dataset, "test", rows(dataset))
    assert found.kind.tolist() == [PURCHASE, PURCHASE, VIEW, VIEW, NONE]
    assert found.days_since[[0, 2]].tolist() == [30, 2]
    assert found.gap_days[[0, 2]].tolist() == [10, 7]
    assert found.category.tolist() == [1, 1, 0, 0, NONE]
    assert np.isnan(found.days_since[4])


@pytest.mark.parametrize("name", STEP_FLOORS)
def test_a_floor_gives_chances_that_sum_to_one_for_everybody(dataset, name):
    found = floor(name, dataset)
    num = len(rows(dataset))
    assert found.kinds.shape == (num, NUM_STEPS, len(OUTCOMES))
    np.testing.assert_allclose(found.kinds.sum(axis=2), 1.0)
    np.testing.assert_allclose(found.categories.sum(axis=2), 1.0)
    assert np.isfinite(found.days).all()
    assert (found.days >= 0).all()


def test_frequencies_are_those_of_training(dataset):
    found = floor("step_frequency", dataset)
    counts = np.array([2, 0, 0, 2, 0, 1]) + 1.0
    np.testing.assert_allclose(found.kinds[0, 0], counts / counts.sum())
    assert found.days[0, :2].tolist() == [5.5, 20.0]
    np.testing.assert_array_equal(found.kinds[0], found.kinds[4])


def test_repeating_the_last_says_the_last_kind_in_its_rhythm(dataset):
    found = floor("repeat_last", dataset)
    assert found.kinds[[0, 2], 0].argmax(axis=1).tolist() == [PURCHASE, VIEW]
    assert found.kinds[0, 0, PURCHASE] == pytest.approx(5 / 6)  # four of four, smoothed
    assert found.days[2, :2].tolist() == [5.0, 12.0]  # every 7 days, the last one 2 days ago
    assert found.days[0, 0] == 0.0  # overdue
    assert found.categories[0, 0].argmax() == 1


def test_the_chain_knows_the_last_kind_and_follows_it_step_by_step(dataset):
    found = floor("markov", dataset)
    assert found.kinds[[0, 2], 0].argmax(axis=1).tolist() == [PURCHASE, VIEW]
    chain = FLOORS["markov"]()
    chain.fit(dataset)
    np.testing.assert_allclose(found.kinds[:, 1], found.kinds[:, 0] @ chain.then)
    assert (np.diff(found.kinds[:, :, LEAVE], axis=1) >= -1e-12).all()
    assert found.days[:, 0].tolist() == [10.0, 10.0, 1.0, 1.0, 0.0]


def test_a_floor_reads_no_label_of_what_it_foresees(dataset):
    kept = dataset._examples["test"]
    blind = replace(kept, label=np.full_like(kept.label, LEAVE))
    before = {name: floor(name, dataset) for name in STEP_FLOORS}
    dataset._examples["test"] = blind
    try:
        for name in STEP_FLOORS:
            np.testing.assert_array_equal(floor(name, dataset).kinds, before[name].kinds)
    finally:
        dataset._examples["test"] = kept


class Oracle:
    """A model that knows what comes."""

    thresholds: dict = {}  # noqa: RUF012

    def __init__(self, dataset):
        self.dataset = dataset

    def answers(self, split, rows):
        return iter(())

    def foresee(self, split, rows):
        kind, days, category = step_labels(self.dataset, split, rows)
        return Foreseen(
            np.eye(len(OUTCOMES))[kind],
            np.nan_to_num(days),
            np.eye(32)[np.nan_to_num(category).astype(int)],
        )


def test_the_report_holds_the_model_against_every_floor_at_every_step(dataset):
    run = {"name": "steps", "size": "tiny", "seed": 0, "methods": []}
    report = measure(dataset, Oracle(dataset), Draws(20), run=run, history=[])
    tables = to_dict(report)["next_actions"]["test"]
    assert list(tables) == ["all steps", *(f"step {n}" for n in range(1, NUM_STEPS + 1))]
    for table in tables.values():
        assert set(table["sources"]) == {"model", *STEP_FLOORS}
        assert table["sources"]["model"]["log_loss"]["value"] == pytest.approx(0.0, abs=1e-9)
        assert table["differences"]["log_loss"]["value"] < 0
    first = tables["step 1"]["sources"]["model"]
    assert (first["accuracy"]["value"], first["macro_f1"]["value"]) == (1.0, 1.0)
    assert (first["days_error"]["value"], first["category_hit_rate"]["value"]) == (0.0, 1.0)
    text = page(report)
    assert "Next actions, all steps" in text
    assert "Log loss by step" in text
    json.dumps(to_dict(report), allow_nan=False)


def test_the_picture_shows_a_shoppers_past_and_next_steps(tmp_path):
    past = [(30 - n, "view", 1) for n in range(6)]
    busy = (past, [(1.0, VIEW, 0), (2.0, CART, 0), (4.0, PURCHASE, 0)])
    dataset = write(tmp_path / "d", [busy, busy])
    run = {"name": "steps", "size": "tiny", "seed": 0, "methods": []}
    report = measure(dataset, Oracle(dataset), Draws(5), run=run, history=[])
    story = report.steps.story
    assert [kind for _, kind in story.past] == ["view"] * 6
    assert story.came == [(1.0, "view"), (2.0, "cart"), (4.0, "purchase")]
    assert "Past and next steps of shopper-" in page(report)
