"""The dataset folder: made once from point-in-time rows, learnt from training rows alone."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from feature_repo.events import EVENT_SCHEMA, KIND_CODES, known_at
from feature_repo.ingest import ingest
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from training.datasets import spool
from training.datasets.batches import Dataset
from training.datasets.rows import Reads, build
from training.run import Calendar, ModelConfig, Run
from training.tasks import TASKS

DAY = 86_400_000_000
NUM_DAYS, NEW_ITEM_DAY, LAST_ITEM_DAY = 200, 165, 30
CALENDAR = Calendar(train_end=140 * DAY, valid_end=170 * DAY, test_end=200 * DAY, horizon_days=30)
RUN = Run(name="tiny", model=ModelConfig(text_width=4, max_history=10))


def shop_events():
    """Ten shoppers with an order every few days; `new` appears late, `old` is renamed."""
    rng = np.random.default_rng(5)
    rows = []
    for user in range(10):
        days = np.cumsum(rng.integers(3, 25, 30))
        for number, day in enumerate(days[days < NUM_DAYS]):
            items = {"old", f"item{rng.integers(5)}"} | ({"new"} if day >= NEW_ITEM_DAY else set())
            for item in sorted(items):
                row = dict.fromkeys(EVENT_SCHEMA)
                row |= {"event_id": f"{user}-{number}-{item}", "kind": "purchase"}
                row |= {"user_id": f"user{user}", "item_id": item, "order_id": f"{user}-{number}"}
                at = int(day) * DAY + user
                row |= {"event_at": at, "received_at": at, "quantity": 1, "price_micros": 2_000_000}
                row |= {"text": f"{item} named {'early' if day < 100 else 'late'}"}
                rows.append(row)
    return pl.DataFrame(rows, schema=EVENT_SCHEMA).sort("event_at", "event_id")


class SlowStore:
    """Answers by looking through all events for every row."""

    def __init__(self, events):
        self.events = events.sort(known_at(), "event_at", "event_id")
        self.asked = []

    def point_in_time(self, spine, service, settings):
        self.asked.append(service)
        answer = self.shopper if service == "shopper" else self.item
        rows = [
            answer(
                row, self.events.filter(known_at() < int(row["event_timestamp"].timestamp() * 1e6))
            )
            for row in spine.iter_rows(named=True)
        ]
        return spine.hstack(pl.DataFrame(rows, infer_schema_length=None))

    def shopper(self, row, known):
        known = known.filter(pl.col("user_id") == row["user_id"])
        return {
            "num_purchases": float(len(known)) or None,
            "history_at": known["event_at"].to_list(),
            "history_kind": [KIND_CODES[kind] for kind in known["kind"]],
            "history_item": known["item_id"].to_list(),
            "history_quantity": known["quantity"].to_list(),
            "history_amount": (known["price_micros"] / 1e6).to_list(),
        }

    def item(self, row, known):
        known = known.filter(pl.col("item_id") == row["item_id"])
        text = known["text"].to_list()
        return {"num_sold": float(len(known)) or None, "text": text[-1] if text else None}

    def reads(self, version="v1"):
        encode = lambda texts: np.array([[len(t), 0, 0, 1] for t in texts], np.float32)  # noqa: E731
        return Reads(
            point_in_time=self.point_in_time,
            schema_hash=lambda services, settings: version,
            text_encoder=lambda name, seed: (name, encode),
        )


@pytest.fixture(scope="module")
def events():
    return shop_events()


@pytest.fixture(scope="module")
def settings(events, tmp_path_factory):
    settings = Settings(home=tmp_path_factory.mktemp("home"))
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    ingest(warehouse, events, source="test", now=NUM_DAYS * DAY)
    return settings


@pytest.fixture(scope="module")
def dataset(events, settings):
    return Dataset(build(RUN, CALENDAR, TASKS, settings, SlowStore(events).reads()))


def test_examples_are_those_of_the_spine(dataset, events):
    for split in ("train", "valid", "test"):
        found = dataset.examples(split)
        start, end = CALENDAR.window(split)
        assert len(found) == dataset.meta["counts"][split] > 0
        assert ((found.asked_at >= (start or 0)) & (found.asked_at < end)).all()
        asked = found.task == 1
        assert np.isnan(found.label[found.task == 0]).all()
        soon, own = TASKS["retention"].heads.index("leave_30d"), len(TASKS["retention"].heads)
        assert np.isin(found.label[asked, soon], [0.0, 1.0]).all()
        assert np.isnan(found.label[asked, own:]).all()
        assert (np.diff(found.target_offsets)[asked] == 0).all()
        assert (np.diff(found.target_offsets)[found.task == 0] > 0).all()
        steps = found.label[found.task == 3][:, -15:-10]
        assert np.isin(steps, range(6)).all()


def test_a_basket_does_not_see_itself(dataset, events):
    for split in ("train", "valid", "test"):
        found = dataset.examples(split)
        for row in range(len(found)):
            kept = slice(found.history.offsets[row], found.history.offsets[row + 1])
            assert (found.history.at[kept] < found.asked_at[row]).all()
            known = events.filter(
                (pl.col("user_id") == str(found.user[row]))
                & (pl.col("event_at") < int(found.asked_at[row]))
            )
            assert kept.stop - kept.start == min(len(known), RUN.model.max_history)


def test_targets_are_the_items_of_the_order_that_existed_when_the_week_began(dataset, events):
    bought = events.group_by("user_id", "event_at").agg("item_id")
    orders = {(user, at): set(items) for user, at, items in bought.iter_rows()}
    dropped = 0
    for split in ("train", "valid", "test"):
        found = dataset.examples(split)
        for row in np.flatnonzero(found.task == 0):
            exists = dataset.items(int(found.week[row])).exists_I
            targets = found.target[found.target_offsets[row] : found.target_offsets[row + 1]]
            order = orders[str(found.user[row]), int(found.asked_at[row])]
            names = {dataset.item_ids[target] for target in targets}
            assert exists[targets].all()
            assert names <= order
            assert found.num_bought[row] == len(order)
            dropped += len(order) - len(names)
    assert sum(d["targets"] for d in dataset.meta["dropped"].values()) >= dropped > 0


def test_items_are_as_of_the_start_of_the_week(dataset, events):
    weeks = dataset.meta["weeks"]
    place = dataset.item_ids.index("old")
    for number, week in enumerate(weeks):
        items = dataset.items(number)
        known = events.filter((pl.col("item_id") == "old") & (pl.col("event_at") < week))
        assert items.exists_I[place] == (len(known) > 0)
        text = known["text"].to_list()[-1] if len(known) else None
        assert (dataset.texts[items.text_I[place]] if items.text_I[place] >= 0 else None) == text
    assert {"old named early", "old named late"} <= set(dataset.texts)


def test_the_vocabulary_knows_training_items_alone(dataset):
    num_known = dataset.meta["num_vocabulary"]
    assert dataset.item_ids[1:num_known] == dataset.spec.vocabulary
    assert "new" in dataset.item_ids[num_known:]
    targets = np.unique(dataset.examples("test").target)
    assert (targets >= num_known).any()


def test_normalisers_are_fitted_on_training_rows_alone(dataset):
    values = dataset.examples("train").scalars[:, 0]
    assert values.mean() == pytest.approx(0.0, abs=1e-5)
    assert values.std() == pytest.approx(1.0, abs=1e-5)
    assert abs(dataset.examples("test").scalars[:, 0].mean()) > 0.05


def test_nothing_after_the_cut_changes_training(dataset, events, tmp_path):
    settings = Settings(home=tmp_path)
    warehouse = Warehouse(settings.warehouse)
    warehouse.migrate()
    early = events.filter(known_at() < CALENDAR.train_end)
    ingest(warehouse, early, source="test", now=NUM_DAYS * DAY)
    other = Dataset(build(RUN, CALENDAR, TASKS, settings, SlowStore(early).reads()))
    assert other.spec == dataset.spec
    ours, theirs = dataset.examples("train"), other.examples("train")
    for name in ("task", "asked_at", "user", "scalars", "label", "target"):
        assert np.array_equal(getattr(ours, name), getattr(theirs, name), equal_nan=name == "label")
    assert np.array_equal(ours.history.item, theirs.history.item)
    assert (other.examples("test").task % 2 == 1).all()  # snapshots alone: all left


def test_an_equal_dataset_is_made_once(events, settings):
    store = SlowStore(events)
    first = build(RUN, CALENDAR, TASKS, settings, store.reads())
    assert store.asked == []
    changed = [
        build(RUN, CALENDAR, TASKS, settings, store.reads(version="v2")),
        build(RUN, CALENDAR.refit(), TASKS, settings, store.reads()),
    ]
    assert len({first, *changed}) == 3
    assert not list(first.parent.glob("*.partial"))


def test_a_dataset_made_of_many_small_chunks_is_the_same(events, settings, dataset, monkeypatch):
    monkeypatch.setattr(spool, "CHUNK_ROWS", 7)
    store = SlowStore(events)
    folder = build(RUN, CALENDAR, TASKS, settings, store.reads(version="chunked"))
    assert store.asked.count("shopper") > 20
    names = {path.relative_to(folder) for path in folder.rglob("*.npy")}
    assert names == {path.relative_to(dataset.folder) for path in dataset.folder.rglob("*.npy")}
    for name in names:
        ours, theirs = np.load(folder / name), np.load(dataset.folder / name)
        assert ours.dtype == theirs.dtype
        np.testing.assert_array_equal(ours, theirs, err_msg=str(name))
    own = {"fingerprint": "", "lineage": {}}
    assert Dataset(folder).meta | own == dataset.meta | own
    assert Dataset(folder).texts == dataset.texts
    assert not (folder / "spool").exists()


def test_a_refit_learns_from_everything_that_closed_before_the_test(events, settings, dataset):
    folder = build(RUN, CALENDAR.refit(), TASKS, settings, SlowStore(events).reads())
    refit = Dataset(folder)
    assert refit.meta["counts"]["valid"] == 0
    assert refit.meta["counts"]["train"] > dataset.meta["counts"]["train"]
    assert refit.meta["counts"]["test"] == dataset.meta["counts"]["test"]
    assert list(refit.batches("valid", max_positions=100)) == []


def test_features_that_lag_behind_the_events_are_refused(events, settings):
    behind = SlowStore(events.filter(pl.col("user_id") != "user3"))
    with pytest.raises(ValueError, match="run `python -m feature_repo rollup`"):
        build(RUN, CALENDAR, TASKS, settings, behind.reads(version="lagging"))


def test_a_shop_too_young_to_train_says_so(events, settings):
    calendar = Calendar(train_end=2 * DAY, valid_end=3 * DAY, test_end=4 * DAY, horizon_days=1)
    with pytest.raises(ValueError, match="closed before the training cut"):
        build(RUN, calendar, TASKS, settings, SlowStore(events).reads())


def test_a_text_encoder_of_another_width_is_refused(events, settings):
    run = Run(name="wide", model=ModelConfig(text_width=384, max_history=9))
    with pytest.raises(ValueError, match=r"vectors 4 wide, and model.text_width is 384"):
        build(run, CALENDAR, TASKS, settings, SlowStore(events).reads())
