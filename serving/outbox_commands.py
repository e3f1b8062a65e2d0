"""``python -m serving outbox``: send what waits, and see how it stands. Next: ``outbox.py``."""

from __future__ import annotations

import typer
from rich.console import Console
from rich.table import Table

from feature_repo.messages import Outbox
from feature_repo.settings import Settings, iso
from feature_repo.warehouse import Warehouse
from serving import outbox
from serving.settings import ServingSettings

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, help="Messages to send.")
console = Console()


@app.command()
def deliver() -> None:
    """Send all that is due, once through; 1 when something failed. For cron."""
    try:
        told = outbox.deliver_due(Settings(), ServingSettings())
        if told is None:
            raise ValueError("nothing is sent; set NUDGE_SERVING_OUTBOX to webhook, file or log")
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(f"{told['sent']} sent, {told['failed']} failed")
    raise typer.Exit(1 if told["failed"] else 0)


@app.command()
def status() -> None:
    """How many messages wait, were sent and are dead; the newest dead ones with their reason."""
    kept = Outbox(Warehouse(Settings().warehouse))
    counts = kept.counts()
    sent = counts["sent"] + counts["done"]
    console.print(f"{counts['waiting']} waiting, {sent} sent, {counts['dead']} dead")
    if dead := kept.dead():
        table = Table("message", "of", "shopper", "action", "tries", "reason")
        for row in dead:
            told = row["payload"]
            at, tries = iso(row["created_at"]), str(row["num_tries"])
            name = row["message_id"]
            table.add_row(name, at, told["user_id"], told["action"], tries, row["reason"])
        console.print(table)
