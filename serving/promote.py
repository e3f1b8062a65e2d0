"""Choose what a shop serves: a model bundle and a policy, kept in BentoML's model store.

``promoted.json`` names the two by tag and is replaced in one step; earlier promotions stay in it,
so that :func:`roll_back` can return to them. Next: ``service.py``.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import bentoml

from feature_repo.ledger import Campaign, Ledger
from feature_repo.settings import Settings, iso
from feature_repo.warehouse import Warehouse
from serving.settings import Promotion, ServingSettings
from serving.start import check_inputs, load_policy
from serving.texts import TextCache
from training.bundle import MANIFEST, Bundle
from training.policies import Policy, Threshold
from training.policies.slate import Slate
from training.track import find_run

REMINDER_SHARE = 0.7
"""The reminder's threshold, as a share of the coupon's."""


def promote(
    name: str,
    settings: Settings,
    *,
    now: int,
    policy: Mapping[str, float] | None = None,
    force: str = "",
) -> Promotion:
    """Serve the model called `name` from the next start of the service on.

    Parameters
    ----------
    name
        Recipe (its newest run), run id, run folder, or bundle folder.
    now
        Microseconds since 1970 (UTC).
    policy
        Settings of the threshold policy; by default a coupon from the risk that best tells leavers
        on validation, a reminder from 70 % of it.
    force
        Why a threshold takes the place of a learnt policy; without it a learnt one stays.

    Raises
    ------
    ValueError
        When there is no such run, its bundle is broken or no model, or the served policy cannot
        read it.
    """
    model = find_model(name, settings.home)
    if model.kind != "model":
        raise ValueError(f"{model.folder} is a bundle of kind {model.kind!r}; promote a model")
    TextCache(settings.home / "cache" / "text", model).seed(model.folder.parent / "data")
    served = None if force else _learnt(settings)
    promotion = Promotion(
        model=store(model),
        policy=_threshold_tag(model, policy or {}, now) if served is None else served.policy,
        promoted_at=iso(now),
        source=str(model.folder),
        judged=None if served is None else served.judged,
        forced=force if served is None else served.forced,
    )
    if served is not None:
        _check_kept(served, model, policy or {})
    promotion.keep(settings.home)
    return promotion


def _learnt(settings: Settings) -> Promotion | None:
    """What is served, where its policy is no threshold."""
    served = Promotion.read(settings.home)
    try:
        policy = None if served is None else load_policy(served.policy)
    except ValueError:  # of another store: there is nothing to keep
        return None
    return served if policy is not None and policy.name != Threshold.name else None


def _check_kept(served: Promotion, model: Bundle, changes: Mapping[str, float]) -> None:
    policy = load_policy(served.policy)
    if changes:
        raise ValueError(
            f"policy {policy.name!r} is served, and --policy sets a threshold's {list(changes)}; "
            "promote the model without it, or give --force REASON to go back to a threshold"
        )
    check_inputs(policy, model, ServingSettings().campaign)


def _threshold_tag(model: Bundle, changes: Mapping[str, float], now: int) -> str:
    with tempfile.TemporaryDirectory() as folder:
        return store(save_policy(Path(folder), threshold_of(model, changes), now))


def roll_back(settings: Settings, *, now: int) -> Promotion:
    """Serve again what was served before; the way back is a promotion too.

    Raises
    ------
    ValueError
        When there is nothing to go back to.
    """
    history = Promotion.history(settings.home)
    earlier = [line for line in history if (line.model, line.policy) != _tags(history[-1])]
    if not earlier:
        raise ValueError("there is no earlier promotion to go back to; promote another run")
    promotion = replace(earlier[-1], promoted_at=iso(now))
    promotion.keep(settings.home)
    return promotion


def find_model(name: str, home: Path) -> Bundle:
    """The bundle in the folder `name`, or that of the run that `name` means."""
    folder = Path(name)
    return Bundle.load(folder if (folder / MANIFEST).exists() else find_run(home, name) / "bundle")


def threshold_of(model: Bundle, changes: Mapping[str, float]) -> Threshold:
    """The threshold policy that suits `model`, with `changes`."""
    score = Threshold().score
    if score not in model.chances:
        raise ValueError(
            f"model {model.name} answers {list(model.chances)}, and the policy needs {score!r};"
            " train the task 'retention'"
        )
    coupon = float(changes.get("coupon_threshold", model.manifest["thresholds"][score]))
    defaults: dict[str, Any] = {
        "coupon_threshold": coupon,
        "reminder_threshold": REMINDER_SHARE * coupon,
    }
    try:
        return Threshold(**{**defaults, **changes})
    except TypeError as error:
        names = ", ".join(Threshold().to_dict())
        raise ValueError(f"unknown setting in {dict(changes)}; the policy has {names}") from error


def save_policy(folder: Path, policy: Policy | Slate, now: int) -> Bundle:
    """`policy` as a bundle in `folder`."""
    return Bundle.save(
        folder,
        kind="policy",
        name=policy.name,
        created_at=now,
        content={"policy": policy.name, "settings": policy.to_dict()},
        weights={},
        card=f"# Policy {policy.name}\n\n{policy}\n\n{type(policy).__doc__}",
    )


def keep_campaign(settings: Settings, campaign_id: str, changes: Mapping[str, Any]) -> Campaign:
    """The campaign, made if there is none, with `changes` to it; money in micros."""
    ledger = Ledger(Warehouse(settings.warehouse))
    try:
        kept = ledger.campaign(campaign_id)
    except ValueError:
        kept = Campaign(
            campaign_id=campaign_id,
            daily_budget_micros=50_000_000,
            cap_num=1,
            cap_days=7.0,
            cost_micros={"coupon": 5_000_000},
        )
    campaign = replace(kept, **changes)
    ledger.upsert_campaign(campaign)
    return campaign


def store(bundle: Bundle) -> str:
    """Put `bundle` into BentoML's model store unless it is there; its tag."""
    tag = f"nudge-{bundle.kind}:{bundle.version}"
    try:
        return str(bentoml.models.get(tag).tag)
    except bentoml.exceptions.NotFound:
        pass
    with bentoml.models.create(tag, labels={"recipe": bundle.name}) as model:
        shutil.copytree(bundle.folder, model.path, dirs_exist_ok=True)
    return tag


def _tags(promotion: Promotion) -> tuple[str, str]:
    return promotion.model, promotion.policy
