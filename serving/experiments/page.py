"""An experiment's page: the verdict first, then pictures, then tables.

Next: ``training/pages.py`` for how it looks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape

from serving.experiments import plots, words
from serving.experiments.analysis import Analysis, Finding
from training.pages import card, cards, document, header, listing, section

LIMITS = (
    "An effect is of being in an arm, over the users who were exposed, within the window; what "
    "comes later is not seen.",
    "The intervals rest on large numbers: they are not shown before each arm has enough users.",
)
OF_SEGMENTS = "Segments were looked through after the fact: take them for questions to ask next."


def page(
    title: str,
    found: Analysis,
    facts: Iterable[str],
    *,
    times: Sequence[int] | None = None,
    days: plots.Days | None = None,
    notes: Iterable[str] = (),
) -> str:
    """The whole page of an experiment that has users.

    `times` are when the table's users counted, `days` newly exposed shoppers by arm and day.
    """
    body = [header(title, facts), _cards(found), _verdict(found), *_pictures(found, times, days)]
    body.append(section("Every metric", _table(found.findings)))
    if found.guarded:
        body.append(section("Guardrails", listing(words.guard(g) for g in found.guarded)))
    if found.segments:
        body.append(section("Segments", _segments(found)))
    body.append(section("How it was measured", listing([*notes, *words.method(found)])))
    limits = [*LIMITS, OF_SEGMENTS] if found.segments else LIMITS
    body.append(section("What this cannot tell", listing(limits)))
    return document(title, body)


def _verdict(found: Analysis) -> str:
    return section("Verdict", listing(words.verdict(found)))


def _cards(found: Analysis) -> str:
    """The main figures at a glance."""
    boxes = [
        _card(f"{f.arm}: {f.metric.words}", words.amount(f.metric, f.effect.value), _mood(f), f)
        for f in found.of(found.setup.metrics[0])
    ]
    shares = "as planned" if not found.is_mismatched else "MISMATCH"
    mood = "worse" if found.is_mismatched else "better"
    return cards([*boxes, card("Sample ratio", shares, words.counts(found), mood)])


def _card(title: str, big: str, mood: str, finding: Finding) -> str:
    said = "too early to say"
    if finding.is_enough:
        said = f"always-valid interval {words.span(finding.metric, *finding.interval)}"
    return card(title, big, said, mood)


def _mood(finding: Finding) -> str:
    if not finding.is_told:
        return "not-told-apart"
    return "better" if (finding.effect.value > 0) == finding.metric.is_good_up else "worse"


def _pictures(
    found: Analysis, times: Sequence[int] | None, days: plots.Days | None
) -> Iterable[str]:
    first = found.setup.metrics[0]
    note = (
        '<p class="note">The band covers the true effect at all looks together: once it leaves 0 '
        "it may be believed, on whatever day that is.</p>"
    )
    yield section("Effect over time", note + plots.effect_over_time(found, times))
    if found.of(first):
        pair = plots.arms(found, first) + (plots.exposures(days) if days else "")
        yield section("Arms", f'<div class="pair">{pair}</div>')


def _table(findings: Sequence[Finding]) -> str:
    """Metrics and arms down; levels, effect and both intervals across."""
    heads = (
        "metric, arm", "control", "arm", "effect", "always valid", "one look", "p",
    )  # fmt: skip
    lines = ["".join(f"<th>{head}</th>" for head in heads)]
    for f in findings:
        mood = _mood(f) if f.is_told else ""
        lines.append(
            f"<th>{escape(f.metric.words)}<small> {escape(f.arm)}</small></th>"
            f"<td>{words.level(f.metric, f.plain[0].mean)}<small>{f.plain[0].num:,}</small></td>"
            f"<td>{words.level(f.metric, f.plain[1].mean)}<small>{f.plain[1].num:,}</small></td>"
            f'<td class="{mood}">{words.amount(f.metric, f.effect.value)}'
            f"<small>{escape(words.lift(f).lstrip(', '))}</small></td>"
            f"<td>{_span(f, f.interval)}</td><td>{_span(f, f.once)}</td>"
            f"<td>{_p_value(f.p_value) if f.is_enough else 'too early'}</td>"
        )
    rows = "".join(f"<tr>{line}</tr>" for line in lines)
    return f'<div class="scroll"><table>{rows}</table></div>'


def _segments(found: Analysis) -> str:
    findings = [finding for finding, _ in found.segments]
    names = [f"{f.segment} ({f.arm})" for f in findings]
    note = (
        f'<p class="note">P-values corrected for {len(findings)} comparisons '
        f"({escape(found.setup.correction.title())}).</p>"
    )
    rows = ["<th>segment, arm</th><th>users</th><th>effect</th><th>always valid</th><th>p</th>"]
    for finding, p_value in found.segments:
        rows.append(
            f"<th>{escape(finding.segment)}<small> {escape(finding.arm)}</small></th>"
            f"<td>{finding.effect.num:,}</td>"
            f"<td>{words.amount(finding.metric, finding.effect.value)}</td>"
            f"<td>{_span(finding, finding.interval)}</td>"
            f"<td>{_p_value(p_value) if finding.is_enough else 'too early'}</td>"
        )
    table = "".join(f"<tr>{row}</tr>" for row in rows)
    picture = plots.forest(findings, names, "Effect by segment")
    return f'{note}<div class="scroll"><table>{table}</table></div>{picture}'


def _span(finding: Finding, edges: tuple[float, float]) -> str:
    if not finding.is_enough:
        return "too early"
    return escape(words.span(finding.metric, *edges))


def _p_value(value: float) -> str:
    return "< .001" if value < 5e-4 else f"{value:.3f}".replace("0.", ".", 1)
