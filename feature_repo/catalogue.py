"""Every feature with its type, its meaning and its source, as Feast knows them, in one page.

``python -m feature_repo features`` prints it for the shop's registry; ``docs/feature-catalogue.md``
is the page of the definitions that ship.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from feature_repo.glossary import meaning

if TYPE_CHECKING:
    from feast import FeatureService, FeatureStore

HEAD = """# Feature catalogue

Written by `python -m feature_repo features` from the Feast definitions; a test holds it to them.
[Events and features](features.md) tells the rules behind: what is known when, and what a window is.
"""


def page_of(store: FeatureStore) -> str:
    """The catalogue of what is registered in `store`.

    Raises
    ------
    ValueError
        When nothing was applied yet.
    """
    services = store.list_feature_services()
    if not services:
        raise ValueError("the registry has no feature service; run `feast apply` first")
    return page(services, [*store.list_feature_views(), *store.list_on_demand_feature_views()])


def page(services: Sequence[FeatureService], views: Sequence[Any]) -> str:
    """The catalogue in Markdown: what models ask for, then what is stored behind it."""
    by_name = {view.name: view for view in views}
    asked = sorted(services, key=lambda service: service.name)
    stored = sorted((view for view in views if not _is_derived(view)), key=lambda view: view.name)
    lines, told = [HEAD], set[tuple[str, ...]]()
    for service in asked:
        lines += [f"## Service `{service.name}`", "", service.description, ""]
        for projection in service.feature_view_projections:
            table = list(_table(by_name[projection.name], projection.features))
            lines += [table[0], "", "As above.", ""] if tuple(table) in told else table
            told.add(tuple(table))
    lines += ["## Stored state", "", "What the files behind the views hold for each key.", ""]
    for view in stored:
        lines += _table(view, view.features)
    return "\n".join(lines)


def _table(view: Any, fields: Sequence[Any]) -> Iterator[str]:
    yield from (f"### View `{view.name}`", "", f"{view.description} {_source(view)}", "")
    yield from ("| feature | type | meaning |", "|---|---|---|")
    for field in fields:
        yield f"| `{field.name}` | {field.dtype} | {field.description or meaning(field.name)} |"
    yield ""


def _source(view: Any) -> str:
    """Where the values come from."""
    if _is_derived(view):
        sources = {**view.source_feature_view_projections, **view.source_request_sources}
        named = ", ".join(f"`{name}`" for name in sorted(sources))
        return f"Computed by `derive.py` when asked for, from {named}."
    source = view.batch_source
    said = f"From `{Path(source.path).name}`, newest row known by `{source.timestamp_field}`"
    collected = view.tags.get("collect")
    return f"{said}{f', the last {collected} as lists' if collected else ''}."


def _is_derived(view: Any) -> bool:
    return hasattr(view, "source_feature_view_projections")
