"""One turn of the loop: send, attach, learn, ask the log, try in an experiment, promote or stop.

Each turn ends in one step at most that shoppers notice, and what a kill leaves half done the next
turn finishes. Next: ``turn_command.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from feature_repo.experiments import Arm, Experiment, Kept
from feature_repo.exposures import Experiments
from feature_repo.ledger import Ledger
from feature_repo.settings import DAY, Clock, Settings
from feature_repo.warehouse import Warehouse
from serving import outbox
from serving.experiments import words
from serving.experiments.shop import look, setup_of, stop_if_crossed
from serving.policies import find_policy, gate, promote_policy
from serving.promote import store
from serving.settings import Promotion, ServingSettings
from serving.start import check_arms
from training.folders import alone
from training.learn import Plan, learn

OWN = "turn-"
"""How the names of its experiments begin; those of others it leaves alone."""
SERVED, CANDIDATE = "served", "candidate"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """What is learnt, and how it is tried."""

    plan: Plan
    metrics: tuple[str, ...] = ("profit", "purchase")
    guardrails: tuple[str, ...] = ()
    traffic: float = 1.0
    planned_num: int = 2_000
    max_days: float = 42.0
    """Of an experiment that tells nothing."""
    rest_days: float = 7.0
    """Between the end of one experiment and the next."""


@dataclass(frozen=True, slots=True)
class Step:
    """What was done, and why."""

    name: str
    done: str
    why: str


def turn(terms: Terms, settings: Settings, clock: Clock) -> list[Step]:
    """Do one turn; the steps it took.

    Raises
    ------
    ValueError
        When another turn is running.
    """
    busy = f"another turn is running in {settings.home.resolve()}; let it end"
    with alone(settings.home / "turn.lock", wait_s=0, otherwise=busy):
        steps = [_deliver(settings), _attach(settings)]
        experiments = Experiments(Warehouse(settings.warehouse))
        own = [kept for kept in experiments.all() if kept.experiment.name.startswith(OWN)]
        running = [kept for kept in own if kept.stopped_at is None]
        if running:
            return [*steps, *(_read(kept, terms, settings, clock.now()) for kept in running)]
        return [*steps, *_try_another(own, terms, settings, clock.now())]


def _deliver(settings: Settings) -> Step:
    told = outbox.deliver_due(settings, ServingSettings())
    if told is None:
        return Step("outbox", "nothing", "NUDGE_SERVING_OUTBOX is not set")
    return Step("outbox", f"{told['sent']} sent", f"{told['failed']} failed")


def _attach(settings: Settings) -> Step:
    num = Ledger(Warehouse(settings.warehouse)).attach_missing()
    return Step("outcomes", f"{num} attached", "the service attaches the others as they come")


def _read(kept: Kept, terms: Terms, settings: Settings, now: int) -> Step:
    """Go by what a running experiment says so far."""
    name, warehouse = kept.experiment.name, Warehouse(settings.warehouse)
    tag = kept.experiment.arms[1].policy
    served = Promotion.read(settings.home)
    if served is not None and served.policy == tag:
        return _stop(name, "its candidate is promoted", settings, now)
    seen = look(name, warehouse, now)
    if why := stop_if_crossed(seen, warehouse, now):
        return Step("experiment", f"stopped {name}", why)
    said = " ".join(words.verdict(seen.analysis))
    finding = next(iter(seen.analysis.of(seen.analysis.setup.metrics[0])), None)
    if finding is not None and finding.is_told and not seen.analysis.is_mismatched:
        if (finding.effect.value > 0) is not finding.metric.is_good_up:
            return _stop(name, f"lost: {said}", settings, now)
        return _promote(name, tag, said, settings, now)
    days = (now - kept.started_at) / DAY
    if days > terms.max_days:
        return _stop(name, f"told nothing in {days:.0f} days: {said}", settings, now)
    return Step("experiment", f"waiting for {name}", said)


def _promote(name: str, tag: str, said: str, settings: Settings, now: int) -> Step:
    """First promote, then stop: a kill between the two is mended by the next turn."""
    candidate = find_policy(tag, settings.home)
    assert candidate is not None, "a tag names a policy"
    promote_policy(candidate, settings, now=now, force=f"it won experiment {name}")
    _stop(name, f"won: {said}", settings, now)
    return Step("promotion", f"{tag}; restart the service", f"won: {said}")


def _stop(name: str, why: str, settings: Settings, now: int) -> Step:
    Experiments(Warehouse(settings.warehouse)).stop(name, why, now)
    return Step("experiment", f"stopped {name}", why)


def _try_another(own: list[Kept], terms: Terms, settings: Settings, now: int) -> Iterator[Step]:
    """Learn a candidate, ask the log, and deal shoppers to it and to what is served."""
    rested = min((now - (kept.stopped_at or now) for kept in own), default=None)
    if rested is not None and rested < terms.rest_days * DAY:
        why = f"the last experiment ended {rested / DAY:.1f} days ago, of {terms.rest_days:g}"
        yield Step("learn", "nothing", why)
        return
    try:
        bundle, judged = learn(terms.plan, settings, as_of=now, now=now)
        yield Step("learn", f"{bundle.name} {bundle.version}", judged.lines("what was done")[0])
        beside = gate(bundle, settings, as_of=now)
    except ValueError as error:
        yield Step("learn", "no candidate", str(error))
        return
    if objection := beside.objection():
        yield Step("gate", "kept back", objection)
        return
    yield Step("gate", "passed", beside.lines("the served one")[2])
    yield _start(f"{OWN}{bundle.name}-{bundle.version[:8]}", store(bundle), terms, settings, now)


def _start(name: str, tag: str, terms: Terms, settings: Settings, now: int) -> Step:
    arms = (Arm(name=SERVED, share=0.5), Arm(name=CANDIDATE, share=0.5, policy=tag))
    try:
        experiment = Experiment(
            name=name,
            arms=arms,
            metrics=terms.metrics,
            guardrails=terms.guardrails,
            traffic=terms.traffic,
            window_days=terms.plan.window_days,
            margin=terms.plan.margin,
            planned_num=terms.planned_num,
        )
        setup_of(experiment)
        check_arms(experiment, settings)
        Experiments(Warehouse(settings.warehouse)).start(experiment, now)
    except ValueError as error:
        return Step("experiment", "not started", str(error))
    return Step("experiment", f"started {name}", f"{terms.traffic:.0%} of the shoppers, half each")
