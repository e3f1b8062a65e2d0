"""No row knows the future, and one that does is caught: three nets, each shown to hold.

Times and ages must lie before the moment of asking; no feature may tell a label all but perfectly;
and rows made from events that end at a cut must equal the rows made from all events.
"""

from __future__ import annotations

import shutil

import numpy as np
import polars as pl
import pytest

from feature_repo.settings import DAY
from training.datasets.guard import MIN_CASES, FutureLeak, check_labels, check_times
from training.run import Calendar, ModelConfig, Run
from training.tasks import TASKS

MOMENT = pl.datetime(2025, 6, 1, time_zone="UTC", time_unit="us")
WIDEST = "shopper_with_messages"
"""The service that tells all that is known of a shopper."""
MOMENT_AT = 1_748_736_000_000_000


def row(**features):
    return pl.DataFrame({"user_id": ["ann"]} | {n: [v] for n, v in features.items()}).with_columns(
        event_timestamp=MOMENT
    )


class TestTimes:
    @pytest.mark.parametrize(
        ("name", "value"),
        [
            ("history_at", [MOMENT_AT - DAY, MOMENT_AT]),
            ("history_at", [MOMENT_AT + 1, MOMENT_AT - DAY]),
            ("last_purchase_at", MOMENT_AT),
            ("recency_days_purchase", 0.0),
            ("tenure_days", -0.5),
            ("age_days", -3.0),
        ],
    )
    def test_what_is_not_before_the_moment_is_refused_by_name(self, name, value):
        with pytest.raises(FutureLeak, match=f"'{name}' of user_id 'ann'"):
            check_times(row(**{name: value}), "user_id")

    def test_the_past_passes(self):
        check_times(
            row(
                history_at=[MOMENT_AT - DAY, MOMENT_AT - 1],
                last_purchase_at=MOMENT_AT - 1,
                recency_days_purchase=1e-9,
                mean_gap_days=-1.0,
            ),
            "user_id",
        )
        nothing = row(history_at=None, tenure_days=None)
        check_times(nothing.cast({"history_at": pl.List(pl.Int64)}), "user_id")


class TestLabels:
    def cases(self, num=4 * MIN_CASES):
        rng = np.random.default_rng(0)
        truth = (rng.random(num) < 0.5).astype(np.float32)
        honest = truth + rng.normal(size=num)
        return truth, honest

    @pytest.mark.parametrize("sign", [1, -1])
    def test_a_feature_that_tells_the_label_is_refused_by_name(self, sign):
        truth, honest = self.cases()
        values = np.stack([honest, sign * truth + 0.1 * honest], axis=1)
        with pytest.raises(FutureLeak, match="'num_next' alone tells 'leave_90d'"):
            check_labels(values.T, ["noise", "num_next"], truth[:, None], ["leave_90d"])

    def test_a_feature_that_is_missing_exactly_where_nobody_returns_is_refused(self):
        truth, honest = self.cases()
        values = np.where(truth == 1, np.nan, honest)[:, None]
        with pytest.raises(FutureLeak):
            check_labels(values.T, ["days_to_next"], truth[:, None], ["leave_90d"])

    def test_a_good_feature_is_no_leak_and_neither_are_a_few_cases(self):
        truth, honest = self.cases()
        check_labels([honest], ["honest"], truth[:, None], ["leave_90d"])
        few = truth[: MIN_CASES // 2, None]
        check_labels(few.T, ["chance"], few, ["leave_90d"])

    def test_rows_that_a_head_does_not_ask_about_do_not_count(self):
        truth, _ = self.cases()
        values = np.concatenate([truth, 1 - truth, 1 - truth])[:, None]
        unasked = np.full(2 * len(truth), np.nan, np.float32)
        labels = np.concatenate([truth, unasked])[:, None]
        with pytest.raises(FutureLeak):
            check_labels(values.T, ["num_next"], labels, ["head"])


def real_rows(spine, service, settings):
    from feature_repo.retrieval import point_in_time

    return point_in_time(spine, service, settings)


def num_next_orders(spine, events):
    """The planted feature: purchases in the thirty days after the moment."""
    bought = events.filter(pl.col("kind") == "purchase").select("user_id", "event_at")
    asked = spine.with_row_index().with_columns(pl.col("event_timestamp").cast(pl.Int64).alias("t"))
    ahead = asked.join(bought, on="user_id", how="left").with_columns(
        inside=(pl.col("event_at") >= pl.col("t")) & (pl.col("event_at") < pl.col("t") + 30 * DAY)
    )
    counts = ahead.group_by("index").agg(pl.col("inside").sum()).sort("index")
    return counts["inside"].cast(pl.Float64).alias("num_orders_next")


@pytest.fixture(scope="module")
def calendar(shop):
    return Calendar.from_span(*shop.warehouse.span())


@pytest.fixture(scope="module")
def make(shop, calendar):
    """Builds a dataset of the simulated shop with a given way to answer; gives its folder."""
    from training.datasets.rows import Reads, build

    versions = iter(range(100))

    def build_with(point_in_time):
        version = str(next(versions))
        reads = Reads(
            point_in_time=point_in_time,
            schema_hash=lambda services, settings: version,
            text_encoder=lambda name, seed: ("ones", lambda texts: np.ones((len(texts), 4), "f4")),
        )
        run = Run(name="tiny", model=ModelConfig(text_width=4))
        return build(run, calendar, TASKS, shop.settings, reads)

    return build_with


def test_the_real_features_pass_the_first_two_nets(make):
    from training.datasets.batches import Dataset

    dataset = Dataset(make(real_rows))
    assert min(dataset.meta["counts"].values()) > 0
    assert len(dataset.spec.user.names) > 20


def test_a_store_that_answers_as_of_a_later_moment_is_caught(make):
    def late(spine, service, settings):
        later = spine.with_columns(pl.col("event_timestamp") + pl.duration(days=7))
        found = real_rows(later, service, settings)
        return found.with_columns(spine["event_timestamp"])

    with pytest.raises(FutureLeak, match="not before the moment of asking"):
        make(late)


def test_a_window_opened_in_the_wrong_direction_is_caught(make, shop):
    events = shop.warehouse.events()

    def planted(spine, service, settings):
        found = real_rows(spine, service, settings)
        return found if service == "item" else found.with_columns(num_next_orders(spine, events))

    with pytest.raises(FutureLeak, match="'num_orders_next' alone tells"):
        make(planted)


@pytest.fixture
def cut_shop(shop, calendar, tmp_path):
    """The shop's feature files as a trainer of the cut would have built them; restored after."""
    from feature_repo.ingest import ingest
    from feature_repo.publish import rollup
    from feature_repo.settings import Settings
    from feature_repo.warehouse import Warehouse

    saved = tmp_path / "saved"
    shutil.copytree(shop.settings.offline_path, saved)
    young = Settings(home=shop.settings.home, warehouse_url=f"sqlite:///{tmp_path / 'young.db'}")
    warehouse = Warehouse(young.warehouse)
    warehouse.migrate()
    known = shop.warehouse.events(known_before=calendar.train_end)
    ingest(warehouse, known, source="cut", now=calendar.test_end)

    def cut() -> None:
        rollup(warehouse, young)

    yield cut
    shutil.rmtree(shop.settings.offline_path)
    shutil.copytree(saved, shop.settings.offline_path)


def differing(ours, theirs):
    """Names of the features that are not equal, cell by cell."""
    return {n for n in ours.columns if not ours[n].equals(theirs[n], null_equal=True)}


def test_features_before_the_cut_are_the_same_without_the_events_after_it(shop, calendar, cut_shop):
    from training.datasets import spine as spines
    from training.datasets.catalogue import item_spine

    events = shop.warehouse.events()
    rows = spines.build(TASKS, events, calendar, "train")
    users = rows.select("user_id", "event_timestamp").unique(maintain_order=True)
    ids = events["item_id"].drop_nulls().unique().sort().to_list()
    items = item_spine(ids, sorted(rows["week_at"].unique()))
    full = [real_rows(s, name, shop.settings) for s, name in ((users, WIDEST), (items, "item"))]
    cut_shop()
    cut = [real_rows(s, name, shop.settings) for s, name in ((users, WIDEST), (items, "item"))]
    assert [differing(*pair) for pair in zip(full, cut, strict=True)] == [set(), set()]
    # The same comparison finds the planted feature.
    known = spines.known_before(events, calendar.train_end)
    leaks = [num_next_orders(users, seen).to_frame() for seen in (events, known)]
    assert differing(*leaks) == {"num_orders_next"}
