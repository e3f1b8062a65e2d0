"""A mapping as a TOML file: one source, or several under ``[[sources]]``.

The shipped mappings lie in ``mappings/``. Next: ``importers.py``.
"""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from feature_repo.importing.attributes import ItemColumns, UserColumns
from feature_repo.importing.mapping import Mapping, Rule
from feature_repo.importing.text_files import Layout

SHIPPED = Path(__file__).parent / "mappings"
_LAYOUT = ("encoding", "separator", "each")
_PLAIN = (
    *("name", "base_currency", "files", "holds", "zone", "time_format", "lag_seconds", "decimal"),
    *("orders", "precedence", "constants", "rates"),
)
_KEYS = (
    *_PLAIN,
    *_LAYOUT,
    *("names", "empty", "event_key", "columns", "kind", "rejects", "users", "items"),
)


def read_mapping(name: str | Path) -> Mapping:
    """The mapping of one source in a TOML file, or the shipped one of that name.

    Raises
    ------
    ValueError
        When neither exists, the file is not a valid mapping, or it is one of several sources.
    """
    first, *more = read_mappings(name)
    if more:
        raise ValueError(f"{name} maps {1 + len(more)} sources; give a mapping of one")
    return first


def read_mappings(name: str | Path) -> tuple[Mapping, ...]:
    """The sources in a TOML file, or of the shipped mapping of that name; at least one.

    Raises
    ------
    ValueError
        When neither exists or the file is not a valid mapping.
    """
    path = Path(name) if Path(name).suffix == ".toml" else SHIPPED / f"{name}.toml"
    if not path.exists():
        shipped = ", ".join(sorted(file.stem for file in SHIPPED.glob("*.toml")))
        raise ValueError(f"no mapping {str(name)!r}; give a .toml file or one of: {shipped}")
    try:
        return parse_mappings(path.read_text("utf-8"), path.stem)
    except ValueError as error:
        raise ValueError(f"{path}: {error}; docs/importing.md describes the format") from error


def parse_mappings(text: str, stem: str) -> tuple[Mapping, ...]:
    """The sources that TOML describes; `stem` is the name of one that has none.

    Raises
    ------
    ValueError
        When it is not a valid mapping.
    """
    try:
        return _mappings(tomllib.loads(text), stem)
    except (TypeError, AttributeError) as error:
        raise ValueError(f"a value is of the wrong kind ({error}); see the example") from error


def _mappings(table: dict[str, Any], stem: str) -> tuple[Mapping, ...]:
    """What stands beside ``[[sources]]`` holds for each that does not say else itself."""
    _refuse_unknown(table, (*_KEYS, "sources"))
    shared = {key: value for key, value in table.items() if key != "sources"}
    sources = table.get("sources")
    if sources is None:
        return (_mapping(shared, stem),)
    if not sources or not all("name" in source for source in sources):
        raise ValueError("one of [[sources]] has no name; add `name = ...`")
    names = [source["name"] for source in sources]
    if len(set(names)) < len(names):
        raise ValueError(f"two of [[sources]] have one name, {names}; rename one")
    found = tuple(_mapping(shared | source, stem) for source in sources)
    if len({source.base_currency for source in found}) > 1:
        raise ValueError("[[sources]] differ in base_currency; write one above them")
    return found


def _mapping(table: dict[str, Any], stem: str) -> Mapping:
    """The source that a TOML table describes."""
    _refuse_unknown(table, _KEYS)
    for needed in ("base_currency", "columns"):
        if needed not in table:
            raise ValueError(f"{needed} is missing; add it")
    kind = table.get("kind", {})
    _refuse_unknown(kind, ("default", "rules"))
    layout = {key: table[key] for key in _LAYOUT if key in table}
    plain = {"name": stem} | {key: table[key] for key in _PLAIN if key in table}
    return Mapping(
        **plain,
        columns={name: _sources(name, found) for name, found in table["columns"].items()},
        layout=Layout(**layout, names=_texts(table, "names")),
        empty=_texts(table, "empty"),
        event_key=_texts(table, "event_key"),
        default_kind=kind.get("default", "purchase"),
        kind_rules=_rules(kind.get("rules", ())),
        reject_rules=_rules(table.get("rejects", ())),
        users=UserColumns(**_known(table, "users", UserColumns)),
        items=ItemColumns(**_known(table, "items", ItemColumns)),
    )


def _sources(name: str, found: Any) -> str | tuple[str, ...]:
    if isinstance(found, str):
        return found
    if not isinstance(found, list) or not found or not all(isinstance(one, str) for one in found):
        raise ValueError(f"[columns] {name} is {found!r}; write a column, or a list of columns")
    return tuple(found)


def _texts(table: dict[str, Any], key: str) -> tuple[str, ...]:
    found = table.get(key, [])
    if not isinstance(found, list) or not all(isinstance(one, str) for one in found):
        raise ValueError(f"{key} is {found!r}; it must be a list of texts")
    return tuple(found)


def _known(table: dict[str, Any], key: str, kind: type) -> dict[str, Any]:
    found = table.get(key, {})
    _refuse_unknown(found, tuple(kind.__dataclass_fields__))  # type: ignore[attr-defined]
    return dict(found)


def _rules(tables: Sequence[dict[str, Any]]) -> tuple[Rule, ...]:
    return tuple(
        Rule(**table | ({"values": tuple(table["values"])} if "values" in table else {}))
        for table in tables
    )


def _refuse_unknown(table: dict[str, Any], known: Sequence[str]) -> None:
    if unknown := sorted(set(table) - set(known)):
        raise ValueError(f"unknown keys {unknown}; known: {tuple(known)}")
