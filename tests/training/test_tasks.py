"""Which examples the tasks make of events, and how wrong they find an answer."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.events import EVENT_SCHEMA
from training.policies import Budgeted
from training.run import Calendar
from training.tasks import TASKS, Uplift
from training.tasks.horizons import hazards_taught

DAY = 86_400_000_000
CALENDAR = Calendar(train_end=200 * DAY, valid_end=230 * DAY, test_end=265 * DAY, horizon_days=30)


def event(kind, user, at_days, item=None, order=None, late_days=0.0, number=[0]):  # noqa: B006
    number[0] += 1
    at = round(at_days * DAY)
    row = dict.fromkeys(EVENT_SCHEMA)
    row |= {"event_id": f"e{number[0]}", "kind": kind, "user_id": user, "event_at": at}
    row |= {"received_at": at + round(late_days * DAY), "item_id": item, "order_id": order}
    return row


def frame(*rows):
    return pl.DataFrame(rows, schema=EVENT_SCHEMA)


def asked(task, rows, split):
    found = TASKS[task].examples(frame(*rows), CALENDAR, split)
    return [(r["user_id"], r["asked_at"] / DAY, r) for r in found.to_dicts()]


class TestNextItem:
    def test_an_order_is_one_example_at_its_first_line_with_its_distinct_items(self):
        rows = [
            event("view", "ann", 10, "cup"),
            event("purchase", "ann", 20.5, "cup", "o1"),
            event("purchase", "ann", 20, "lamp", "o1"),
            event("purchase", "ann", 20, "cup", "o1"),
        ]
        [(user, at, row)] = asked("next_item", rows, "train")
        assert (user, at, row["targets"], row["weight"]) == ("ann", 20, ["cup", "lamp"], 1.0)

    def test_a_first_behaviour_cannot_be_predicted(self):
        rows = [
            event("purchase", "ann", 20, "cup", "o1"),
            event("purchase", "ann", 20, "cup", "o2"),
        ]
        assert asked("next_item", rows, "train") == []

    def test_an_earlier_behaviour_counts_only_once_it_is_known(self):
        rows = [
            event("view", "ann", 10, "cup", late_days=11),
            event("purchase", "ann", 20, "cup", "o1"),
            event("purchase", "ann", 22, "cup", "o2"),
        ]
        assert [at for _, at, _ in asked("next_item", rows, "train")] == [22]

    @pytest.mark.parametrize(
        ("at", "split"), [(199.9, "train"), (200, "valid"), (229.9, "valid"), (230, "test")]
    )
    def test_an_order_belongs_to_the_split_of_its_moment(self, at, split):
        rows = [event("view", "ann", 1, "cup"), event("purchase", "ann", at, "cup", "o1")]
        assert [s for s in ("train", "valid", "test") if asked("next_item", rows, s)] == [split]

    def test_a_line_that_became_known_after_the_cut_teaches_nothing(self):
        rows = [
            event("view", "ann", 1, "cup"),
            event("purchase", "ann", 199, "cup", "o1"),
            event("purchase", "ann", 199, "lamp", "o1", late_days=2),
            event("purchase", "ann", 199.5, "lamp", "o2", late_days=1),
        ]
        [(_, at, row)] = asked("next_item", rows, "train")
        assert (at, row["targets"]) == (199, ["cup"])
        assert asked("next_item", rows, "valid") == []

    def test_orders_without_number_are_events_of_their_own(self):
        rows = [
            event("view", "ann", 1, "cup"),
            event("purchase", "ann", 5, "cup"),
            event("purchase", "ann", 6, "lamp"),
        ]
        assert [at for _, at, _ in asked("next_item", rows, "train")] == [5, 6]


class TestRetention:
    def test_snapshots_go_by_weeks_up_to_the_last_closed_window_and_ask_every_customer(self):
        rows = [
            event("purchase", "ann", 155, "cup", "o1"),
            event("view", "bob", 1, "cup"),
            event("purchase", "cyd", 163, "cup", "o2"),
        ]
        found = [(user, at) for user, at, _ in asked("retention", rows, "train")]
        assert found[:4] == [("ann", 156), ("ann", 163), ("ann", 170), ("cyd", 170)]
        assert found[4:] == [(user, at) for at in (177, 184) for user in ("ann", "cyd")]

    def test_a_window_that_is_open_at_the_cut_has_no_label_whatever_it_showed(self):
        rows = [event("purchase", "ann", 1, "cup"), event("purchase", "ann", 185, "cup")]
        known = {at: row for _, at, row in asked("retention", rows, "train") if at >= 170}
        windows = ("leave_30d", "leave_60d", "leave_90d")
        assert [[known[at][w] for w in windows] for at in (170, 177, 184)] == [
            [1.0, 0.0, 0.0],
            [0.0, 0.0, None],
            [0.0, None, None],
        ]

    @pytest.mark.parametrize(
        ("wait", "leaves", "buys_soon"), [(0, 0, 1), (9.99, 0, 1), (10, 0, 0), (30, 1, 0)]
    )
    def test_labels_say_whether_a_purchase_came_within_the_windows(self, wait, leaves, buys_soon):
        rows = [event("purchase", "ann", 1, "cup"), event("purchase", "ann", 200 + wait, "cup")]
        rows.append(event("view", "bob", 5, "cup"))
        [(_, at, row)] = asked("retention", rows, "valid")
        assert (at, row["leave_90d"], row["purchase_30d"]) == (200, leaves, buys_soon)

    def test_a_purchase_known_only_after_the_cut_is_not_in_the_label(self):
        rows = [
            event("purchase", "ann", 1, "cup"),
            event("purchase", "ann", 190, "cup", late_days=15),
        ]
        last = asked("retention", rows, "train")[-1]
        assert (last[1], last[2]["leave_30d"]) == (184, 1)

    def test_an_old_purchase_that_becomes_known_later_is_no_return(self):
        rows = [
            event("purchase", "ann", 1, "cup"),
            event("purchase", "ann", 199, "cup", late_days=5),
        ]
        [(_, _, row)] = asked("retention", rows, "valid")
        assert row["leave_90d"] == 1

    def test_no_label_window_passes_the_end_of_its_split(self):
        rows = [event("purchase", "ann", 1, "cup")]
        for split, end in (("train", 200), ("valid", 230), ("test", 265)):
            for _, at, row in asked("retention", rows, split):
                assert at + 10 <= end
                assert (row["leave_90d"] is None) == (at + 30 > end)

    def test_a_visit_is_any_look_and_unknown_before_the_shop_recorded_looks(self):
        rows = [event("purchase", "ann", 1, "cup"), event("view", "bob", 160, "cup")]
        rows += [event("search", "ann", 181)]
        known = {at: row["visit_30d"] for _, at, row in asked("retention", rows, "train")}
        assert (known[156], known[163], known[170], known[177]) == (None, 0.0, 0.0, 1.0)
        silent = [row for row in rows if row["kind"] == "purchase"]
        assert {row["visit_30d"] for _, _, row in asked("retention", silent, "train")} == {None}

    def test_returns_and_spend_are_those_of_the_whole_horizon(self):
        price = {"price_micros": 2_500_000, "quantity": 2}
        rows = [event("return", "bob", 1, "cup"), event("purchase", "ann", 2, "cup") | price]
        rows += [event("purchase", "ann", at, "cup") | price for at in (200, 229.9, 230)]
        rows += [event("return", "ann", 210, "cup") | price]
        [(_, _, row)] = asked("retention", rows, "valid")
        assert (row["spend_90d"], row["return_90d"]) == (10.0, 1.0)
        known = {at: row for _, at, row in asked("retention", rows, "train")}
        assert (known[170]["spend_90d"], known[177]["spend_90d"]) == (0.0, None)

    def test_a_shop_without_purchases_asks_nobody(self):
        assert asked("retention", [event("view", "ann", 1, "cup")], "train") == []
        assert asked("retention", [], "train") == []


class TestUplift:
    def asked(self, rows, split="train", **made):
        decisions = {"user_id": "ann", "asked_at": 20 * DAY, "action": "coupon", "propensity": 0.5}
        task = Uplift(pl.DataFrame([decisions | made]))
        return task.examples(frame(*rows), CALENDAR, split).to_dicts()

    def test_a_decision_teaches_the_heads_of_what_was_done_alone(self):
        rows = [event("view", "ann", 10, "cup"), event("purchase", "ann", 26.9, "cup", "o1")]
        [row] = self.asked(rows)
        assert (row["purchase_7d@coupon"], row["visit_7d@coupon"]) == (1.0, 1.0)
        others = [head for head in Uplift().heads if not head.endswith("@coupon")]
        assert all(row[head] is None for head in others)

    def test_what_comes_after_the_week_does_not_count_and_a_look_is_a_visit(self):
        rows = [event("view", "ann", 10, "cup"), event("purchase", "ann", 27, "cup", "o1")]
        assert self.asked(rows)[0]["visit_7d@coupon"] == 0.0
        seen = self.asked([*rows, event("view", "ann", 21, "cup")])[0]
        assert (seen["purchase_7d@coupon"], seen["visit_7d@coupon"]) == (0.0, 1.0)

    def test_rare_actions_weigh_more_but_not_without_end(self):
        rows = [event("view", "ann", 10, "cup")]
        weights = [self.asked(rows, propensity=p)[0]["weight"] for p in (0.5, 0.05, 0.001)]
        assert weights == pytest.approx([2 / 3, 20 / 3, 20 / 3])

    def test_a_window_closes_inside_its_split_and_the_shopper_was_known(self):
        rows = [event("view", "ann", 10, "cup")]
        assert self.asked(rows, asked_at=193 * DAY)
        assert not self.asked(rows, asked_at=193 * DAY + 1)
        assert self.asked(rows, "valid", asked_at=200 * DAY)
        assert not self.asked(rows, asked_at=10 * DAY)
        assert not self.asked(rows, action="letter")

    def test_leaving_is_told_once_four_weeks_are_over_and_a_spend_is_the_weeks(self):
        price = {"price_micros": 2_500_000, "quantity": 2}
        rows = [event("view", "ann", 10, "cup"), event("purchase", "ann", 26, "cup", "o1") | price]
        rows += [event("purchase", "ann", 27, "cup", "o2") | price]
        bought = self.asked(rows)[0]
        assert (bought["spend_7d@coupon"], bought["leave_28d@coupon"]) == (5.0, 0.0)
        silent = self.asked(rows[:1])[0]
        assert (silent["spend_7d@coupon"], silent["leave_28d@coupon"]) == (0.0, 1.0)
        assert self.asked(rows[:1], asked_at=172 * DAY)[0]["leave_28d@coupon"] == 1.0
        late = self.asked(rows[:1], asked_at=172 * DAY + 1)[0]
        assert (late["purchase_7d@coupon"], late["leave_28d@coupon"]) == (0.0, None)

    def test_an_expected_spend_is_the_chance_of_a_purchase_times_what_it_is_worth(self):
        import torch

        logits = torch.zeros(1, 12)
        logits[0, 9:] = torch.tensor([10.0, 20.0, 30.0]).log()
        answer = Uplift().answer(logits)[0]
        assert torch.allclose(answer[:9], torch.tensor(0.5))
        assert torch.allclose(answer[9:], torch.tensor([5.0, 10.0, 15.0]))
        label = torch.full((2, 12), torch.nan)
        label[:, 2], label[:, 11] = torch.tensor([0.0, 1.0]), torch.tensor([0.0, 8.0])
        taught = Uplift().taught(label)
        assert taught[:, 2].tolist() == [0.0, 1.0]
        assert taught[0, 11].isnan()
        assert taught[1, 11] == 8.0

    def test_other_decisions_are_another_fingerprint(self):
        made = [{"user_id": "ann", "asked_at": 1, "action": "coupon", "propensity": p}
                for p in (0.5, 0.4)]  # fmt: skip
        told = {Uplift(pl.DataFrame([one])).told for one in made}
        assert len(told) == 2
        assert Uplift().told == ""

    def test_training_begins_where_no_action_changes_anything(self):
        logits = Uplift().head(6)(torch.randn(4, 6)).detach()
        assert logits.shape == (4, 12)
        assert torch.equal(logits[:, 0], logits[:, 2])
        assert torch.equal(logits[:, 9], logits[:, 11])
        assert not torch.equal(logits[:, 0], logits[:, 3])

    def test_the_budgeted_policy_reads_these_heads(self):
        for outcome in ("purchase_7d", "leave_28d", "spend_7d"):
            assert set(Budgeted(outcome=outcome).needs) <= set(Uplift().heads)


class TestLosses:
    def batch(self, label):
        """Four examples, the first and third of another task."""
        import torch

        from training.models.batch import Batch, Output
        from training.models.softmax import Scores

        nothing, empty = torch.zeros(0, dtype=torch.int64), torch.zeros(4, 1)
        scores = Scores(
            vector_RW=empty,
            item_IW=empty,
            bias_I=torch.tensor([-math.inf, 1.0, 2.0, 0.5]),
            copy_C=torch.zeros(0),
            copy_row_C=nothing,
            copy_item_C=nothing,
        )
        batch = Batch(
            week=0,
            task_B=torch.tensor([0, 1, 0, 1]),
            shapes=((4, 1),),
            item_P=empty,
            kind_P=empty,
            gap_P=empty,
            quantity_P=empty,
            amount_P=empty,
            time_to_now_B=torch.zeros(4),
            scalars_BF=empty,
            target_T=torch.tensor([1, 3, 2]),
            target_row_T=torch.tensor([0, 0, 2]),
            label_BH=torch.tensor(label),
            weight_B=torch.ones(4),
        )
        return Output(
            scores=scores, logit_BH=torch.tensor([[9.0] * 6, [1.0, -2.0, 0.5, 0.2, -0.3, 4.0]] * 2)
        ), batch

    def test_an_order_weighs_the_same_whatever_its_number_of_items(self):
        output, batch = self.batch([[math.nan]] * 4)
        p = np.exp([1.0, 2.0, 0.5]) / np.exp([1.0, 2.0, 0.5]).sum()
        expected = (-(np.log(p[0]) + np.log(p[2])) / 2 - np.log(p[1])) / 2
        assert float(TASKS["next_item"].loss(output, batch)) == pytest.approx(expected, rel=1e-6)

    def test_the_loss_of_retention_is_the_likelihood_of_what_was_seen_of_each_wait(self):
        import torch

        nan = math.nan
        nobody, unknown = [nan] * 7, [nan] * 3
        second, open_ = [0.0, 0.0, 0.0, 1.0, *unknown], [nan, 0.0, nan, 1.0, *unknown]
        output, batch = self.batch([nobody, second, nobody, open_])
        survived = TASKS["retention"].answer(output.logit_BH[1:2])[0, [3, 2, 0]]
        bought_second = -torch.log(survived[0] - survived[1])
        not_in_the_first = -torch.log(survived[0])
        found = float(TASKS["retention"].loss(output, batch))
        assert found == pytest.approx(float(bought_second + not_in_the_first) / 2, rel=1e-5)

    def test_gradients_are_finite_where_nobody_was_asked(self):
        import torch

        label = [1.0, 0.0, 1.0, 1.0, 0.0, math.nan, 12.0]
        output, batch = self.batch([[math.nan] * 7, label] * 2)
        logit = output.logit_BH.clone().requires_grad_()
        loss = TASKS["retention"].loss(type(output)(scores=output.scores, logit_BH=logit), batch)
        loss.backward()
        assert torch.isfinite(logit.grad).all()
        assert (logit.grad[[0, 2]] == 0).all()


@settings(deadline=None)
@given(st.lists(st.tuples(*[st.floats(-50, 50)] * 6), min_size=1, max_size=5))
def test_horizons_never_contradict_each_other(logits):
    answers = TASKS["retention"].answer(torch.tensor(logits, dtype=torch.float32))
    found = dict(zip(TASKS["retention"].heads, answers.T, strict=True))
    assert (found["leave_30d"] >= found["leave_60d"]).all()
    assert (found["leave_60d"] >= found["leave_90d"]).all()
    torch.testing.assert_close(found["purchase_30d"], 1.0 - found["leave_30d"])
    assert ((answers[:, :-1] >= 0) & (answers[:, :-1] <= 1)).all()
    assert (found["spend_90d"] >= 0).all()


def test_hazards_are_taught_by_waits_alone_that_reached_their_interval():
    nan = math.nan
    survived = torch.tensor([[1.0, 1.0, 1.0], [1.0, 0.0, 0.0], [0.0, nan, nan], [1.0, nan, nan]])
    expected = [[0.0, 0.0, 0.0], [0.0, 1.0, nan], [1.0, nan, nan], [0.0, nan, nan]]
    found = hazards_taught(survived).tolist()
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("name", TASKS)
def test_a_task_names_one_label_column_and_one_logit_for_each_head(name):
    import torch

    task = TASKS[name]
    rows = [event("purchase", "ann", 1, "cup"), event("purchase", "ann", 190, "cup")]
    columns = task.examples(frame(*rows), CALENDAR, "train").columns
    told = task.heads or task.labels or ["targets"]
    assert set(columns) == {"user_id", "asked_at", "weight", *told}
    if task.heads:
        logits = task.head(5)(torch.zeros(3, 5))
        assert logits.shape == (3, len(task.logits))
        assert task.answer(logits).shape == (3, len(task.heads))
        assert task.taught(torch.zeros(3, len(task.heads))).shape == logits.shape


def test_metrics_of_a_perfect_answer_are_perfect():
    ranking = TASKS["next_item"].metrics(np.array([[-np.inf, 2.0, 1.0]]), [np.array([1])])
    assert ranking["recall@10"] == ranking["ndcg@10"] == 1.0
    labels = np.array([[1.0, 0.0] * 3 + [0.0], [0.0, 1.0] * 3 + [5.0]])
    perfect = TASKS["retention"].metrics(labels, labels)
    assert perfect["leave_90d/auc"] == perfect["spend_90d/gini"] == 1.0
    assert perfect["spend_90d/rmse"] == perfect["spend_90d/total_error"] == 0.0
