"""What a sample says of money, of things that come back, and of how times are written.

Next: ``proposal.py``.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Sequence

import polars as pl

from feature_repo.proposing.autofeature import NEGATIVE, Guess

SIGNS = {"€": "EUR", "£": "GBP", "¥": "CNY", "₽": "RUB", "₩": "KRW", "₹": "INR", "元": "CNY"}
DEFAULT_CURRENCY = "GBP"


def currency_codes(guess: Guess) -> list[str]:
    """Currencies of the sample, the commonest first."""
    column = guess.roles.get("currency")
    if column is None:
        return []
    codes = Counter(guess.sample[column].drop_nulls().cast(pl.String).str.strip_chars().to_list())
    return [code for code, _ in codes.most_common() if re.fullmatch("[A-Z]{3}", code)]


def base_currency(found: Sequence[Guess]) -> tuple[str, str | None]:
    """The likeliest currency, and a question where the files don't say it."""
    codes = [code for guess in found for code in currency_codes(guess)]
    if codes:
        return codes[0], None if len(set(codes)) == 1 else "the commonest; is it your books' own?"
    money = [guess.profiles[guess.roles[role]] for guess in found for role in _money(guess)]
    signs = {sign for one in money for value in one.tried for sign in SIGNS if sign in value}
    if len(signs) == 1:
        sign = signs.pop()
        return SIGNS[sign], f"from the sign {sign}"
    if not money:
        return DEFAULT_CURRENCY, "there are no amounts; any will do"
    return DEFAULT_CURRENCY, "the file does not say its currency: set base_currency"


def decimal_mark(guess: Guess) -> Iterator[str]:
    """The key for amounts that are no plain numbers."""
    for role in _money(guess):
        marks = guess.profiles[guess.roles[role]].decimal() or (None,)
        if len(marks) > 1:
            yield "# ? Is 1,234 a thousand or little over one? The values don't prove it. Take one:"
            yield from (f'# decimal = "{mark}"' for mark in marks)
            return
        if marks[0] is not None:
            yield f'decimal = "{marks[0]}"  # amounts are written such as ' + json.dumps(
                guess.profiles[guess.roles[role]].values[0], ensure_ascii=False
            )
            return


def returns_rule(guess: Guess, at: str) -> Iterator[str]:
    """Rows of a negative quantity come back, those of cancelled orders by their letter."""
    named = next((role for role in ("quantity", "amount") if role in guess.roles), None)
    if named is None:
        return
    column = guess.roles[named]
    below = pl.col(column).cast(pl.String).str.strip_chars().str.contains(f"^{NEGATIVE}$")
    negative = guess.sample.filter(below.fill_null(False))
    if negative.is_empty():
        return
    column, matches, why = _mark_of_returns(guess, negative) or (column, "^ *[-−]", "negative")
    yield from ("", f"[[{at}kind.rules]]  # ? {why}: are these returns?", 'kind = "return"')
    yield from (f"column = {quoted(column)}", f'matches = "{matches}"')
    if why != "negative":
        yield from ("", f"[[{at}rejects]]  # ? negative, but no cancelled order")
        yield from ('reason = "stock_adjustment"', f"column = {quoted(guess.roles[named])}")
        yield from ('matches = "^-"', 'unless_kind = "return"')


def time_keys(guess: Guess) -> Iterator[str]:
    """How times are written, or the question which way they are."""
    if guess.time is None:
        return
    first, *others = guess.time.formats
    if others:
        yield "# ? Is 1/2 in January or in February? The values don't prove it. Take one:"
        yield from (f"# time_format = {quoted(form)}" for form in (first, *others) if form)
    elif first is not None:
        yield f"time_format = {quoted(first)}"
    if not guess.time.has_zone:
        yield 'zone = "UTC"  # ? the times name no zone; for example "Europe/Berlin"'


def time_notes(guess: Guess) -> Iterator[str]:
    """What only a person knows of the times."""
    if guess.time is None:
        return
    if len(guess.time.formats) > 1:
        yield (
            f"day and month of {guess.roles['event_at']!r} could change places: take one of "
            f"{', '.join(str(form) for form in guess.time.formats)} in the file"
        )
    if not guess.time.has_zone:
        yield "the times name no zone: set `zone`"


def quoted(text: str) -> str:
    """A text as TOML writes it."""
    return json.dumps(text, ensure_ascii=False)


def _mark_of_returns(guess: Guess, negative: pl.DataFrame) -> tuple[str, str, str] | None:
    """A letter that begins the orders of negative rows and of no others."""
    order = guess.roles.get("order_id")
    if order is None:
        return None
    letters = negative[order].cast(pl.String).str.extract("^([A-Za-z])", 1)
    commonest = Counter(letters.drop_nulls().to_list()).most_common(1)
    if not commonest or commonest[0][1] < 0.3 * negative.height:
        return None
    letter = commonest[0][0]
    begins = pl.col(order).cast(pl.String).str.starts_with(letter).fill_null(False)
    if guess.sample.filter(begins).height > 1.1 * commonest[0][1]:
        return None
    return order, f"^{letter}", f"orders that begin with {letter} have negative quantities"


def _money(guess: Guess) -> list[str]:
    return [role for role in ("price", "amount") if role in guess.roles]
