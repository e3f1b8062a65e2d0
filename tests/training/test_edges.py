"""The graph of items: what an item is joined to finds its buyers, and only what is named counts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from tests.training.groups import GROUPS, NUM_ITEMS, items, table
from training.benchmarks import next_item, sequences
from training.benchmarks.answers import Question
from training.benchmarks.contents import Sources, told
from training.benchmarks.edges import Edges, adjacency, neighbours


def written(folder: Path, rows: list[tuple], *more: str) -> Path:
    path = folder / "edges.parquet"
    names = ["head", "relation", "tail", *more]
    pl.DataFrame(rows, names, orient="row").write_parquet(path)
    return path


def shelves(of=lambda number: GROUPS[number % len(GROUPS)]) -> list[tuple[str, str, str]]:
    """Each item of the table stands on the shelf of its group; edges call items by a code."""
    return [(f"code-{number}", "stands_on", of(number)) for number in range(NUM_ITEMS)]


def test_edges_join_both_ways_and_things_of_two_relations_are_two(tmp_path):
    path = written(tmp_path, [
        ("a", "by", "T"), ("b", "by", "T"), ("T", "sold_as", "a"), ("a", "with", "b"),
        ("b", "with", "a"), ("q", "by", "T"), ("b", "later", "c"),
    ])  # fmt: skip
    joined = adjacency(
        pl.Series(["a", "b", None, "c"]), Edges(path=path, relations=("by", "sold_as", "with"))
    ).toarray()
    assert (joined == joined.T).all()
    assert joined.max() == 1.0
    assert [sorted(np.flatnonzero(row)) for row in joined[:4]] == [[1, 4, 5], [0, 4], [], []]


def test_neighbours_equal_a_slow_walk(tmp_path):
    rng = np.random.default_rng(0)
    rows = [(f"i{h}", "r", f"i{t}" if t < 6 else f"thing-{t}")
            for h, t in zip(rng.integers(6, size=14), rng.integers(10, size=14), strict=True)
            if h != t]  # fmt: skip
    names = pl.Series([f"i{number}" for number in range(6)])
    joined = adjacency(names, Edges(path=written(tmp_path, rows), relations=("r",)))
    vectors = rng.normal(size=(6, 3)).astype(np.float32)
    full, degree = joined.toarray(), joined.toarray().sum(axis=1)
    start = np.zeros((len(full), 3))
    start[:6] = vectors

    def step(values):
        return np.array([sum((values[j] / np.sqrt(degree[i] * degree[j])
                              for j in np.flatnonzero(full[i])), np.zeros(3))
                         for i in range(len(full))])  # fmt: skip

    expected = step(start) + step(step(start))
    np.testing.assert_allclose(neighbours(joined, vectors), expected[:6], atol=1e-6)


def encode(texts):
    """A text encoder to which each item is something of its own, whatever its group."""
    vectors = np.array([np.random.default_rng(int(t.split()[-1])).normal(size=12)
                        for t in texts])  # fmt: skip
    return (vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).astype(np.float32)


def read(folder: Path, rows: list[tuple], *more: str, **edges) -> sequences.Table:
    table().write_parquet(folder / "own.parquet")
    items().with_columns(code="code-" + pl.col("item_id").cast(pl.String)).write_parquet(
        folder / "items.parquet"
    )
    graph = Edges(**({"path": written(folder, rows, *more), "item": "code"} | edges))
    sources = Sources(items=folder / "items.parquet", text="title", edges=graph)
    return sequences.read(folder / "own.parquet", sequences.Columns(), sources, width=8,
                          cache=folder / "cache", encoder=("numbers", encode))  # fmt: skip


def test_a_relation_that_is_not_named_changes_nothing(tmp_path):
    leak = [("code-1", "also_bought", "code-2"), ("code-5", "also_bought", "code-9")]
    without = read(tmp_path, shelves(), relations=("stands_on",)).things.vectors
    beside = read(tmp_path, shelves() + leak, relations=("stands_on",)).things.vectors
    named = read(tmp_path, shelves() + leak, relations=("stands_on", "also_bought")).things.vectors
    assert (beside == without).all()
    assert not np.allclose(named, without)


def test_what_became_known_later_is_left_out(tmp_path):
    timed = [(*row, "2026-03-01") for row in shelves()]
    late = [("code-1", "stands_on", "attic", moment) for moment in ("2026-04-01", None)]
    without = read(tmp_path, shelves(), relations=("stands_on",)).things.vectors
    before = read(tmp_path, timed + late, "known_at", relations=("stands_on",),
                  known_before="2026-04-01").things.vectors  # fmt: skip
    assert (before == without).all()


@pytest.mark.parametrize(
    ("rows", "edges", "message"),
    [
        (shelves(), {}, "holds the relations stands_on, and none is named; name by --relation"),
        (shelves(), {"relations": ("by",)}, "has no relation 'by'; choose from .* stands_on"),
        (shelves(), {"relations": ("stands_on",), "item": None}, "has an item at an end"),
        (shelves(), {"columns": ("head", "tail")}, "--edge-columns is 'head,tail'"),
        (shelves(), {"columns": ("from", "relation", "tail")}, "has no column 'from'"),
        ([(*row, 1) for row in shelves()], {"relations": ("stands_on",)}, "say by --known-before"),
        (shelves(), {"known_before": "soon"}, "'--known-before' holds 'soon', which is no time"),
    ],
)
def test_what_is_no_graph_of_these_items_is_refused_in_words(tmp_path, rows, edges, message):
    with pytest.raises(ValueError, match=message):
        read(tmp_path, rows, *["known_at"] * (len(rows[0]) - 3), **edges)


def test_edges_without_anything_to_pass_on_are_refused_in_words(tmp_path):
    edges = Edges(path=written(tmp_path, [("1", "with", "2")]), relations=("with",))
    with pytest.raises(ValueError, match="pass on what texts or photos tell of items"):
        told(pl.Series(["1", "2"]), Sources(edges=edges), width=8, cache=tmp_path)


def test_an_edge_tells_a_cold_item_apart(tmp_path):
    question = Question(inputs=("content",), size="tiny", num_epochs=4, asks_cold=True)
    order = np.random.default_rng(0).permutation(NUM_ITEMS)
    hits = {}
    for name, rows in (("own", shelves()), ("of others", shelves(lambda i: GROUPS[order[i] % 3]))):
        place = tmp_path / name
        place.mkdir()
        found = next_item.next_item(read(place, rows, relations=("stands_on",)), question,
                                    place / "work", lambda _: None)  # fmt: skip
        (cold,) = found.cold
        answer = next(one for one in cold.answers if one.name == "content")
        hits[name] = answer.ranked[0].hit[cold.is_cold].mean()
    assert hits["own"] > hits["of others"] + 0.2
