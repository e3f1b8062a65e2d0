"""How many shoppers an experiment needs, and how many days that takes in this shop.

The shop's past is read as an experiment without effect: each shopper is exposed at the first visit
within the last weeks, and what followed gives the metric's level, its noise, and what CUPED would
take out of it. Next: ``training/metrics/experiment/sample_size.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from scipy.stats import norm

from feature_repo.experiments import Experiment
from feature_repo.exposures import COST_SCHEMA
from feature_repo.settings import DAY
from feature_repo.warehouse import Warehouse
from serving.experiments import plots
from serving.experiments.outcomes import VISITS, outcomes
from serving.experiments.questions import Metric, metric_of
from training.metrics.experiment import cuped, sample_size
from training.metrics.experiment.confidence_sequence import tuning, width
from training.pages import document, header, listing, section

MAX_DAYS = 365
LEAST_SHOPPERS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What is needed to tell an effect of one size."""

    metric: Metric
    level: float
    """Of the metric, as the shop is."""
    effect: float
    variance_cut: float
    once: int
    """Shoppers in all arms for one look at the end, without CUPED."""
    once_cuped: int
    always: int
    """For an always-valid interval at that number, with CUPED."""
    exposed_by_day: list[float]
    """Shoppers in all arms after 1, 2, … days; the last days' newcomers go on for ever."""
    powers: dict[str, list[float]]
    """Way of testing to its power after 1, 2, … days, windows closed."""
    alpha: float
    power: float
    num_past: int
    """Shoppers of the past that this rests on."""
    past_days: int
    least: float
    """The effect that one look can tell after ``past_days`` of exposures, with CUPED."""
    window_days: float

    def days(self, num: int) -> int | None:
        """Days until `num` shoppers' windows have closed; None beyond a year."""
        enough = [day for day, seen in enumerate(self.exposed_by_day, 1) if seen >= num]
        return enough[0] + int(np.ceil(self.window_days)) if enough else None


def plan(
    experiment: Experiment,
    warehouse: Warehouse,
    now: int,
    *,
    lift: float,
    past_days: int = 28,
    power: float = 0.8,
) -> Plan:
    """Plan the first metric of `experiment` for an effect of `lift`, a share of its level.

    The shares of control and first treated arm count, and of all arms the number of comparisons.

    Raises
    ------
    ValueError
        When the shop's past is too short or nothing happens in it.
    """
    metric = metric_of(experiment.metrics[0])
    start = now - round(experiment.window_days * DAY) - past_days * DAY
    table = _past(experiment, warehouse, start, now)
    values = metric.values(table)
    level, before = float(values.mean()), table["before"].to_numpy()
    cut = cuped.adjust([values], [before]).variance_cut
    effect = lift * level
    alpha = experiment.alpha / (len(experiment.arms) - 1)
    pair = sum(experiment.shares[:2])
    plain = _design(metric, values, level, effect, experiment.shares[1] / pair)
    better = sample_size.Design(effect, plain.variance * (1 - cut), plain.null_variance * (1 - cut))
    wanted = {"alpha": alpha, "power": power}
    always = sample_size.num_users_always_valid(better, **wanted)
    seen = _arrivals(table, start, past_days, experiment)
    closed = np.r_[np.zeros(int(np.ceil(experiment.window_days))), seen][:MAX_DAYS] * pair
    return Plan(
        metric=metric,
        level=level,
        effect=effect,
        variance_cut=cut,
        once=_all_arms(sample_size.num_users(plain, **wanted), pair),
        once_cuped=_all_arms(sample_size.num_users(better, **wanted), pair),
        always=_all_arms(always, pair),
        exposed_by_day=[float(num) for num in seen],
        powers={
            "one look at the end": [sample_size.power(better, num, alpha) for num in closed],
            "always valid, at that day": [
                _power_always(better, num, always, alpha) for num in closed
            ],
        },
        alpha=alpha,
        power=power,
        num_past=len(table),
        past_days=past_days,
        least=sample_size.least_effect(better, seen[past_days - 1] * pair, **wanted),
        window_days=experiment.window_days,
    )


def sentences(found: Plan) -> list[str]:
    """The plan in words."""
    unit = plots.scaled(found.metric, 1.0)
    name = " points" if unit == 100 else ""
    return [
        f"{found.metric.words.capitalize()}: {unit * found.level:.4g}"
        f"{' %' if unit == 100 else ''} now, from {found.num_past:,} shoppers of the past; the "
        f"effect to be told is {unit * found.effect:+.3g}{name} "
        f"({found.effect / found.level:+.0%}) with a chance of {found.power:.0%}.",
        f"One look at the end: {found.once:,} shoppers in all arms, {_when(found, found.once)}.",
        f"With CUPED, which takes {found.variance_cut:.0%} of the noise: {found.once_cuped:,}, "
        f"{_when(found, found.once_cuped)}.",
        f"Looked at every day, with CUPED: {found.always:,} at the latest, "
        f"{_when(found, found.always)}; larger effects are told sooner. Start it with "
        f"--planned {found.always}.",
        f"After {found.past_days} days of exposures an effect of {unit * found.least:+.3g}{name} "
        f"({found.least / found.level:+.0%}) can be told by one look, with CUPED.",
    ]


def page(found: Plan, facts: Sequence[str]) -> str:
    """The plan's page."""
    shown = min(MAX_DAYS, max(28, 2 * (found.days(found.always) or MAX_DAYS)))
    days = list(range(1, shown + 1))
    powers = {name: values[:shown] for name, values in found.powers.items()}
    pictures = plots.power_by_day(days, powers, found.power) + plots.arrivals(
        days, found.exposed_by_day[:shown]
    )
    how = [
        "The past is read as an experiment without effect: exposure is the first visit in it.",
        "Means by the normal approximation, proportions by Fleiss, ratios by the delta method.",
        "Newcomers after the past's last day go on at the rate of its last week.",
    ]
    return document(
        "Plan of an experiment",
        [
            header("Plan of an experiment", facts),
            section("What it takes", listing(sentences(found))),
            section("Day by day", f'<div class="pair">{pictures}</div>'),
            section("How it was reckoned", listing(how)),
        ],
    )


def _when(found: Plan, num: int) -> str:
    days = found.days(num)
    return f"over {MAX_DAYS} days" if days is None else f"{days} days with the last window"


def _all_arms(num_pair: int, pair: float) -> int:
    """Users of all arms, of which control and first arm have `pair`."""
    return int(np.ceil(num_pair / pair))


def _design(
    metric: Metric, values: np.ndarray, level: float, effect: float, share: float
) -> sample_size.Design:
    if not level:
        raise ValueError(
            f"{metric.words} is 0 in the shop's past; plan for a metric that happens, or look "
            "further back with --past-days"
        )
    if metric.kind == "proportion":
        return sample_size.proportion_design(level, effect, share)
    return sample_size.mean_design(effect, float(np.var(values, ddof=1)), share)


def _power_always(design: sample_size.Design, num: float, planned: int, alpha: float) -> float:
    """Power of an always-valid interval tuned for `planned`, at one look at `num`."""
    if num < 1:
        return 0.0
    edge = width(num * tuning(planned, alpha), alpha) * np.sqrt(design.null_variance)
    signal = abs(design.effect) * np.sqrt(num)
    return float(norm.cdf((signal - edge) / np.sqrt(design.variance)))


def _past(experiment: Experiment, warehouse: Warehouse, start: int, now: int) -> pl.DataFrame:
    """What followed the first visits from `start` on, where the window has closed."""
    exposed = _first_visits(warehouse, start, now - round(experiment.window_days * DAY))
    if len(exposed) < LEAST_SHOPPERS:
        raise ValueError(
            f"{len(exposed)} shoppers came in the days before the last "
            f"{experiment.window_days:g}; a plan needs {LEAST_SHOPPERS}: look further back with "
            "--past-days, or shorten the window"
        )
    events = warehouse.events(user_ids=exposed["user_id"].to_list(), known_before=now)
    costs = pl.DataFrame(schema=COST_SCHEMA)
    return outcomes(exposed, events, costs, experiment, now)


def _first_visits(warehouse: Warehouse, start: int, end: int) -> pl.DataFrame:
    events = warehouse.events(kinds=VISITS, known_from=start, known_before=end)
    first = events.filter(pl.col("event_at") >= start).group_by("user_id")
    return (
        first.agg(exposed_at=pl.col("event_at").min())
        .select("user_id", pl.lit("past").alias("arm"), "exposed_at")
        .sort("exposed_at", "user_id")
    )


def _arrivals(
    exposed: pl.DataFrame, start: int, past_days: int, experiment: Experiment
) -> np.ndarray:
    """Different shoppers exposed after each day of a year, ``(MAX_DAYS,)``, ramp-up counted."""
    day = ((exposed["exposed_at"] - start) // DAY).to_numpy()
    new = np.bincount(day, minlength=past_days)[:past_days].astype(float)
    later = np.full(max(0, MAX_DAYS - past_days), new[-7:].mean())
    shares = [experiment.ramped(place * DAY) for place in range(MAX_DAYS)]
    return np.asarray(np.cumsum(np.r_[new, later][:MAX_DAYS]) * np.array(shares))
