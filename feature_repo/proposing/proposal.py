"""A guess about a shop's files, written down as a mapping that a person can read and mend.

Next: ``mapping_file.py``, which reads it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from feature_repo.importing.mapping_file import parse_mappings
from feature_repo.proposing.amounts import (
    base_currency,
    currency_codes,
    decimal_mark,
    quoted,
    returns_rule,
    time_keys,
    time_notes,
)
from feature_repo.proposing.autofeature import Guess, guesses, relative_times
from feature_repo.proposing.roles import likeness

_FIELDS = ("item_id", "order_id", "kind", "quantity", "price", "amount", "currency", "text")


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """A mapping in TOML, why each column was chosen, and what nobody could be sure of."""

    toml: str
    choices: tuple[tuple[str, str, str], ...]
    """Field, column and the reason for it."""
    unsure: tuple[str, ...]


def propose(paths: Sequence[Path]) -> Proposal:
    """Look at the files and write a mapping for them.

    Raises
    ------
    ValueError
        When a file can't be read, or no file holds shopper, item and moment together.
    """
    found = guesses(paths)
    if not any(guess.holds == "events" for guess in found):
        raise ValueError(_refusal(found))
    useful = [guess for guess in found if guess.holds]
    notes = [note for guess in useful for note in guess.unsure]
    notes += [
        f"{guess.path} is left out: no shopper, item and moment together, and no key of its own"
        for guess in found
        if not guess.holds
    ]
    base, said = base_currency(useful)
    notes += [said] if said else []
    lines = [
        *_heading(useful, base, said),
        *(line for guess in useful for line in _source(guess, base, len(useful) > 1)),
    ]
    toml = "\n".join(lines) + "\n"
    parse_mappings(toml, "proposal")
    choices = [
        (role, column, guess.why[role]) for guess in useful for role, column in guess.roles.items()
    ]
    notes += [note for guess in useful for note in time_notes(guess)]
    return Proposal(toml=toml, choices=tuple(choices), unsure=tuple(dict.fromkeys(notes)))


def _refusal(found: Sequence[Guess]) -> str:
    """Why no events can be made of these files, in words that lead on."""
    told = []
    for guess in found:
        needs = {"user_id": "shopper", "item_id": "item", "event_at": "moment"}
        lacks = [
            word
            for role, word in needs.items()
            if role not in guess.roles and not (role == "user_id" and "session_id" in guess.roles)
        ]
        columns = ", ".join(list(guess.profiles)[:30])
        told.append(f"{guess.path} names no {' and no '.join(lacks)} (columns: {columns})")
        if "moment" in lacks and (relative := relative_times(guess)):
            told.append(
                f"{', '.join(relative)} count from a moment that the file does not tell: Nudge "
                "needs the date or time at which each thing happened"
            )
    if len(found) > 1:
        told.append(
            "Nudge does not join files: put the columns of an order and of its lines into one file "
            "first, for example with polars: orders.join(lines, on='order_id').write_parquet(...)"
        )
    return ". ".join(told)


def _heading(useful: Sequence[Guess], base: str, said: str | None) -> Iterator[str]:
    yield "# Proposed by `python -m feature_repo autofeature`; lines with ? ask you something."
    yield f"base_currency = {quoted(base)}" + (f"  # ? {said}" if said else "")


def _source(guess: Guess, base: str, is_one_of_many: bool) -> Iterator[str]:
    """One source: its own keys first, then its tables."""
    assert guess.holds is not None, "only useful files are written down"
    at = "sources." if is_one_of_many else ""
    if is_one_of_many:
        yield from ("", "[[sources]]", f"files = {quoted(guess.path.name)}")
    yield f"name = {quoted(_name(guess.path))}  # part of the ids: don't change it later"
    if guess.holds != "events":
        yield f"holds = {quoted(guess.holds)}"
    yield from _layout_keys(guess)
    yield from time_keys(guess)
    yield from decimal_mark(guess)
    if guess.holds == "events" and "order_id" not in guess.roles and _sells(guess):
        yield 'orders = "day"  # no order ids: what a shopper buys on one day is one order'
    yield from ("", f"[{at}columns]  # event field = column")
    yield from _columns(guess)
    if guess.holds == "events":
        yield from _kinds(guess, at)
    yield from _people_and_things(guess, at)
    codes = [code for code in currency_codes(guess) if code != base]
    if codes:
        yield from ("", f"[{at}rates]  # one unit in {base}, as text")
        yield from (f'# {code} = "?"  # ? rows in {code} are rejected without it' for code in codes)


def _layout_keys(guess: Guess) -> Iterator[str]:
    layout = guess.layout
    if layout.encoding:
        yield (f"encoding = {quoted(layout.encoding)}  # ? no UTF-8: look at letters with accents")
    if layout.names:
        yield f"names = {json.dumps(list(layout.names))}  # the file has no line of names"
    if layout.each:
        yield f"each = {quoted(layout.each)}  # one row for each member of this list"
    fillers = sorted(
        {
            value
            for one in guess.profiles.values()
            for value in one.values
            if value in ("NULL", "null", "nan", "NaN", "None", r"\N", "(not set)", "N/A")
        }
    )
    if fillers:
        yield f"empty = {json.dumps(fillers)}  # texts that stand for no value"


def _columns(guess: Guess) -> Iterator[str]:
    user, session = guess.roles.get("user_id"), guess.roles.get("session_id")
    if guess.holds == "items":
        yield f"item_id = {quoted(guess.roles['item_id'])}"
        return
    yield from _user(guess, user, session)
    if guess.holds == "users":
        return
    at, clock = guess.roles["event_at"], guess.roles.get("time")
    column = quoted(at) if clock is None else f"[{quoted(at)}, {quoted(clock)}]"
    yield f"event_at = {column}  # {_said(guess.why['event_at'])}"
    for role in _FIELDS:
        if role in guess.roles:
            yield f"{role} = {quoted(guess.roles[role])}  # {_said(guess.why[role])}"


def _user(guess: Guess, user: str | None, session: str | None) -> Iterator[str]:
    if user and session and guess.profiles[user].num_filled < guess.profiles[user].num_rows:
        yield (
            f"user_id = [{quoted(user)}, {quoted(session)}]  # the second where the first is empty"
        )
    elif user:
        yield f"user_id = {quoted(user)}  # {_said(guess.why['user_id'])}"
    elif session:
        yield f"user_id = {quoted(session)}  # no shopper is named: each session is one"


def _kinds(guess: Guess, at: str) -> Iterator[str]:
    """What the shop's words for kinds mean; unknown ones are rejected until they are mapped."""
    if not guess.kinds:
        default = "purchase" if _sells(guess) else "view"
        why = (
            "there is an order, a price or a quantity" if _sells(guess) else "nothing is sold here"
        )
        yield from ("", f"[{at}kind]", f'default = "{default}"  # ? no column tells; {why}')
        yield from returns_rule(guess, at)
        return
    column = guess.roles["kind"]
    for kind in sorted({kind for kind in guess.kinds.values() if kind}):
        values = [value for value, means in guess.kinds.items() if means == kind]
        if values != [kind]:
            yield from ("", f"[[{at}kind.rules]]", f'kind = "{kind}"')
            yield from (f"column = {quoted(column)}", f"values = {_list(values)}")
    ignored = [value for value, means in guess.kinds.items() if means == ""]
    if ignored:
        yield from ("", f"[[{at}rejects]]  # ? no kind of ours; a kind.rule would keep them")
        yield from ('reason = "ignored"', f"column = {quoted(column)}")
        yield f"values = {_list(ignored)}"
    unknown = [value for value, means in guess.kinds.items() if means is None]
    if unknown:
        yield f"# ? What are {_said(_list(unknown))}? They are rejected until a rule names a kind."


def _people_and_things(guess: Guess, at: str) -> Iterator[str]:
    """Attributes of shoppers and items, protected ones apart."""
    protected = [name for name in guess.profiles if likeness(name, "protected") >= 8]
    protected = [name for name in protected if name not in guess.roles.values()]
    has_user = {"user_id", "session_id"} & set(guess.roles)
    if has_user and "locale" in guess.roles:
        yield from ("", f"[{at}users]", f"locale = {quoted(guess.roles['locale'])}")
    if has_user and protected:
        yield from ("", f"[{at}users.protected]  # kept apart: no feature may read these")
        yield from (f"{quoted(name)} = {quoted(name)}" for name in protected)
    if "item_id" not in guess.roles:
        return
    plain = ("category",) if guess.holds == "events" else ("category", "text", "price")
    told = [role for role in plain if role in guess.roles]
    if told:
        yield from ("", f"[{at}items]")
        yield from (f"{role} = {quoted(guess.roles[role])}" for role in told)
    if "brand" in guess.roles:
        yield from ("", f"[{at}items.attributes]", f"brand = {quoted(guess.roles['brand'])}")


def _sells(guess: Guess) -> bool:
    if guess.kinds:
        return "purchase" in guess.kinds.values()
    return bool({"order_id", "price", "amount", "quantity"} & set(guess.roles))


def _name(path: Path) -> str:
    return re.sub(r"[^\w-]+", "_", path.name.partition(".")[0]) or "shop"


def _list(values: Sequence[str]) -> str:
    return json.dumps(list(values), ensure_ascii=False)


def _said(text: str) -> str:
    """A comment on one line, whatever the values hold."""
    return re.sub(r"[\x00-\x1f\x7f]+", " ", text)[:200]
