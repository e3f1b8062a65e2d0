"""``python -m serving key``: make, list and revoke API keys. Next: ``keys.py``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from feature_repo.settings import Settings, iso
from serving import keys
from serving.settings import ServingSettings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="API keys.")
console = Console()
MICROS = 1_000_000


@app.command()
def create(
    name: Annotated[str, typer.Option(help="who or what will use it")],
    scope: Annotated[
        keys.Scope, typer.Option(help="read: ask; write: and send events, decide; admin: and all")
    ],
    expires_days: Annotated[
        float | None, typer.Option(help="days after which it is refused; default: never")
    ] = None,
) -> None:
    """Make a key and show it, this once: only its hash is kept."""
    path = _path()
    with _told():
        key, text = keys.make(path, name, scope, expires_days, now=time.time())
    until = "" if key.expires_at is None else f", until {_moment(key.expires_at)}"
    console.print(f"key {key.key_id} of scope {key.scope} for {key.name!r}{until}, in {path}")
    console.print("It is shown only now; whoever has it can use it:")
    typer.echo(text)


@app.command("list")
def list_() -> None:
    """Show the keys, without what is secret about them."""
    table = Table("id", "name", "scope", "made", "expires", "status")
    with _told():
        kept = keys.read(_path())
    now = time.time()
    for key in kept.values():
        made, ends = _moment(key.created_at), _moment(key.expires_at)
        table.add_row(key.key_id, key.name, key.scope, made, ends, key.status(now))
    console.print(table)


@app.command()
def revoke(name: Annotated[str, typer.Argument(help="id or name of a live key")]) -> None:
    """Refuse a key; running services know within a second or two."""
    with _told():
        key = keys.revoke(_path(), name, now=time.time())
    console.print(f"revoked key {key.key_id} for {key.name!r}")


def _path() -> Path:
    return ServingSettings().keys_path(Settings().home)


def _moment(seconds: float | None) -> str:
    return "" if seconds is None else iso(int(seconds) * MICROS)


@contextmanager
def _told() -> Iterator[None]:
    """What is wrong, in a sentence in place of a trace."""
    try:
        yield
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
