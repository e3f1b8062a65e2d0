"""The catalogue and the predictor, against arithmetic done by hand."""

from __future__ import annotations

import threading
import time

import numpy as np
import polars as pl
import pytest

from feature_repo.settings import DAY, SECOND, FixedClock
from serving.catalogue import Shelf, build
from serving.predictor import Predictor, best
from serving.texts import TextCache, Texts


@pytest.fixture
def catalogue(desk):
    return desk.parts.shelf.current


def test_a_score_is_user_times_item_plus_bias_plus_what_the_history_copies(desk, catalogue):
    row = desk.parts.read_user("ada", desk.clock.now())
    scores = desk.parts.predictor.score(row, desk.clock.now(), catalogue)
    places = [catalogue.index[item] for item in ("cup", "plate", "cup")]
    user = catalogue.vectors[places].mean(axis=0)
    expected = catalogue.vectors @ user + catalogue.biases
    for place in places:
        expected[place] += 0.5
    np.testing.assert_allclose(scores.items[1:], expected[1:], rtol=1e-5)
    assert scores.items[0] == -np.inf
    assert scores.history.tolist() == places


def test_an_item_that_does_not_exist_yet_is_never_the_best(desk, predictor):
    frame = pl.DataFrame(
        {"item_id": ["ghost", "real"], "text": [None, "a red cup"]}
        | {name: [None, 1.0] for name in predictor.spec.item.names},
        schema_overrides=dict.fromkeys(predictor.spec.item.names, pl.Float64) | {"text": pl.String},
    )
    catalogue = build(frame, predictor.spec, predictor, 0)
    assert len(catalogue) == 1
    scores = predictor.score(desk.parts.read_user("ada", 1), 1, catalogue)
    assert [catalogue.item_ids[row] for row in best(scores.items, 5)] == ["real"]


def test_a_new_items_vector_comes_from_its_text_alone(desk, catalogue):
    vector = desk.parts.predictor.text_vectors(["a new vase"])
    projection = catalogue.vectors[catalogue.index["vase"]]
    again, _ = desk.parts.predictor.item_vectors(
        vector, np.array([0]), np.zeros((1, 2 * len(desk.parts.predictor.spec.item.names)), "f4")
    )
    np.testing.assert_allclose(again[0], projection, rtol=1e-5)


def test_the_model_is_told_categories_by_its_own_numbers(desk, catalogue):
    told = {item: int(catalogue.category[row]) for item, row in catalogue.index.items()}
    assert (told["cup"], told["lamp"], told["plate"], told["vase"]) == (1, 0, 2, 0)
    assert catalogue.category[0] == 0


def test_texts_are_encoded_once_ever(model, tmp_path, monkeypatch):
    first = Predictor(model, tmp_path)
    vectors = first.text_vectors(["a red cup", "", "a blue lamp", "a red cup"])
    assert not vectors[1].any()
    np.testing.assert_array_equal(vectors[0], vectors[3])
    second = Predictor(model, tmp_path)
    monkeypatch.setattr(Texts, "encode", lambda _, texts: pytest.fail(f"encoded {texts} again"))
    np.testing.assert_array_equal(second.text_vectors(["a blue lamp", "a red cup"])[1], vectors[0])


def test_a_text_alone_and_among_longer_ones_gives_one_vector(model, tmp_path):
    alone = Predictor(model, tmp_path / "a").text_vectors(["a red cup"])
    among = Predictor(model, tmp_path / "b").text_vectors(["a red cup", "a new green lamp a cup"])
    np.testing.assert_allclose(alone[0], among[0], rtol=1e-6)


def test_promoting_takes_over_the_vectors_that_training_made(model, tmp_path):
    (tmp_path / "texts.json").write_text('["a cup of training"]')
    np.save(tmp_path / "text_vectors.npy", np.full((1, 6), 7.0, np.float32))
    assert TextCache(tmp_path / "cache", model).seed(tmp_path) == 1
    found = Predictor(model, tmp_path / "cache").text_vectors(["a cup of training"])
    np.testing.assert_array_equal(found, np.full((1, 6), 7.0))


def test_a_policy_bundle_is_no_model(tmp_path):
    from serving.promote import save_policy
    from training.policies import Threshold

    policy = save_policy(tmp_path / "policy", Threshold(), 0)
    with pytest.raises(ValueError, match="of kind 'policy'; give one of kind 'model'"):
        Predictor(policy, tmp_path)


def test_best_orders_by_score_then_row_and_leaves_out_what_is_barred():
    scores = np.array([-np.inf, 1.0, 3.0, 3.0, -np.inf, 2.0], np.float32)
    assert best(scores, 10).tolist() == [2, 3, 5, 1]
    assert best(scores, 2).tolist() == [2, 3]


def test_a_new_day_brings_a_new_catalogue_in_the_background(catalogue):
    clock = FixedClock(10 * DAY + 5)
    made: list[int] = []
    late: list[float] = []
    shelf = Shelf(
        lambda as_of: made.append(as_of) or catalogue_of(catalogue, as_of), clock, 0.01, late.append
    )
    assert shelf.late_s() == 0.0
    shelf.start()
    while not late:
        time.sleep(0.001)
    clock.moment = 11 * DAY + 3 * SECOND
    for _ in range(500):
        if shelf.current.as_of == 11 * DAY:
            break
        time.sleep(0.01)
    shelf.stop()
    assert made == [10 * DAY, 11 * DAY]
    assert set(late) == {0.0, 3.0}
    assert shelf.late_s() == 0.0
    assert not any(thread.name == "catalogue" for thread in threading.enumerate())


def test_a_failed_renewal_keeps_yesterdays_catalogue_and_answers_say_so(client, desk, caplog):
    shelf = desk.parts.shelf
    yesterday = shelf.current

    def fail(as_of: int):
        raise OSError("no items")

    shelf._make = fail
    desk.clock.moment += DAY
    with pytest.raises(OSError, match="no items"):
        shelf.refresh()
    assert shelf.current is yesterday
    answer = client.post("/recommend", json={"user_id": "ada"}).json()
    assert answer["stale"] == ["catalogue"]
    assert any("earlier day" in notice for notice in answer["notices"])


def test_an_old_model_is_called_stale(client, desk):
    desk.clock.moment += 61 * DAY
    desk.parts.shelf.refresh()
    answer = client.post("/predict", json={"user_id": "ada"}).json()
    assert answer["stale"] == ["model"]


def catalogue_of(catalogue, as_of: int):
    from dataclasses import fields, replace

    assert {field.name for field in fields(catalogue)} >= {"as_of"}
    return replace(catalogue, as_of=as_of)
