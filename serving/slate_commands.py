"""``python -m serving slate``: learn from clicks in which order to recommend; say what it earns."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from feature_repo.experiments import LISTS
from feature_repo.settings import DAY, Settings, SystemClock
from feature_repo.warehouse import Warehouse
from training.datasets.slate_log import read_slates
from training.metrics.offpolicy.slates import lead
from training.policies.clicks import SlateEvaluation, SlateLog, evaluate, learn
from training.policies.slate import Slate

JUDGING = 0.4
"""Share of shoppers whose lists are not learnt from, so that they can judge."""
LEAST_LISTS = 200
ESTIMATORS = ("iips", "doubly_robust", "rips")
console = Console()


def slate(
    output: Annotated[Path, typer.Option(help="folder of the bundle to write")],
    temperature: Annotated[float, typer.Option(min=0, help="share of chance from then on")] = 0.3,
    days: Annotated[float, typer.Option(min=0, help="how far back lists count")] = 90.0,
    window_hours: Annotated[float, typer.Option(min=0, help="time in which clicks come")] = 24.0,
    kind: Annotated[str, typer.Option(help="kind of event that counts as a click")] = "click",
    force: Annotated[bool, typer.Option(help="write it although the log is not sure")] = False,
) -> None:
    """Learn from clicks in which order to recommend; 1 when it is not surely better."""
    from serving.promote import save_policy, store

    settings = Settings()
    now = SystemClock(settings.home).now()
    until = now - round(window_hours * DAY / 24)
    try:
        warehouse = Warehouse(settings.warehouse)
        log, users = read_slates(warehouse, since=now - round(days * DAY), until=until, kind=kind)
        learnt, told, sure = compare(log, users, temperature)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from error
    console.print(places_of(learnt))
    console.print(told)
    if not (sure or force):
        console.print("not surely better than best first: nothing written (--force writes it)")
        raise typer.Exit(1)
    bundle = save_policy(output, learnt, now)
    console.print(f"slate {bundle.version} in {output}: serve it with NUDGE_SERVING_SLATE={output}")
    console.print(f"try it in an experiment: --layer {LISTS} --arm learnt:0.5:{store(bundle)}")


def compare(
    log: SlateLog, users: NDArray[np.str_], temperature: float
) -> tuple[Slate, Table, bool]:
    """A slate learnt from some shoppers, what the others' clicks say, and whether it surely leads.

    Raises
    ------
    ValueError
        When there are too few lists.
    """
    judges = np.array([_share(user) < JUDGING for user in users.tolist()], dtype=np.bool_)
    if (fewest := min(judges.sum(), (~judges).sum())) < LEAST_LISTS:
        raise ValueError(
            f"of {len(judges):,} lists {fewest:,} are left for one part; {LEAST_LISTS} are needed "
            "for learning and as many for judging: collect more"
        )
    learnt = learn(log.take(~judges), Slate(temperature=temperature))
    judged, who = log.take(judges), users[judges]
    greedy = Slate(temperature=0)
    targets = {
        "best first, as today": replace(greedy, examination=learnt.examination),
        "learnt, best first": replace(learnt, temperature=0.0),
        f"learnt, temperature {temperature:g}": learnt,
    }
    found = {name: evaluate(judged, target, users=who) for name, target in targets.items()}
    first, second, _ = found.values()
    ahead = lead(
        second.estimates["doubly_robust"].influence,
        first.estimates["doubly_robust"].influence,
        who,
    )
    sure = ahead.low > 0 and not any(
        (first.refusals["doubly_robust"], second.refusals["doubly_robust"])
    )
    words = f"{ahead.value:+.4f} ({ahead.low:+.4f} to {ahead.high:+.4f})"
    return learnt, _table(judged, found, words), sure


def places_of(learnt: Slate) -> Table:
    """How often each place is looked at."""
    table = Table("place", *map(str, range(1, len(learnt.examination) + 1)), title="Looked at")
    table.add_row("share of the first", *(f"{one:.2f}" for one in learnt.examination))
    return table


def _table(log: SlateLog, found: dict[str, SlateEvaluation], ahead: str) -> Table:
    seen = log.rewards.sum(axis=1).mean()
    table = Table(
        "order",
        *ESTIMATORS,
        "",
        title=f"Clicks a list, judged on {len(log.rewards):,} lists; as logged {seen:.4f}",
        caption=f"learnt over today's, best first: {ahead}",
    )
    for name, one in found.items():
        cells = (one.estimates[e] for e in ESTIMATORS)
        words = (f"{e.value:.4f} ({e.low:.4f} to {e.high:.4f})" for e in cells)
        table.add_row(name, *words, one.refusals["doubly_robust"])
    return table


def _share(user: str) -> float:
    return int.from_bytes(hashlib.sha256(f"slate\0{user}".encode()).digest()[:4], "big") / 2**32
