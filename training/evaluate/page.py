"""A report as one page that needs nothing else: words first, then tables, then plots.

Next: ``words.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from html import escape

from training.evaluate import plots, steps_page
from training.evaluate.amounts import AmountReport
from training.evaluate.answers import ALL_ITEMS, MODEL
from training.evaluate.compare import LOWER_IS_BETTER, Comparison, Difference
from training.evaluate.measure import EVERYONE, HeadReport
from training.evaluate.report import Report
from training.evaluate.steps import ALL_STEPS
from training.evaluate.words import (
    CURVES,
    day,
    label,
    limits,
    protocol,
    sentence,
    verdict,
)
from training.pages import card, cards, document, header, listing, number, section, span

RANKING_METRICS = ("recall@10", "ndcg@10", "hit@10", "mrr")
HEADLINE = {
    "next_item": "ndcg@10",
    "retention": "auc",
    "amounts": "gini",
    "next_actions": "log_loss",
}


def page(report: Report) -> str:
    """The whole page."""
    body = [
        _header(report),
        _cards(report),
        *_ranking(report),
        *(part for name, found in report.heads.items() for part in _head(name, found)),
        *(part for name, found in report.amounts.items() for part in _amount(name, found)),
        *_steps(report),
        _learning(report),
        section("How it was measured", listing(protocol(report))),
        section("What this cannot tell", listing(limits(report))),
    ]
    return document(f"{report.run['name']}: evaluation", body)


def _header(report: Report) -> str:
    run, calendar = report.run, report.meta["calendar"]
    methods = ", ".join(method["name"] for method in run.get("methods", []))
    events = report.meta.get("lineage", {}).get("num_events")
    facts = [
        "test {} – {}".format(*map(day, calendar["test"])) if calendar else "dealt by chance",
        f"size {run['size']}",
        f"seed {run['seed']}",
        f"methods: {methods}",
        f"{events:,} events" if events else "",
    ]
    return header(run["name"], facts)


def _cards(report: Report) -> str:
    """One card for each question, with its main number and a verdict."""
    found_cards = []
    if ALL_ITEMS in report.ranking:
        found_cards.append(_card("Next basket", HEADLINE["next_item"], report.ranking[ALL_ITEMS]))
    for name, head in report.heads.items():
        found_cards.append(_card(sentence(name), HEADLINE["retention"], head.tables[EVERYONE]))
    for name, amount in report.amounts.items():
        found_cards.append(_card(sentence(name), HEADLINE["amounts"], amount.tables[EVERYONE]))
    if report.steps:
        table = report.steps.tables[ALL_STEPS]
        found_cards.append(_card("Next five steps", HEADLINE["next_actions"], table))
    return cards(found_cards)


def _card(title: str, metric: str, table: Comparison) -> str:
    found, difference = table.sources[MODEL][metric], table.differences[metric]
    words = verdict(metric, difference)
    return card(title, number(found.value), words, _css(difference.verdict), label(metric))


def _ranking(report: Report) -> Iterable[str]:
    """Tables and bars of the next basket."""
    for variant, table in report.ranking.items():
        size = f"{table.num_examples:,} orders of {table.num_shoppers:,} shoppers"
        yield section(
            f"Next basket, {variant}",
            f'<p class="note">{size}. All items ranked.</p>'
            + _table(table, RANKING_METRICS)
            + '<div class="pair">'
            + plots.bars(table, RANKING_METRICS, variant)
            + _gap(report.ranking_splits[variant], RANKING_METRICS)
            + "</div>",
        )


def _head(name: str, found: HeadReport) -> Iterable[str]:
    """Tables and plots of one head."""
    for population, table in found.tables.items():
        metrics = list(table.sources[MODEL])
        rate = 100 * found.base_rates[population]
        note = (
            f"{table.num_examples:,} shoppers: {population}. True for {rate:.1f} % of them. "
            f"The model says yes from {number(found.thresholds[MODEL])}."
        )
        body = f'<p class="note">{note}</p>{_table(table, metrics)}'
        if population == EVERYONE:
            body += '<div class="pair">'
            body += plots.reliability(found.bins, name) + plots.roc(found.curves, name)
            body += "</div>" + _gap(found.splits, metrics)
        yield section(f"{sentence(name)}: {population}", body)


def _amount(name: str, found: AmountReport) -> Iterable[str]:
    """Tables of an amount, and what each tenth of the shoppers was expected to come to."""
    for population, table in found.tables.items():
        mean = number(found.means[population])
        note = f"{table.num_examples:,} shoppers: {population}. They came to {mean} on average."
        body = f'<p class="note">{note}</p>{_table(table, table.sources[MODEL])}'
        if population == EVERYONE:
            body += f'<div class="pair">{plots.amounts(found.expected, found.came, name)}</div>'
        yield section(f"{sentence(name)}: {population}", body)


def _steps(report: Report) -> Iterable[str]:
    """Tables of next actions, and the time line of one shopper."""
    if report.steps is None:
        return
    if (story := report.steps.story) is not None:
        note = f'<p class="note">{escape(steps_page.story_note(story))}</p>'
        yield section("One shopper, past and next steps", note + steps_page.time_line(story))
    for name, table in steps_page.short(report.steps).items():
        size = f"{table.num_examples:,} shoppers on the test's first day."
        body = f'<p class="note">{size}</p>' + _table(table, table.sources[MODEL])
        if name == ALL_STEPS:
            metrics = ("accuracy", "macro_f1")
            body += f'<div class="pair">{steps_page.by_step(report.steps)}'
            body += plots.bars(table, metrics, "steps") + "</div>"
        yield section(f"Next actions, {name}", body)


def _learning(report: Report) -> str:
    if not report.history:
        return ""
    plot = plots.learning_curves(report.history)
    return section("Training", f'<div class="pair">{plot}<p class="note">{CURVES}</p></div>')


def _table(table: Comparison, metrics: Iterable[str]) -> str:
    """Metrics down, sources across, each number with its interval; then the difference."""
    heads = "".join(f"<th>{escape(label(source))}</th>" for source in table.sources)
    rows = [f"<th></th>{heads}<th>model − best floor</th>"]
    for metric in metrics:
        arrow = "↓" if metric in LOWER_IS_BETTER else "↑"
        cells = [f"<th>{label(metric)} {arrow}</th>"]
        best = _best(table, metric)
        for source, numbers in table.sources.items():
            found = numbers[metric]
            kind = f"{'model' if source == MODEL else ''} {'best' if source == best else ''}"
            cells.append(
                f'<td class="{kind.strip()}">{number(found.value)}'
                f"<small>{span(found.low, found.high)}</small></td>"
            )
        rows.append("".join(cells) + _difference(table.differences[metric]))
    lines = "".join(f"<tr>{row}</tr>" for row in rows)
    return f'<div class="scroll"><table>{lines}</table></div>'


def _difference(found: Difference) -> str:
    """The last cell of a row: how far the model is from the best floor."""
    joint = "from" if found.verdict == "not told apart" else "than"
    return (
        f'<td class="{_css(found.verdict)}">{found.value:+.3f}'
        f"<small>{span(found.low, found.high)}</small>"
        f"<small>{found.verdict} {joint} {escape(label(found.floor))}</small></td>"
    )


def _css(verdict_: str) -> str:
    return verdict_.replace(" ", "-")


def _best(table: Comparison, metric: str) -> str:
    """The source with the best value."""
    sign = -1.0 if metric in LOWER_IS_BETTER else 1.0
    values = {source: sign * found[metric].value for source, found in table.sources.items()}
    return max(values, key=lambda source: values[source])


def _gap(splits: Mapping[str, Mapping[str, float]], metrics: Iterable[str]) -> str:
    """The model on training, validation and test."""
    metrics = list(metrics)
    head = "<th>model</th>" + "".join(f"<th>{label(metric)}</th>" for metric in metrics)
    rows = [
        f"<th>{split}</th>" + "".join(f"<td>{number(found.get(m))}</td>" for m in metrics)
        for split, found in splits.items()
    ]
    lines = "".join(f"<tr>{row}</tr>" for row in [head, *rows])
    return f'<div><h3>From training to test</h3><table class="gap">{lines}</table></div>'
