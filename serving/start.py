"""What must hold before the service starts; :class:`RefusedToStart` says what does not.

A model and a policy, features that are those of the model, and an entrance that is either this
machine's own or asks for keys. Next: ``service.py``.
"""

from __future__ import annotations

from pathlib import Path

import bentoml
import click
from bentoml._internal.configuration.containers import BentoMLContainer

from feature_repo import retrieval
from feature_repo.experiments import LISTS, Experiment
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from serving import keys
from serving.decide import unknown_budgets
from serving.experiments.running import NOTHING, changed
from serving.guard import is_local
from serving.lists import check_lists
from serving.settings import Promotion, ServingSettings
from serving.slate import Ordering, open_ordering
from serving.stores import first_difference
from training.bundle import Bundle
from training.policies import POLICIES, Policy
from training.policies.inputs import NUMERIC
from training.policies.timed import REACHES


class RefusedToStart(bentoml.exceptions.BentoMLException):
    """The service would not answer rightly; the message says why and what to do."""


def find_bundles(settings: Settings, serving: ServingSettings) -> tuple[Bundle, Bundle]:
    """The model and the policy to serve: what was promoted, or what the settings name."""
    promoted = Promotion.read(settings.home)
    if promoted is None and not (serving.bundle and serving.policy):
        raise RefusedToStart(
            f"nothing was promoted in {settings.home.resolve()}; run `python -m serving promote "
            "RUN`, or set NUDGE_SERVING_BUNDLE and NUDGE_SERVING_POLICY to bundle folders"
        )
    folders = [
        named or stored(tag)
        for named, tag in (
            (serving.bundle, promoted.model if promoted else ""),
            (serving.policy, promoted.policy if promoted else ""),
        )
    ]
    try:
        model, policy = (Bundle.load(folder) for folder in folders)
    except ValueError as error:
        raise RefusedToStart(str(error)) from error
    return model, policy


def check_schema(model: Bundle, settings: Settings) -> None:
    """Refuse a model whose features are not those of the registry, naming the first.

    So are a registry or a warehouse that cannot be reached, or that another version made.
    """
    try:
        Warehouse(settings.warehouse).check()
        registered = {
            service: retrieval.schema(service, settings) for service in model.manifest["schema"]
        }
    except Exception as error:
        raise RefusedToStart(
            f"the warehouse or the registry cannot be used: {error}; both are needed to start"
        ) from error
    for service, trained in model.manifest["schema"].items():
        if difference := first_difference(trained, registered[service]):
            raise RefusedToStart(
                f"feature service {service!r} is not what model {model.name} {model.version} was "
                f"trained on: {difference}; run `feast apply` with the definitions of that model, "
                "or fit and promote a model on these"
            )


def check_entrance(host: str, settings: Settings, serving: ServingSettings) -> None:
    """Refuse to listen where other machines reach us while nobody needs a key."""
    path = serving.keys_path(settings.home)
    try:
        kept = keys.read(path)
    except ValueError as error:
        raise RefusedToStart(str(error)) from error
    if serving.require_keys is None and not kept and not is_local(host):
        raise RefusedToStart(
            f"the service would listen on {host}, where other machines reach it, and {path} has no "
            "API key; make one with `python -m serving key create --name NAME --scope write`, "
            "listen on 127.0.0.1, or set NUDGE_SERVING_REQUIRE_KEYS=false where something else "
            "asks who comes in"
        )


def find_ordering(serving: ServingSettings) -> Ordering:
    """How recommendations are put in order."""
    try:
        return open_ordering(serving.slate, serving.slate_temperature)
    except ValueError as error:
        raise RefusedToStart(f"NUDGE_SERVING_SLATE: {error}") from error


def load_policy(tag: str) -> Policy:
    """The policy that was promoted under `tag`.

    Raises
    ------
    ValueError
        When there is none.
    """
    try:
        return policy_of(Bundle.load(stored(tag)))
    except RefusedToStart as error:
        raise ValueError(str(error)) from error


def load_ordering(tag: str) -> Ordering:
    """How lists are made by the slate that was stored under `tag`.

    Raises
    ------
    ValueError
        When there is none.
    """
    try:
        return open_ordering(stored(tag), None)
    except RefusedToStart as error:
        raise ValueError(str(error)) from error


def policy_of(bundle: Bundle) -> Policy:
    """The policy in `bundle`."""
    return POLICIES[bundle.manifest["policy"]].from_dict(bundle.manifest["settings"])


def check_inputs(policy: Policy, model: Bundle, campaign: str) -> None:
    """Refuse a policy that the served model cannot feed, or that spends another budget.

    Raises
    ------
    ValueError
        With the inputs that there are.
    """
    features = model.manifest["schema"][model.manifest["service"]]
    numbers = [name for name, kind in features.items() if kind in NUMERIC]
    told = {*numbers, *model.chances, *REACHES}
    if missing := [one for one in policy.needs if one not in told]:
        raise ValueError(
            f"policy {policy.name!r} reads {', '.join(missing)}, which model {model.name} "
            f"{model.version} does not have; it has the heads {', '.join(model.chances)} "
            f"and the features {', '.join(numbers)}; learn the policy again with these"
        )
    if other := unknown_budgets(policy, campaign):
        raise ValueError(
            f"policy {policy.name!r} spends the budget of campaign {', '.join(other)}, and "
            f"{campaign!r} is served; learn it with --campaign {campaign}, or set "
            "NUDGE_SERVING_CAMPAIGN"
        )


def check_arms(experiment: Experiment, settings: Settings) -> None:
    """Refuse arms that the service could not obey.

    Raises
    ------
    ValueError
        When nothing was promoted, or an arm names a policy, slate or setting that there is not.
    """
    try:
        model, served = find_bundles(settings, ServingSettings())
        if experiment.layer == LISTS:
            check_lists(experiment, find_ordering(ServingSettings()), load_ordering)
            return
    except RefusedToStart as error:
        raise ValueError(str(error)) from error
    for arm in experiment.arms:
        if arm.policy != NOTHING:
            base = load_policy(arm.policy) if arm.policy else policy_of(served)
            check_inputs(changed(base, arm.settings), model, ServingSettings().campaign)


def listens_on() -> str:
    """The address that `bentoml serve` was told to listen on."""
    context = click.get_current_context(silent=True)
    told = context.params.get("host") if context is not None else None
    return str(told or BentoMLContainer.http.host.get())


def stored(tag: str) -> Path:
    """Where BentoML keeps what was promoted under `tag`."""
    try:
        return Path(bentoml.models.get(tag).path)
    except bentoml.exceptions.NotFound as error:
        raise RefusedToStart(
            f"BentoML's model store has no {tag}, which was promoted; set BENTOML_HOME to the "
            "store it was promoted into, or promote again"
        ) from error
