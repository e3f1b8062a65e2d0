"""A user's own sequences: a known rule is found, floors know no more than models, all is told."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from tests.training.groups import GROUPS, items, table
from training.__main__ import app
from training.benchmarks import contents, next_item, next_item_page, ranked, sequences, trained
from training.benchmarks.answers import Question
from training.benchmarks.sequence_floors import (
    ContentNeighbours,
    CoOccurrence,
    NewItems,
    Popularity,
    known,
)
from training.datasets.sequences import write

TOLD = ["--items", "items.csv", "--attribute", "brand"]
EDGES = ["--edges", "edges.csv"]


def encode(texts):
    """A text encoder that knows the word of the group, and little else."""
    rng = np.random.default_rng(3)
    direction = {group: rng.normal(size=12) for group in GROUPS}
    vectors = np.array([direction[t.split()[0]] + 0.1 * rng.normal(size=12) for t in texts])
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def read(tmp_path: Path, frame: pl.DataFrame | None = None, told: pl.DataFrame | None = None,
         **columns) -> sequences.Table:  # fmt: skip
    path, beside = tmp_path / "own.parquet", tmp_path / "items.parquet"
    (table() if frame is None else frame).write_parquet(path)
    (items() if told is None else told).write_parquet(beside)
    sources = contents.Sources(items=beside, text="title", attributes=("kinds", "brand"))
    return sequences.read(path, sequences.Columns(**columns), sources, width=8,
                          cache=tmp_path / "cache", encoder=("words", encode))  # fmt: skip


def dataset(tmp_path: Path, **more):
    made = read(tmp_path)
    return write(tmp_path / "data", made.sequences, made.things, longest=50, **more)


def run(*options: object) -> str:
    found = CliRunner().invoke(app, ["benchmark", "next_item", *map(str, options)],
                               env={"COLUMNS": "300"})  # fmt: skip
    text = " ".join(re.sub("[│╭╰─╮╯]", " ", found.output).split())
    return text if found.exit_code == 0 else f"FAILED {text} {found.exception!r}"


def test_lists_and_single_rows_are_the_same_sequences(tmp_path):
    lists = read(tmp_path).sequences
    single = table().explode("item_ids").with_row_index("place")
    mixed = single.sample(fraction=1.0, shuffle=True, seed=1).sort("user_id", maintain_order=True)
    rows = read(tmp_path, mixed, order="place").sequences
    assert (rows.item == lists.item).all()
    assert (rows.offsets == lists.offsets).all()
    assert (rows.user == lists.user).all()


def test_short_sequences_are_left_out_and_told(tmp_path):
    short = table().with_columns(
        pl.when(pl.col("user_id") < 5)
        .then(pl.col("item_ids").list.head(3))
        .otherwise(pl.col("item_ids"))
        .alias("item_ids")
    )
    made = read(tmp_path, short)
    assert len(made.sequences) == 155
    assert made.notes == ("5 of 160 shoppers had under 4 items: left out.",)


def test_attributes_are_words_that_items_share(tmp_path):
    things = read(tmp_path).things
    sizes = {len(own) for own in things.attributes}
    assert sizes == {2, 3}  # the kinds; the brand, where it is known
    assert len({a for own in things.attributes for a in own}) == 5


def test_texts_are_read_word_by_word(tmp_path):
    told = pl.DataFrame(
        {
            "item_id": [1, 2, 3, 4],
            "title": ["Red nail-lacquer, 0.5 oz", "red Lacquer red", None, "红色 Nail"],
            "note": ["红", "Red", "", None],
        }
    )
    told.write_parquet(tmp_path / "items.parquet")
    sources = contents.Sources(items=tmp_path / "items.parquet", words=("title", "note"))
    ids = pl.Series(["1", "2", "3", "4"])
    own = contents.told(ids, sources, width=8, cache=tmp_path).attributes
    # "red", "nail" and "lacquer" of two titles each; a note's "red" is another word, and alone.
    assert [len(one) for one in own] == [3, 2, 0, 1]
    assert set(own[1]) | set(own[3]) == set(own[0]) == {1, 2, 3}
    assert not set(own[1]) & set(own[3])


def test_whitened_vectors_have_their_length_and_are_nothing_without_text():
    texts = ["a", "", *"bcdefghij"]
    vectors = np.random.default_rng(0).normal(size=(len(texts), 6)).astype(np.float32)
    found = contents.whitened(vectors, np.array([bool(text) for text in texts]), 4)
    assert found.shape == (len(texts), 4)
    assert not found[1].any()
    square = (found[[0, *range(2, 11)]] ** 2).sum(axis=1).mean()
    assert square == pytest.approx(contents.LENGTH**2, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"frame": table().head(9)}, "holds 9 shoppers with 4 items or more"),
        ({"frame": pl.concat([table(), table()])}, "names 160 shoppers more than once"),
        ({"told": items().with_columns(pl.col("item_id") + 1000)}, "knows none of the 36 items"),
        ({"item": "things"}, "has no column 'things'"),
    ],
)
def test_what_cannot_be_read_is_refused_in_words(tmp_path, change, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, **change)


def test_floors_are_fitted_on_the_training_part_alone(tmp_path):
    made = dataset(tmp_path)
    item, after = known(made)
    own = read(tmp_path).sequences.without_last(2)
    named = [made.item_ids[i] for i in item]
    assert named == [read(tmp_path).things.ids[i] for i in own.item]
    assert (after == own.places_from_end()).all()


def test_co_occurrence_equals_a_slow_count(tmp_path):
    made = dataset(tmp_path)
    floor, rows = CoOccurrence(), np.arange(5)
    floor.fit(made)
    num = made.meta["num_items"]
    count, item, after = np.zeros((num, num)), *known(made)
    for i in range(len(item)):
        for d in range(1, after[i] + 1):
            count[item[i], item[i + d]] += d**-0.5
            count[item[i + d], item[i]] += 0.5 * d**-0.5
    out, into = count.sum(axis=1, keepdims=True), count.sum(axis=0, keepdims=True)
    share = count / np.maximum(out, 1e-9) ** 0.7 / np.maximum(into, 1e-9) ** 0.3
    history = made.examples("test").history
    for row, found in enumerate(floor.scores(made, "test", rows)):
        own = history.item[history.offsets[row] : history.offsets[row + 1]][::-1]
        expected = sum(share[i] / k for k, i in enumerate(own, 1))
        np.testing.assert_allclose(found, expected, atol=2e-6)


def test_neighbours_by_content_are_of_the_same_group(tmp_path):
    made, floor = dataset(tmp_path), ContentNeighbours()
    floor.fit(made)
    found = ranked.rank(made, "test", lambda rows: floor.scores(made, "test", rows),
                        keeps_seen=False)  # fmt: skip
    target = made.examples("test").targets(np.arange(160))[0]
    group = np.array([-1, *(int(i) % 3 for i in made.item_ids[1:])])
    assert (group[found.top[:, 0]] == group[target]).mean() > 0.95


def test_ties_count_against_and_seen_items_stand_last(tmp_path):
    made = dataset(tmp_path)
    flat = ranked.rank(made, "test", lambda rows: np.zeros((len(rows), 37)), keeps_seen=True)
    assert (flat.rank == 36).all()
    history = made.examples("test").history
    tops = ranked.rank(made, "test", lambda rows: np.zeros((len(rows), 37)), keeps_seen=False).top
    for row in range(160):
        assert not set(tops[row]) & set(history.item[slice(*history.offsets[row : row + 2])])


def test_lists_for_everybody_alike_cover_little_and_are_no_news(tmp_path):
    made = dataset(tmp_path)
    same = Popularity()
    same.fit(made)
    alike = ranked.rank(made, "test", lambda r: same.scores(made, "test", r), keeps_seen=True)
    rng = np.random.default_rng(0)
    drawn = ranked.rank(made, "test", lambda r: rng.random((len(r), 37)), keeps_seen=True)
    assert ranked.coverage(alike, made) == pytest.approx(10 / 36)
    assert ranked.coverage(drawn, made) == 1.0
    assert ranked.novelty(alike, made) < ranked.novelty(drawn, made)
    assert 0.0 < ranked.diversity(drawn, made) <= 1.0


def test_groups_hold_every_shopper_once(tmp_path):
    made = dataset(tmp_path)
    for by in (ranked.by_popularity, ranked.by_length):
        rows = np.concatenate([rows for _, rows in by(made, "test")])
        assert sorted(rows) == list(range(160))


def test_a_known_rule_is_found_and_told_beside_the_floors(tmp_path):
    question = Question(size="tiny", num_epochs=3, asks_cold=True)
    found = next_item.next_item(read(tmp_path), question, tmp_path / "work", lambda _: None)
    by_name = {answer.name: answer for answer in found.answers}
    assert list(by_name) == ["popularity", "co_occurrence", "content_neighbours", "ids",
                             "ids + rules", "content", "content + rules"]  # fmt: skip
    assert by_name["content"].ndcg[0] > by_name["popularity"].ndcg[0] + 0.1
    (asked,) = found.cold
    cold = {answer.name: answer.ranked[0].hit[asked.is_cold] for answer in asked.answers}
    assert cold["content"].mean() > cold["co_occurrence"].mean()
    assert cold["content + rules, new items ahead"].mean() >= cold["content + rules"].mean()
    page = next_item_page.page(found, question)
    assert "seen items excluded" in page
    assert page.count("<svg") == 3


class Alike(trained.Trained):
    """What is like what a shopper had, in place of a network."""

    def score(self, split):
        rule = ContentNeighbours()
        rule.fit(self.dataset)
        return lambda rows: rule.scores(self.dataset, split, rows)


class Liking:
    """A network that gains from two parts of one rule, and from none of another."""

    def ranks_with(self, added, rule, split, keeps_seen):
        assert (added, split) == ((), "valid")
        weights = np.array(trained.WEIGHTS)
        by_weight = weights if rule.name == "new_items" else np.abs(weights - 2.0)
        return np.stack([1 + by_weight, 2 + by_weight])


def test_validation_weighs_the_rules_beside_a_network_and_leaves_out_the_useless():
    added = trained.best_added(Liking(), (NewItems(), Popularity()), False)
    assert [(rule.name, weight) for rule, weight in added] == [("popularity", 2.0)]


def test_a_weight_is_chosen_by_what_its_ranks_are_worth():
    class Torn(Liking):
        """Two of the first place and none, or three of the tenth."""

        def ranks_with(self, added, rule, split, keeps_seen):
            ranks = np.full((3, len(trained.WEIGHTS)), 11)
            ranks[:2, 1], ranks[:, 2] = 1, 10
            return ranks

    for worth, weight in ((ranked.ndcg, trained.WEIGHTS[1]), (ranked.hit, trained.WEIGHTS[2])):
        ((_, chosen),) = trained.best_added(Torn(), (Popularity(),), False, worth)
        assert chosen == weight


@pytest.mark.parametrize("keeps_seen", [False, True])
def test_ranks_of_all_weights_are_those_of_each(tmp_path, keeps_seen):
    made = dataset(tmp_path)
    alike, rule = Alike(None, made, 0.0), Popularity()
    rule.fit(made)
    ranks = alike.ranks_with((), rule, "valid", keeps_seen)
    for number, weight in enumerate(trained.WEIGHTS):
        alone = alike.rank(((rule, weight),), "valid", keeps_seen)
        assert (ranks[:, number] == alone.rank).mean() > 0.99, "float32 has a tie more at times"


@pytest.mark.parametrize("keeps_seen", [False, True])
def test_the_longest_lead_is_the_one_that_costs_known_items_a_fiftieth(tmp_path, keeps_seen):
    is_held_out = np.random.default_rng(1).random(len(read(tmp_path).things.ids)) < 0.3
    made = dataset(tmp_path, held_out=is_held_out)
    alike = Alike(None, made, 0.0)
    rule = Popularity()
    rule.fit(made)
    added = ((rule, 0.5),)
    chosen = trained.longest_lead(alike, added, keeps_seen)
    target, _ = made.examples("valid").targets(np.arange(160))
    is_warm = target < made.meta["num_vocabulary"]

    def hits(lead):
        ahead = (*added, (NewItems(), lead))
        return alike.rank(ahead, "valid", keeps_seen).hit[is_warm].sum()

    after = trained.LEADS[trained.LEADS.index(chosen) + 1]
    assert 0 < chosen < trained.LEADS[-1]
    assert hits(chosen) >= 0.98 * hits(0.0) > hits(after)


def test_new_items_are_those_that_training_never_saw(tmp_path):
    made = dataset(tmp_path)
    scores = NewItems().scores(made, "test", np.arange(3))
    assert scores.shape == (3, made.meta["num_items"])
    assert scores[:, : made.meta["num_vocabulary"]].sum() == 0
    assert scores[:, made.meta["num_vocabulary"] :].all()


def test_the_command_prints_tables_and_writes_page_and_figures(tmp_path):
    table().write_parquet(tmp_path / "own.parquet")
    said = run(tmp_path / "own.parquet", "--size", "tiny", "--epochs", 1, "--seeds", 2, "--seen",
               "included", "--figures", tmp_path / "f.json",
               "--output", tmp_path / "p.html")  # fmt: skip
    assert "seen items included" in said
    assert "±" in said
    assert (tmp_path / "p.html").read_text().startswith("<!doctype html>")
    told = json.loads((tmp_path / "f.json").read_text())
    assert told["tables"]["Accuracy"]["rows"][0][0] == "popularity"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--inputs", "content"], "input 'content' needs something told of the items"),
        (["--inputs", "prices"], "there is no input 'prices'"),
        (["--seen", "twice"], "seen items are 'twice'"),
        (["--size", "huge"], "size is 'huge'"),
        (["--text", "title"], "column 'title' tells of items; give their file by --items"),
        (["--image", "photo"], "--image and --image-encoder belong together"),
        ([*TOLD, "--image", "photo", "--image-encoder", "x"], "has no column 'photo'"),
        ([*TOLD, *EDGES], "edges.csv holds the relations kind_of, and none is named"),
        ([*TOLD, *EDGES, "--relation", "like"], "edges.csv has no relation 'like'"),
        ([*TOLD, *EDGES, "--relation", "kind_of", "--edge-item", "code"], "has no column 'code'"),
        ([*TOLD, *EDGES, "--edge-columns", "from,kind"], "--edge-columns is 'from,kind'"),
        ([*TOLD, *EDGES, "--known-before", "soon"], "'--known-before' holds 'soon'"),
    ],
)
def test_what_cannot_be_asked_is_refused_in_words(tmp_path, monkeypatch, options, message):
    monkeypatch.chdir(tmp_path)
    items().drop("kinds").write_csv("items.csv")
    pl.DataFrame({"head": [1], "relation": ["kind_of"], "tail": ["cup"]}).write_csv("edges.csv")
    table().write_parquet(tmp_path / "own.parquet")
    said = run(tmp_path / "own.parquet", *options)
    assert said.startswith("FAILED")
    assert message in said


def test_a_run_has_the_seed_and_the_epochs_that_are_asked_for():
    from training.benchmarks.answers import run_of

    made = run_of(Question(num_epochs=3), 7, has_text=False)
    assert (made.seed, made.optim.num_epochs) == (7, 3)
    assert replace(made, seed=0).model.delta_scale > 0


def test_a_softmax_of_ids_that_nothing_tells_apart_begins_smoother():
    from training.benchmarks.answers import run_of

    alone = run_of(Question(), 0, has_text=False, ids_alone=True)
    told = run_of(Question(), 0, has_text=False)
    assert alone.model.temperature == 0.15 > told.model.temperature
    assert alone.optim.num_epochs < told.optim.num_epochs


def test_each_seed_keeps_items_of_its_own_from_its_training(tmp_path):
    question = Question(inputs=("content",), size="tiny", num_epochs=1, asks_cold=True,
                        seed=3, num_seeds=2)  # fmt: skip
    found = next_item.next_item(read(tmp_path), question, tmp_path / "work", lambda _: None)
    one, two = found.cold
    assert (one.is_cold != two.is_cold).any()
    _, rows = next_item_page.cold_rows(found.cold)
    [told] = [row for row in rows if row[0] == "content"]
    hits = [cold.answers[-3].ranked[0].hit for cold in found.cold]
    assert [cold.answers[-3].name for cold in found.cold] == ["content", "content"]
    new = np.array([hits[0][one.is_cold].mean(), hits[1][two.is_cold].mean()])
    assert told[1] == f"{new.mean():.4f} ± {new.std(ddof=1):.4f}"
