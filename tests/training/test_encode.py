"""Encoding: one row gives what it gives among many, and what is unknown stays harmless."""

from __future__ import annotations

import json
import time

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from training.datasets.encode import EncodeSpec, encode_items, encode_user, encode_users
from training.datasets.normalise import CLIP, Normaliser

DAY = 86_400_000_000
NOW = 1_000 * DAY
SCALARS = ("recency_days_purchase", "num_orders")
SPEC = EncodeSpec(
    vocabulary=("cup", "lamp"),
    user=Normaliser(names=SCALARS, means=(1.0, 0.5), deviations=(2.0, 1.0)),
    item=Normaliser(names=("price",), means=(0.0,), deviations=(1.0,)),
    history_length=4,
)
HISTORY = {
    "history_at": pl.List(pl.Int64),
    "history_kind": pl.List(pl.Int64),
    "history_item": pl.List(pl.String),
    "history_quantity": pl.List(pl.Int64),
    "history_amount": pl.List(pl.Float64),
}
NUMBER = st.none() | st.floats(-1e6, 1e6)
BEHAVIOUR = st.tuples(
    st.integers(0, NOW - 1),
    st.integers(1, 10),
    st.sampled_from(["cup", "lamp", "moon", ""]),
    st.integers(-5, 50),
    st.floats(-1e4, 1e4),
)


def users(*rows):
    """A frame of (scalars, behaviours) rows."""
    plain = [
        dict(zip(SCALARS, scalars, strict=True))
        | {
            name: [behaviour[place] for behaviour in behaviours]
            for place, name in enumerate(HISTORY)
        }
        for scalars, behaviours in rows
    ]
    return pl.DataFrame(plain, schema={**dict.fromkeys(SCALARS, pl.Float64), **HISTORY})


ROWS = st.lists(
    st.tuples(st.tuples(NUMBER, NUMBER), st.lists(BEHAVIOUR, max_size=7)), min_size=1, max_size=6
)


@settings(deadline=None)
@given(ROWS)
def test_one_row_gives_the_same_arrays_as_among_many(rows):
    together = encode_users(users(*rows), NOW, SPEC)
    for place, row in enumerate(rows):
        alone = encode_users(users(row), NOW, SPEC)
        length = alone.kind_BL.shape[1]
        for name in ("item_BL", "kind_BL", "gap_BL", "quantity_BL", "amount_BL"):
            many = getattr(together, name)[place]
            assert np.array_equal(getattr(alone, name)[0], many[:length])
            assert (many[length:] == 0).all()
        assert alone.time_to_now_B[0] == together.time_to_now_B[place]
        assert np.array_equal(alone.scalars_BF[0], together.scalars_BF[place])
        plain = users(row).row(0, named=True)
        plain |= {name: value or [] for name, value in plain.items() if "history" in name}
        told = encode_user(plain, NOW, SPEC, SPEC.index)
        assert told.words_BL is alone.words_BL is None
        for name in set(told.__slots__) - {"words_BL"}:
            assert np.array_equal(getattr(told, name), getattr(alone, name)), name
            assert getattr(told, name).dtype == getattr(alone, name).dtype, name


@settings(deadline=None)
@given(ROWS)
def test_arrays_are_finite_and_padding_lies_on_the_right(rows):
    found = encode_users(users(*rows), NOW, SPEC)
    for name in ("gap_BL", "quantity_BL", "amount_BL", "time_to_now_B", "scalars_BF"):
        assert np.isfinite(getattr(found, name)).all()
        assert getattr(found, name).dtype == np.float32
    real = found.kind_BL > 0
    assert real.sum(axis=1).tolist() == [min(len(row[1]), 4) for row in rows]
    assert (np.diff(real.astype(int), axis=1) <= 0).all()


def test_a_history_is_read_as_it_stands():
    at = [NOW - 9 * DAY, NOW - 5 * DAY, NOW - DAY // 2]
    behaviours = [(at[0], 1, "cup", 0, 0.0), (at[1], 4, "moon", 3, 7.5), (at[2], 6, "", 0, 0.0)]
    found = encode_users(users(((None, 2.0), behaviours)), NOW, SPEC)
    assert found.item_BL.tolist() == [[1, 0, 0]]
    assert found.kind_BL.tolist() == [[1, 4, 6]]
    assert found.gap_BL.tolist() == [[0.0, 4.0, 4.5]]
    assert found.quantity_BL.tolist() == [[0.0, 3.0, 0.0]]
    assert found.amount_BL.tolist() == [[0.0, 7.5, 0.0]]
    assert found.time_to_now_B.tolist() == [0.5]
    assert found.scalars_BF[0].tolist() == pytest.approx([0.0, np.log(3) - 0.5, 1.0, 0.0])


def test_only_the_latest_behaviours_are_kept_and_the_first_of_them_has_no_gap():
    behaviours = [(day * DAY, 4, "lamp", day, 1.0) for day in range(1, 8)]
    found = encode_users(users(((0.0, 0.0), behaviours)), NOW, SPEC)
    assert found.quantity_BL.tolist() == [[4.0, 5.0, 6.0, 7.0]]
    assert found.gap_BL.tolist() == [[0.0, 1.0, 1.0, 1.0]]


def test_a_shopper_without_history_is_one_padded_position():
    found = encode_users(users(((None, None), [])), NOW, SPEC)
    assert found.kind_BL.tolist() == [[0]]
    assert found.time_to_now_B.tolist() == [0.0]
    assert found.scalars_BF.tolist() == [[0.0, 0.0, 1.0, 1.0]]


def test_null_lists_are_empty_histories():
    frame = users(((1.0, 1.0), []), ((1.0, 1.0), [(NOW - DAY, 4, "cup", 1, 1.0)]))
    nulls = frame.with_columns(
        pl.when(pl.col(name).list.len() > 0).then(pl.col(name)) for name in HISTORY
    )
    for rows in (nulls, nulls.head(1)):
        found, same = (encode_users(f, NOW, SPEC) for f in (rows, frame.head(len(rows))))
        assert np.array_equal(found.item_BL, same.item_BL)


def test_each_row_can_have_its_own_moment_and_items_another_numbering():
    behaviours = [(NOW - 2 * DAY, 4, "moon", 1, 1.0)]
    frame = users(((0.0, 0.0), behaviours), ((0.0, 0.0), behaviours))
    found = encode_users(frame, np.array([NOW, NOW + DAY]), SPEC, index={"moon": 17})
    assert found.time_to_now_B.tolist() == [2.0, 3.0]
    assert found.item_BL.tolist() == [[17], [17]]


def test_items_carry_index_existence_text_and_scalars():
    frame = pl.DataFrame(
        {"item_id": ["lamp", "moon", "cup"], "price": [0.0, 1.0, None], "text": ["a", None, ""]},
        schema={"item_id": pl.String, "price": pl.Float64, "text": pl.String},
    )
    found = encode_items(frame, SPEC)
    assert found.index_I.tolist() == [2, 0, 1]
    assert found.exists_I.tolist() == [True, True, False]
    assert found.text == ("a", "", "")
    assert found.scalars_IS.tolist() == [[0.0, 0.0], [pytest.approx(np.log(2)), 0.0], [0.0, 1.0]]


VALUES = arrays.arrays(
    np.float64,
    st.tuples(st.integers(2, 30), st.just(3)),
    elements=st.floats(-1e6, 1e6) | st.just(np.nan),
)


@given(VALUES)
def test_a_fitted_normaliser_centres_what_is_known_and_flags_what_is_not(values):
    normaliser = Normaliser.fit(("a", "b", "c"), values.T)
    found = normaliser.apply(values)
    assert np.isfinite(found).all()
    assert (np.abs(found[:, :3]) <= CLIP).all()
    assert np.array_equal(found[:, 3:] == 1, np.isnan(values))
    assert normaliser.output_names[3:] == ("a_missing", "b_missing", "c_missing")
    if not np.isnan(values).any() and (np.abs(found[:, :3]) < CLIP).all():
        assert np.allclose(found[:, :3].mean(axis=0), 0.0, atol=1e-3)


def test_a_spec_survives_json():
    assert EncodeSpec.from_dict(json.loads(json.dumps(SPEC.to_dict()))) == SPEC


def test_a_history_length_of_nothing_is_refused():
    with pytest.raises(ValueError, match="history_length is 0"):
        EncodeSpec.from_dict(SPEC.to_dict() | {"history_length": 0})


def test_encoding_one_shopper_with_a_full_history_takes_less_than_a_millisecond():
    rng = np.random.default_rng(0)
    behaviours = [(int(at), 4, "cup", 1, 2.0) for at in np.sort(rng.integers(0, NOW, 200))]
    names = tuple(f"feature_{number}" for number in range(42))
    frame = users(((1.0, 2.0), behaviours)).with_columns(pl.lit(1.0).alias(n) for n in names)
    spec = EncodeSpec(
        vocabulary=SPEC.vocabulary,
        user=Normaliser.fit(names, rng.normal(size=(42, 9))),
        item=SPEC.item,
        history_length=200,
    )
    took = []
    for _ in range(50):
        started = time.thread_time()
        encode_users(frame, NOW, spec)
        took.append(time.thread_time() - started)
    assert min(took) < 1e-3
