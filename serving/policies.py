"""A policy is promoted when the log speaks for it: the gate, and what came of each promotion.

The gate judges a policy beside the one that is served, each decision by what did not learn from
its shopper.
Next: ``turn.py``, which goes through it on schedule.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from feature_repo.settings import Settings, iso, microseconds
from serving.promote import store
from serving.settings import Promotion, ServingSettings
from serving.start import RefusedToStart, check_inputs, find_bundles, stored
from training.bundle import MANIFEST, Bundle
from training.judging import Judged, judge
from training.learn import Plan, budgets, log_of
from training.learnt import Learnt
from training.metrics.offpolicy.estimates import Estimate, estimate
from training.policies import POLICIES


def find_policy(name: str, home: Path) -> Bundle | None:
    """The policy in the folder `name`, of that tag, or the newest learnt one; None: a model's name.

    Raises
    ------
    ValueError
        When `name` is a policy that was not learnt here, or a tag that there is not.
    """
    folder = Path(name)
    if (folder / MANIFEST).exists():
        found = Bundle.load(folder)
        return found if found.kind == "policy" else None
    if name.startswith("nudge-policy:"):
        try:
            return Bundle.load(stored(name))
        except RefusedToStart as error:
            raise ValueError(str(error)) from error
    if name not in POLICIES:
        return None
    learnt = sorted(home.glob(f"policies/{name}-*/{MANIFEST}"))
    if not learnt:
        raise ValueError(
            f"no policy {name!r} was learnt in {home.resolve()}; run `python -m training policy "
            f"{name}`, or give the folder of one"
        )
    return Bundle.load(learnt[-1].parent)


def gate(bundle: Bundle, settings: Settings, *, as_of: int) -> Judged:
    """What the log says of the policy beside the one that is served.

    Raises
    ------
    ValueError
        When nothing is served, the served model cannot feed the policy, or there is no log.
    """
    try:
        model, served = find_bundles(settings, ServingSettings())
    except RefusedToStart as error:
        raise ValueError(str(error)) from error
    asked, plan = Learnt.load(bundle), plan_of(bundle)
    check_inputs(asked.policy, model, ServingSettings().campaign)
    log = log_of(plan, settings, as_of)
    return judge(log, asked, Learnt.load(served), budgets(settings, plan.campaign))


def promote_policy(bundle: Bundle, settings: Settings, *, now: int, force: str = "") -> Promotion:
    """Serve this policy, with the model that is served, from the next start on.

    Parameters
    ----------
    now
        Microseconds since 1970 (UTC).
    force
        Why it is promoted even where the log speaks against it or cannot tell; kept.

    Raises
    ------
    ValueError
        When it does not pass the gate, or cannot be served at all.
    """
    judged, objection = _asked(bundle, settings, now, force)
    if objection and not force:
        raise ValueError(
            f"policy {bundle.name} {bundle.version} is not promoted: {objection}; collect more "
            "decisions with chance in them, try it in an experiment (`python -m serving turn`), or "
            "give --force REASON"
        )
    served = Promotion.read(settings.home)
    if served is None:
        raise ValueError("no model is promoted; run `python -m serving promote RUN` first")
    promotion = replace(
        served,
        policy=store(bundle),
        promoted_at=iso(now),
        judged=None if judged is None else judged.to_dict(),
        forced=force if objection else "",
    )
    promotion.keep(settings.home)
    return promotion


def plan_of(bundle: Bundle) -> Plan:
    """How the policy was learnt, which is how it is judged; defaults for one made by hand."""
    lineage = bundle.manifest.get("lineage", {})
    known = ("window_days", "campaign", "margin", "service")
    return Plan(name=bundle.name, **{name: lineage[name] for name in known if name in lineage})


@dataclass(frozen=True, slots=True)
class Came:
    """A promotion's estimate beside what its decisions earned."""

    promotion: Promotion
    num_rows: int
    measured: Estimate | None
    """Profit a decision, of those with a choice whose window has closed; None: too few."""

    @property
    def verdict(self) -> str:
        """Whether what came agrees with what was said."""
        said = self.promotion.judged
        if said is None or self.measured is None:
            return "" if said is None else "too early"
        reach = float(np.hypot((said["own_high"] - said["own_low"]) / 2, self._reach))
        return "as told" if abs(self.measured.value - said["own_value"]) <= reach else "not as told"

    @property
    def _reach(self) -> float:
        assert self.measured is not None, "something was measured"
        return (self.measured.high - self.measured.low) / 2


def came_of(settings: Settings, *, now: int) -> list[Came]:
    """Every promotion of the shop, the earliest first, and what came of it until the next."""
    history = Promotion.history(settings.home)
    ends = [microseconds(one.promoted_at) for one in history[1:]] + [now]
    return [_came(one, settings, end, now) for one, end in zip(history, ends, strict=True)]


def _came(promotion: Promotion, settings: Settings, end: int, now: int) -> Came:
    try:
        bundle = Bundle.load(stored(promotion.policy))
        log = log_of(plan_of(bundle), settings, now)
    except (RefusedToStart, ValueError):
        return Came(promotion, 0, None)
    began = microseconds(promotion.promoted_at)
    own = np.isin(log.policies, [f"{bundle.name}:{bundle.version}", promotion.policy])
    rows = own & (log.decided_at >= began) & (log.decided_at < end)
    found = estimate(log.reward[rows], users=log.users[rows]) if rows.sum() > 1 else None
    return Came(promotion, int(rows.sum()), found)


def _asked(bundle: Bundle, settings: Settings, now: int, force: str) -> tuple[Judged | None, str]:
    """What the log says and what it objects; one that can't be read objects only without force."""
    try:
        judged = gate(bundle, settings, as_of=now)
    except ValueError as error:
        if not force or "window of" not in str(error):
            raise
        return None, str(error)
    return judged, judged.objection()
