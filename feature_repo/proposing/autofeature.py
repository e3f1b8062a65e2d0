"""Propose a mapping from the names and values of a file's columns.

Every choice says why it was made, and what was not sure is a question in the file. Names are in
``roles.py``, values in ``profiles.py``, the file is written by ``proposal.py``. Next:
``mapping_file.py``, which reads it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from feature_repo.importing.readers import columns_of, files_of
from feature_repo.importing.text_files import Layout
from feature_repo.proposing.profiles import Profile, TimeGuess
from feature_repo.proposing.roles import RELATIVE, ROLES, kind_of, likeness, plain_name
from feature_repo.proposing.samples import layout_of, sample_of

MAX_KINDS = 60
NEGATIVE = r"[-−(].*"
_TEXTS = ("user_id", "session_id", "item_id", "order_id")


@dataclass(slots=True)
class Guess:
    """What one kind of file seems to hold."""

    path: Path
    layout: Layout
    profiles: dict[str, Profile]
    sample: pl.DataFrame
    roles: dict[str, str] = field(default_factory=dict)
    """Role to column."""
    why: dict[str, str] = field(default_factory=dict)
    """Role to the reason for its column."""
    unsure: list[str] = field(default_factory=list)
    kinds: dict[str, str | None] = field(default_factory=dict)
    """A shop's word for a kind of event to ours."""
    time: TimeGuess | None = None
    is_headless: bool = False

    def give(self, role: str, column: str, why: str) -> None:
        """Let `column` play `role`."""
        self.roles[role], self.why[role] = column, why

    @property
    def holds(self) -> str | None:
        """``events``, ``items`` or ``users``; None when it lacks what each of them needs."""
        has_user = {"user_id", "session_id"} & set(self.roles)
        if has_user and "event_at" in self.roles and "item_id" in self.roles:
            return "events"
        if "event_at" in self.roles or "kind" in self.roles:
            return None
        for role, name in (("item_id", "items"), ("user_id", "users")):
            if role in self.roles and self.profiles[self.roles[role]].is_unique:
                return name
        return None


def guesses(paths: Sequence[Path]) -> list[Guess]:
    """One guess for each set of columns among the files.

    Raises
    ------
    ValueError
        When a file can't be read, is empty, or has too many columns to be a shop's.
    """
    found: dict[tuple[str, ...], Guess] = {}
    for path in files_of(paths):
        layout, is_headless = layout_of(path)
        names = tuple(columns_of(path, layout))
        if names not in found:
            found[names] = _look(path, layout, names, is_headless)
    return list(found.values())


def _look(path: Path, layout: Layout, names: tuple[str, ...], is_headless: bool) -> Guess:
    sample = sample_of(path, layout, names)
    if sample.is_empty():
        raise ValueError(f"{path} has names of columns but no rows; leave it out")
    profiles = {name: Profile.of(sample[name]) for name in names}
    guess = Guess(path, layout, profiles, sample, is_headless=is_headless)
    _find_time(guess)
    _find_kinds(guess)
    _find_by_name(guess)
    if is_headless:
        _find_by_place(guess)
    _find_amounts(guess)
    return guess


def _find_time(guess: Guess) -> None:
    times = {name: found for name, one in guess.profiles.items() if (found := one.time())}

    def rank(name: str) -> float:
        named = max(likeness(name, "event_at"), likeness(name, "date") - 1)
        is_number = guess.profiles[name].dtype.is_numeric() or guess.profiles[name].is_whole
        # A number of the right size is a time only if its name or nothing else says so.
        return named + times[name].has_clock + (0 if is_number and not named else 0.5)

    able = [name for name in times if rank(name) >= (0 if guess.is_headless else 0.5)]
    if not able:
        return
    best = max(able, key=rank)
    guess.time = times[best]
    guess.give("event_at", best, _time_words(times[best], guess.profiles[best]))
    others = [name for name in able if name != best and (guess.is_headless or rank(name) >= 4)]
    if others:
        guess.unsure.append(f"event_at is {best!r}; other times: {', '.join(others[:5])}")
    if not times[best].has_clock:
        _find_clock(guess)


def _find_clock(guess: Guess) -> None:
    """A date alone may have its time of day in another column."""
    for name, one in guess.profiles.items():
        if likeness(name, "time") and one.share(r"\d{1,2}:\d\d(:\d\d)?") > 0.98:
            seconds = one.share(r"\d{1,2}:\d\d:\d\d") > 0.98
            guess.give("time", name, "the time of day, joined to the date by a space")
            assert guess.time is not None, "a clock is looked for beside a date"
            clock = " %H:%M:%S" if seconds else " %H:%M"
            formats = tuple(form and f"{form}{clock}" for form in guess.time.formats)
            guess.time = TimeGuess(formats, True, False)


def _time_words(time: TimeGuess, profile: Profile) -> str:
    form = "ISO 8601" if time.formats[0] is None else time.formats[0]
    return f"its values are times ({form}), such as {profile.values[0] if profile.values else ''!r}"


def _find_kinds(guess: Guess) -> None:
    def known(one: Profile) -> float:
        is_state = "status" in one.name.lower()
        if not 1 <= len(one.values) <= MAX_KINDS or one.is_whole or is_state:
            return 0.0
        named = likeness(one.name, "kind")
        share = sum(bool(kind_of(value)) for value in one.values) / len(one.values)
        return share + named / 10 if share else 0.0

    best = max(guess.profiles.values(), key=known, default=None)
    if best is None or known(best) < 0.5:
        return
    guess.kinds = {value: kind_of(value) for value in best.values}
    guess.give("kind", best.name, f"its values are kinds of events: {', '.join(best.values[:8])}")


def _find_by_name(guess: Guess) -> None:
    """The best column for each role, the surest role first; each column plays one."""
    scores = [
        (score, -place, role, name)
        for place, name in enumerate(guess.profiles)
        for role in ROLES
        if role not in ("event_at", "date", "time", "kind", "protected")
        and (score := likeness(name, role) + _fits(guess.profiles[name], role)) >= 4
    ]
    for score, _, role, name in sorted(scores, reverse=True):
        if role not in guess.roles and name not in guess.roles.values():
            guess.give(role, name, f"its name{'' if score >= 8 else ' (in part)'} and its values")
            if score < 8 and role in _TEXTS:
                guess.unsure.append(f"{role} is {name!r} by a part of its name")


def _fits(one: Profile, role: str) -> float:
    """How much the values speak for a role, or against it."""
    if not one.num_filled:
        return -20.0
    if role in ("price", "amount"):
        return 0.5 if one.decimal() else -20.0
    if role == "quantity":
        return 0.5 if one.is_whole or one.share(r"[-+]?\d+([.,]0+)?") > 0.98 else -20.0
    if role == "currency":
        return 0.5 if one.share(r"[A-Z]{3}") == 1 else -20.0
    if role == "text":
        return -4.0 if one.is_whole else min(1.0, len(one.values) / max(1, one.num_filled) + 0.2)
    if role == "order_id":
        return 9.0 if one.share(r"#\d+") > 0.9 else 0.0
    if role == "item_id":
        return -3.0 if one.share(r".*\s.*\s.*") > 0.5 else 0.0
    if role in ("category", "brand", "locale"):
        return -20.0 if one.share(r"-?\d+[.,]\d+") > 0.9 else 0.0
    return 0.0


def _find_by_place(guess: Guess) -> None:
    """Without names: the first columns of ids are the user and the item, as nearly everywhere."""
    free = [
        name
        for name, one in guess.profiles.items()
        if name not in guess.roles.values() and one.num_filled and len(one.values) > 1
    ]
    for role, name in zip(("user_id", "item_id", "category"), free, strict=False):
        if (
            role == "category"
            and guess.profiles[name].decimal()
            and not guess.profiles[name].is_whole
        ):
            break
        guess.give(role, name, "its place; the file has no names")
        guess.unsure.append(f"{role} is {name!r} by its place alone")


def _find_amounts(guess: Guess) -> None:
    """A whole amount beside another price is a number of pieces; a price of a line is an amount."""
    amount, price = guess.roles.get("amount"), guess.roles.get("price")
    if amount and price and "quantity" not in guess.roles and guess.profiles[amount].is_whole:
        _move(guess, "amount", "quantity", "whole numbers beside another column of money")
        guess.unsure.append(f"quantity is {amount!r}, though it is called an amount")
    if price and "amount" not in guess.roles and likeness(price, "amount") >= 8:
        _move(guess, "price", "amount", "its name: it is of the whole line")
        guess.unsure.append(f"{price!r} is taken as the amount of a whole line, not of one piece")
    if "amount" in guess.roles and "price" in guess.roles:
        left = guess.roles.pop("amount")
        guess.unsure.append(f"price is {price!r}; {left!r} may be of the whole line: left out")


def _move(guess: Guess, before: str, after: str, why: str) -> None:
    guess.give(after, guess.roles.pop(before), why)


def relative_times(guess: Guess) -> list[str]:
    """Columns that count time from something that the file does not tell."""
    return [
        name
        for name in guess.profiles
        if any(plain_name(name).startswith(start) for start in RELATIVE)
    ]
