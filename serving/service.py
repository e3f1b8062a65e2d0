"""The service: one web application, mounted in BentoML, over one shop and one promoted model.

``bentoml serve serving.service:Nudge`` starts it; tests give :func:`create_app` their own parts.
Starting checks that the features of the registry are those that the model was trained on, and
refuses otherwise. Next: ``routes/parts.py``, then a route.
"""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bentoml
from anyio import to_thread
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from feature_repo import retrieval
from feature_repo.settings import Settings
from serving.catalogue import Shelf
from serving.predictor import Predictor
from serving.routes import decide, events, predict, problems, recommend, system, users
from serving.routes.meters import Meters
from serving.routes.parts import Parts
from serving.settings import Promotion, ServingSettings
from serving.spool import Spool
from serving.stores import Stores, first_difference, without_torch
from serving.upkeep import Upkeep
from training.bundle import Bundle
from training.policies import POLICIES, Policy

ASSETS = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
"""Swagger UI as BentoML brings it, so that the API page asks no outside address."""


class RefusedToStart(bentoml.exceptions.BentoMLException):
    """The service would not answer rightly; the message says why and what to do."""


def create_app(start: Callable[[], Parts]) -> FastAPI:
    """The application; `start` puts its parts together when it starts, not before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = await to_thread.run_sync(start)
        app.state.parts = parts
        parts.shelf.start()
        parts.upkeep.start()
        try:
            yield
        finally:
            parts.upkeep.stop()
            parts.shelf.stop()

    app = FastAPI(
        title="Nudge",
        version=_version(),
        description="What each shopper will do next, what to do about it, and what came of it.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        responses=problems.DOCUMENTED,
    )
    for module in (recommend, predict, decide, events, users, system):
        app.include_router(module.router)
    app.mount(system.ASSETS, StaticFiles(directory=ASSETS), name="assets")
    problems.install(app)
    return app


def open_parts() -> Parts:
    """The real parts, from the environment.

    Raises
    ------
    RefusedToStart
        When nothing was promoted, or the features are not those of the model.
    """
    settings, serving = Settings(), ServingSettings()
    model, policy_bundle = find_bundles(settings, serving)
    check_schema(model, settings)
    predictor = Predictor(model, settings.home / "cache" / "text", serving.num_threads)
    meters = Meters()
    with without_torch():
        stores = Stores(settings, model.manifest)
    make = partial(stores.make_catalogue, predictor, meters.items.set)
    spool = Spool(settings.home / "spool")
    return Parts(
        settings=serving,
        clock=stores.clock,
        predictor=predictor,
        shelf=Shelf(make, stores.clock, serving.refresh_check_s),
        policy=policy_of(policy_bundle),
        policy_name=policy_bundle.name,
        policy_version=policy_bundle.version,
        ledger=stores.ledger,
        read_user=stores.read_user,
        unknown_user=stores.unknown_user,
        record=stores.keep_events,
        refresh=stores.refresh,
        known_times=stores.known_times,
        new_id=lambda: uuid.uuid4().hex,
        meters=meters,
        spool=spool,
        upkeep=Upkeep(
            stores.chores(), spool, retry_s=serving.retry_s, look_s=serving.refresh_check_s
        ),
    )


def find_bundles(settings: Settings, serving: ServingSettings) -> tuple[Bundle, Bundle]:
    """The model and the policy to serve: what was promoted, or what the settings name."""
    promoted = Promotion.read(settings.home)
    if promoted is None and not (serving.bundle and serving.policy):
        raise RefusedToStart(
            f"nothing was promoted in {settings.home.resolve()}; run `python -m serving promote "
            "RUN`, or set NUDGE_SERVING_BUNDLE and NUDGE_SERVING_POLICY to bundle folders"
        )
    folders = [
        named or _stored(tag)
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


def policy_of(bundle: Bundle) -> Policy:
    """The policy in `bundle`."""
    return POLICIES[bundle.manifest["policy"]].from_dict(bundle.manifest["settings"])


def check_schema(model: Bundle, settings: Settings) -> None:
    """Refuse a model whose features are not those of the registry, naming the first."""
    with without_torch():
        registered = {
            service: retrieval.schema(service, settings) for service in model.manifest["schema"]
        }
    for service, trained in model.manifest["schema"].items():
        if difference := first_difference(trained, registered[service]):
            raise RefusedToStart(
                f"feature service {service!r} is not what model {model.name} {model.version} was "
                f"trained on: {difference}. Run `feast apply` with the definitions of that model, "
                "or fit and promote a model on these"
            )


def _version() -> str:
    """Of the installed package; a Bento runs from its source tree."""
    try:
        return version("nudge")
    except PackageNotFoundError:
        return "0"


def _stored(tag: str) -> Path:
    try:
        return Path(bentoml.models.get(tag).path)
    except bentoml.exceptions.NotFound as error:
        raise RefusedToStart(
            f"BentoML's model store has no {tag}, which was promoted; set BENTOML_HOME to the "
            "store it was promoted into, or promote again"
        ) from error


app = create_app(open_parts)


@bentoml.service(http={"host": "127.0.0.1", "port": 3000}, traffic={"timeout": 60})
@bentoml.asgi_app(app)
class Nudge:
    """BentoML's part: processes, workers, liveness, readiness, figures, the model store."""

    @bentoml.on_deployment
    def check() -> None:
        """Refuse before any worker starts; a worker that refused would be started for ever."""
        settings, serving = Settings(), ServingSettings()
        model, _ = find_bundles(settings, serving)
        check_schema(model, settings)

    def __is_ready__(self) -> bool:
        """Whether requests are answered."""
        return getattr(app.state, "parts", None) is not None
