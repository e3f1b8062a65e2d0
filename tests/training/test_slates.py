"""Lists drawn by Plackett-Luce: their chances are exact, and what is learnt from them is right."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.metrics.offpolicy import slates
from training.policies.clicks import SlateLog, evaluate, examination, learn
from training.policies.slate import Slate, logits_of, standardised

SCORES = np.array([2.0, 1.5, 1.4, 0.3, -0.2])
NAMES = tuple("abcde")
LOOKS = np.array([1.0, 0.6, 0.4])
APPEALS = np.array([0.5, 0.1, 0.4, 0.3, 0.05])
LISTS = st.lists(st.floats(-6, 6), min_size=1, max_size=7)


def rng(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def drawn(slate: Slate, n: int, num: int = 3, seed: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Orders (n, N) and chances (n, N)."""
    source = rng(seed)
    made = [slate.draw(SCORES, NAMES, num, source) for _ in range(n)]
    return np.array([one[0] for one in made]), np.array([one[1] for one in made])


def clicked(slate: Slate, n: int, seed: int = 1) -> SlateLog:
    """Lists of three with clicks by looks and appeals."""
    order, chances = drawn(slate, n, 3, seed)
    rewards = rng(seed + 1).random((n, 3)) < LOOKS * APPEALS[order[:, :3]]
    return SlateLog(
        items=np.array(NAMES)[order],
        scores=SCORES[order],
        chances=chances,
        num_shown=np.full(n, 3),
        rewards=rewards.astype(float),
    )


def known_value(slate: Slate) -> float:
    """Expected clicks of one list."""
    u = slate.logits(SCORES, NAMES)[None]
    at = slates.places(u, 3) if slate.temperature else slates.fixed_places(u, 3)
    return float((at[0] * APPEALS[:, None] * LOOKS).sum())


def by_all_orders(u: np.ndarray, num: int) -> np.ndarray:
    """The chances of places by adding up every order."""
    found = np.zeros((len(u), num))
    for order in permutations(range(len(u)), num):
        chance, left = 1.0, np.exp(u).sum()
        for item in order:
            chance *= np.exp(u[item]) / left
            left -= np.exp(u[item])
        for place, item in enumerate(order):
            found[item, place] += chance
    return found


@settings(max_examples=25, deadline=None)
@given(LISTS, st.integers(1, 4))
def test_chances_of_places_are_those_of_all_orders_added_up(u, num):
    logits, num = np.array(u), min(num, len(u))
    assert np.allclose(slates.places(logits[None], num)[0], by_all_orders(logits, num), atol=1e-6)


@given(LISTS, st.integers(1, 7), st.sampled_from([0.0, 0.01, 0.2, 1.0, 3.0]), st.integers(0, 9))
def test_a_list_holds_each_candidate_once_and_tells_the_odds_of_all(scores, num, t, seed):
    slate, names = Slate(temperature=t), [str(i) for i in range(len(scores))]
    values = np.array(scores)
    order, chances = slate.draw(values, names, num, rng(seed))
    assert sorted(order.tolist()) == list(range(len(scores)))
    assert ((chances >= 0) & (chances <= 1 + 1e-12)).all()
    if t > 0.5:
        found = logits_of(chances[None], np.array([min(num, len(scores))]))[0]
        odds = slate.logits(values, names)[order]
        assert np.allclose(np.exp(found), np.exp(odds) / np.exp(odds).sum(), atol=1e-9)


def test_lists_come_as_often_as_their_logged_chances_say():
    slate = Slate(temperature=0.7)
    order, chances = drawn(slate, 40_000)
    told: dict[tuple, float] = {}
    counts: dict[tuple, int] = {}
    for items, chance in zip(order[:, :3].tolist(), chances[:, :3], strict=True):
        told[tuple(items)] = float(chance.prod())
        counts[tuple(items)] = counts.get(tuple(items), 0) + 1
    assert sum(told.values()) == pytest.approx(1.0, abs=1e-3)
    for items, chance in told.items():
        error = np.sqrt(chance * (1 - chance) / 40_000)
        assert abs(counts[items] / 40_000 - chance) < 5 * error + 1e-9
    at = slates.places(slate.logits(SCORES, NAMES)[None], 3)[0]
    often = np.array(
        [[(order[:, place] == item).mean() for place in range(3)] for item in range(5)]
    )
    assert np.allclose(often, at, atol=0.012)


def test_the_same_randomness_gives_the_same_list_and_no_temperature_the_best_one():
    slate = Slate(temperature=0.5)
    assert np.array_equal(*(slate.draw(SCORES, NAMES, 3, rng(4))[0] for _ in range(2)))
    order, chances = Slate(temperature=0).draw(SCORES[::-1], NAMES, 3, rng())
    assert order.tolist() == [4, 3, 2, 1, 0]
    assert chances.tolist() == [1, 1, 1, 0, 0]


def test_a_temperature_means_the_same_for_every_scale_of_scores():
    assert np.allclose(standardised(SCORES), standardised(1000 * SCORES + 7))
    assert not standardised(np.full(3, 2.0)).any()


def test_places_are_told_from_items():
    found = examination(clicked(Slate(temperature=1.0), 40_000))
    assert np.allclose(found, LOOKS, atol=0.05)


def test_a_better_order_is_learnt_and_known_to_be_better():
    log = clicked(Slate(temperature=1.0), 20_000)
    greedy = Slate(temperature=0)
    learnt = learn(log, greedy)
    best = sorted(NAMES, key=lambda name: -APPEALS[NAMES.index(name)])
    order, _ = learnt.draw(SCORES, NAMES, 3, rng())
    assert [NAMES[i] for i in order[:3]] == best[:3]
    assert known_value(learnt) > known_value(greedy)
    judged = clicked(Slate(temperature=1.0), 20_000, seed=5)
    for target in (learnt, greedy, replace(learnt, temperature=0.5)):
        found = evaluate(judged, target)
        assert not found.refusals["iips"]
        for name, one in found.estimates.items():
            assert not found.refusals[name]
            assert abs(one.value - known_value(target)) < 4 * one.error
    ahead = slates.lead(
        *(evaluate(judged, t).estimates["iips"].influence for t in (learnt, greedy))
    )
    assert ahead.low > 0


def test_an_order_that_was_hardly_shown_is_refused():
    log = clicked(Slate(temperature=0.05), 500)
    wanted = Slate(temperature=0, slope=-1.0)
    assert "at a higher temperature" in evaluate(log, wanted).refusals["iips"]


def test_short_lists_count_for_the_places_they_have():
    log = clicked(Slate(temperature=1.0), 400)
    short = np.arange(400) < 100
    items, scores, chances = log.items.copy(), log.scores.copy(), log.chances.copy()
    items[short, 2:], scores[short, 2:], chances[short, 2:] = "", -np.inf, 0.0
    chances[short, 1] = 1.0
    rewards = log.rewards * ~(short[:, None] & (np.arange(3) == 2))
    num = np.where(short, 2, 3)
    cut = SlateLog(items=items, scores=scores, chances=chances, num_shown=num, rewards=rewards)
    found = evaluate(cut, learn(cut, Slate(temperature=0.5)))
    assert all(np.isfinite(one.value) for one in found.estimates.values())
    assert "" not in learn(cut, Slate()).appeals


def test_a_slate_survives_a_bundle():
    slate = learn(clicked(Slate(temperature=1.0), 500), Slate(temperature=0.2))
    assert Slate.from_dict(json.loads(json.dumps(slate.to_dict()))) == slate


@pytest.mark.parametrize("wrong", [{"temperature": -1.0}, {"num_candidates": 0}])
def test_wrong_settings_are_refused_by_name(wrong):
    with pytest.raises(ValueError, match=next(iter(wrong))):
        Slate(**wrong)
