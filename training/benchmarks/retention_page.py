"""The report on who stays, by orders or snapshots: rows for a terminal, words, and the page.

Next: ``commands.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from training.benchmarks.page import cell
from training.benchmarks.retention import Found, comparison
from training.evaluate.answers import MODEL
from training.evaluate.page import page as whole_page
from training.evaluate.words import label, limits, verdict

METRICS = {"chances": ("auc", "log_loss", "ece"), "amounts": ("gini", "deviance")}


def title(name: str) -> str:
    """The name of the page of the table called `name`."""
    return f"Retention in {name}"


def facts(found: Found) -> list[str]:
    """What was asked, in a few words each."""
    run, num = found.reports[0].run, len(found.reports)
    asked = found.reports[0].heads[_leaving(found)].tables
    return [
        *(f"{table.num_examples:,} shoppers: {population}" for population, table in asked.items()),
        f"horizon {run['horizon_days']} days",
        f"size {run['size']}, {num} seeds" if num > 1 else f"size {run['size']}, seed 0",
    ]


def tables(found: Found) -> dict[str, tuple[list[str], list[list[str]]]]:
    """Heads and rows of every table, by its population."""
    asked = found.reports[0].heads[_leaving(found)].tables
    return {population: metric_rows(found, population) for population in asked}


def metric_rows(found: Found, population: str) -> tuple[list[str], list[list[str]]]:
    """Heads by metric, the model (mean and deviation over seeds) beside each floor."""
    report = found.reports[0]
    heads = [(head, METRICS["chances"]) for head in report.heads]
    heads += [(head, METRICS["amounts"]) for head in report.amounts]
    told = [(head, m) for head, m in heads if population in _populations(found, head)]
    sources = sorted(
        {source for head, _ in told for source in comparison(report, head, population).sources},
        key=lambda source: (source != MODEL, source),
    )
    rows = []
    for head, metrics in told:
        numbers = comparison(report, head, population).sources
        for metric in metrics:
            mean, deviation = found.spread(head, population, metric)
            model = f"{mean:.3f} ± {deviation:.3f}" if len(found.reports) > 1 else f"{mean:.3f}"
            cells = [
                cell(numbers[s][metric].value, numbers[s][metric].low, numbers[s][metric].high)
                if s in numbers
                else ""
                for s in sources[1:]
            ]
            rows.append([f"{label(head)}, {label(metric)}", model, *cells])
    return ["", *(label(source) for source in sources)], rows


def words(found: Found) -> Iterator[str]:
    """What it shows, a sentence each."""
    report = found.reports[0]
    yield from found.notes
    for population, table in report.heads[_leaving(found)].tables.items():
        yield f"AUC of leaving, {population}: {verdict('auc', table.differences['auc'])}"
    yield from limits(report)


def page(name: str, found: Found) -> str:
    """The page of the first seed, as ``python -m training evaluate`` writes it of a run."""
    report = found.reports[0]
    return whole_page(replace(report, run=report.run | {"name": title(name)}))


def _leaving(found: Found) -> str:
    """The head that the table is asked about first: leaving, by whatever name."""
    return next(iter(found.reports[0].heads))


def _populations(found: Found, head: str) -> set[str]:
    report = found.reports[0]
    known = report.amounts.get(head) or report.heads.get(head)
    return set() if known is None else set(known.tables)
