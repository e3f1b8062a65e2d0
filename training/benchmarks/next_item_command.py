"""``python -m training benchmark next_item``: leave-one-out on a user's own table of sequences.

Next: ``next_item.py``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

import typer

from feature_repo.settings import Settings
from feature_repo.show import plainly
from training.benchmarks.options import Figures, Output, Seed, Size, Trainings

if TYPE_CHECKING:
    from training.benchmarks.answers import Question
    from training.benchmarks.contents import Sources
    from training.benchmarks.sequences import Columns

Words = list[str] | None
File = Annotated[Path, typer.Argument(help="a CSV or Parquet file of sequences")]
Items = Annotated[Path | None, typer.Option(help="file of what is known of items")]
Item = Annotated[str, typer.Option(help="column of lists of items, or one item a row")]
Order = Annotated[str | None, typer.Option(help="column that a shopper's rows are ordered by")]
ItemId = Annotated[str, typer.Option(help="column of the item, in the file of items")]
Text = Annotated[str | None, typer.Option(help="column of the items' text")]
Image = Annotated[str | None, typer.Option(help="column of the items' photos: bytes, or paths")]
ImageEncoder = Annotated[str | None, typer.Option(help="vision model of transformers, or a folder")]
EdgesFile = Annotated[Path | None, typer.Option(help="file of what items are joined to")]
Relation = Annotated[Words, typer.Option(help="relation of edges that is used; repeatable")]
EdgeItem = Annotated[str | None, typer.Option(help="column that edges call items by: default, ids")]
EdgeColumns = Annotated[str, typer.Option(help="columns of edges: head, relation and tail")]
Before = Annotated[str | None, typer.Option(help="edges of then or later are left out")]
Attributes = Annotated[Words, typer.Option(help="column of words or lists of words; repeatable")]
TextWords = Annotated[Words, typer.Option(help="column of text, read word by word; repeatable")]
Inputs = Annotated[Words, typer.Option(help="ids, content; repeatable; default: what there is")]
Seen = Annotated[str, typer.Option(help="items of the history: excluded, or included")]
Cold = Annotated[bool, typer.Option(help="ask about items that training never saw")]


def next_item(
    table: File,
    items: Items = None,
    user: Annotated[str, typer.Option(help="column of the shopper")] = "user_id",
    item: Item = "item_ids",
    order: Order = None,
    item_id: ItemId = "item_id",
    text: Text = None,
    image: Image = None,
    image_encoder: ImageEncoder = None,
    attribute: Attributes = None,
    words: TextWords = None,
    edges: EdgesFile = None,
    relation: Relation = None,
    edge_item: EdgeItem = None,
    edge_columns: EdgeColumns = "head,relation,tail",
    known_before: Before = None,
    inputs: Inputs = None,
    seen: Seen = "excluded",
    cold: Cold = False,
    size: Size = "base",
    epochs: Annotated[int | None, typer.Option(min=1, help="default: the recipe's")] = None,
    seed: Seed = 0,
    seeds: Trainings = 1,
    figures: Figures = None,
    output: Output = None,
) -> None:
    """Say what a model of sequences foretells: networks beside floors, all items ranked."""
    from training.benchmarks.answers import Question
    from training.benchmarks.contents import Sources
    from training.benchmarks.edges import Edges
    from training.benchmarks.sequences import Columns

    with plainly():
        graph = None
        if edges is not None:
            graph = Edges(
                path=edges,
                relations=tuple(relation or ()),
                columns=tuple(edge_columns.split(",")),
                item=edge_item,
                known_before=known_before,
            )
        told = Sources(items=items, item_id=item_id, text=text, edges=graph)
        told = replace(told, attributes=tuple(attribute or ()), words=tuple(words or ()))
        told = replace(told, image=image, image_encoder=image_encoder)
        question = Question(
            size=size, num_epochs=epochs, seen=seen, asks_cold=cold, seed=seed, num_seeds=seeds
        )
        columns = Columns(user=user, item=item, order=order)
        _answer(table, columns, told, question, inputs, figures, output)


def _answer(
    path: Path,
    columns: Columns,
    sources: Sources,
    question: Question,
    inputs: Words,
    figures: Path | None,
    output: Path | None,
) -> None:
    """Read the files, ask, and tell what is found."""
    from training.benchmarks import next_item as asking
    from training.benchmarks import next_item_page as told
    from training.benchmarks import page, sequences
    from training.recipes import TEXT_WIDTH

    cache = Settings().home.resolve() / "cache"
    table = sequences.read(path, columns, sources, width=TEXT_WIDTH, cache=cache)
    usual = question.inputs if table.has_content else ("ids",)
    question = replace(question, inputs=tuple(inputs or usual))
    with TemporaryDirectory() as folder:
        found = asking.next_item(table, question, Path(folder), lambda step: page.tell([step]))
    tables = told.tables(found)
    for name, (heads, rows) in tables.items():
        page.show(name, heads, rows)
    page.tell(told.words(found, question))
    page.figures(figures, told.title(found), told.facts(found, question), tables)
    page.write(output or Path(f"{path.stem}-next-item.html"), told.page(found, question))
