"""The service: one web application, mounted in BentoML, over one shop and one promoted model.

``bentoml serve serving.service:Nudge`` starts it; tests give :func:`create_app` their own parts.
``start.py`` says when it refuses to start, ``guard.py`` what stands before its endpoints. Next:
``routes/parts.py``, then a route.
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
from starlette.types import ASGIApp

from feature_repo.exposures import Experiments
from feature_repo.messages import Outbox
from feature_repo.settings import Settings
from serving import logs, openapi
from serving.catalogue import Shelf
from serving.experiments.running import Assignment
from serving.guard import Guard
from serving.keys import KeyRing
from serving.lists import Lists
from serving.outbox import Background, deliver, sender_of
from serving.pace import settle, without_spans
from serving.predictor import Predictor
from serving.routes import (
    console,
    decide,
    events,
    outlook,
    predict,
    problems,
    recommend,
    system,
    users,
)
from serving.routes.meters import Meters
from serving.routes.parts import Parts
from serving.settings import ServingSettings
from serving.sights import Sights
from serving.spool import Spool
from serving.start import (
    check_entrance,
    check_schema,
    find_bundles,
    find_ordering,
    listens_on,
    load_ordering,
    load_policy,
    policy_of,
)
from serving.stores import Stores
from serving.upkeep import Upkeep

ASSETS = Path(bentoml.__file__).parent / "_internal" / "server" / "static_content"
"""Swagger UI as BentoML brings it, so that the API page asks no outside address."""


def unkeyed(app: ASGIApp) -> ASGIApp:
    """`app` behind a guard that knows no keys."""
    return Guard(app, ServingSettings(), KeyRing(None))


def keyed(app: ASGIApp) -> ASGIApp:
    """`app` behind the guard of this environment's shop, which writes the log as JSON lines."""
    logs.configure()
    serving = ServingSettings()
    return Guard(app, serving, KeyRing(serving.keys_path(Settings().home)))


def create_app(
    start: Callable[[], Parts], guard: Callable[[ASGIApp], ASGIApp] = unkeyed
) -> FastAPI:
    """The application; `start` puts its parts together when it starts, not before."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        parts = await to_thread.run_sync(start)
        app.state.parts = parts
        parts.shelf.start()
        parts.upkeep.start()
        if parts.outbox is not None:
            parts.outbox.start()
        try:
            yield
        finally:
            if parts.outbox is not None:
                parts.outbox.stop()
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
    for module in (recommend, predict, decide, events, users, outlook, console, system):
        app.include_router(module.router)
    app.mount(system.ASSETS, StaticFiles(directory=ASSETS), name="assets")
    problems.install(app)
    openapi.complete(app)
    app.add_middleware(guard)
    return app


def open_parts() -> Parts:
    """The real parts, from the environment.

    Raises
    ------
    start.RefusedToStart
        When nothing was promoted, or the features are not those of the model.
    """
    settings, serving = Settings(), ServingSettings()
    model, policy_bundle = find_bundles(settings, serving)
    check_schema(model, settings)
    predictor = Predictor(model, settings.home / "cache" / "text", serving.num_threads)
    meters = Meters()
    stores = Stores(settings, model.manifest, sends=bool(serving.outbox))
    make = partial(stores.make_catalogue, predictor, meters.items.set)
    shelf = Shelf(make, stores.clock, serving.refresh_check_s, meters.catalogue_late.set)
    settle(partial(_first_request, stores, predictor, shelf))
    spool, policy = Spool(settings.home / "spool"), policy_of(policy_bundle)
    assign = Assignment(
        policy,
        f"{policy_bundle.name}:{policy_bundle.version}",
        read=Experiments(stores.warehouse).running,
        load=load_policy,
        holdout_share=serving.holdout_share,
    )
    return Parts(
        settings=serving,
        clock=stores.clock,
        predictor=predictor,
        shelf=shelf,
        policy=policy,
        policy_name=policy_bundle.name,
        policy_version=policy_bundle.version,
        assign=assign,
        ledger=stores.ledger,
        read_user=stores.read_user,
        unknown_user=stores.unknown_user,
        record=stores.keep_events,
        refresh=stores.refresh,
        known_times=stores.known_times,
        new_id=lambda: uuid.uuid4().hex,
        sights=Sights(stores.warehouse, settings, holdout_share=serving.holdout_share),
        meters=meters,
        spool=spool,
        upkeep=Upkeep(
            stores.chores(), spool, retry_s=serving.retry_s, look_s=serving.refresh_check_s
        ),
        lists=Lists(find_ordering(serving), assign.running, load_ordering),
        outbox=_outbox(stores, serving, meters),
    )


def _first_request(stores: Stores, predictor: Predictor, shelf: Shelf) -> None:
    """Read and score a shopper that nobody is; keeps nothing."""
    asked_at = stores.clock.now()
    predictor.score(stores.read_user("", asked_at), asked_at, shelf.current)


def _outbox(stores: Stores, serving: ServingSettings, meters: Meters) -> Background | None:
    """What sends messages, where the settings say so."""
    send = sender_of(serving, stores.settings.home)
    if send is None:
        return None
    kept = Outbox(stores.warehouse)

    def work(is_over: Callable[[], bool]) -> object:
        return deliver(kept, send, stores.record, stores.clock, serving, is_over=is_over)

    return Background(work, lambda: meters.tell_outbox(kept.counts()), serving.retry_s)


def _version() -> str:
    """Of the installed package; a Bento runs from its source tree."""
    try:
        return version("nudge")
    except PackageNotFoundError:
        return "0"


without_spans()
app = create_app(open_parts, keyed)


@bentoml.service(
    http={"host": "127.0.0.1", "port": 3000},
    traffic={"timeout": 60},
    logging={"access": {"enabled": False}},
)
@bentoml.asgi_app(app)
class Nudge:
    """BentoML's part: processes, workers, liveness, readiness, figures, the model store."""

    @bentoml.on_deployment
    def check() -> None:
        """Refuse before any worker starts; a worker that refused would be started for ever."""
        settings, serving = Settings(), ServingSettings()
        check_entrance(listens_on(), settings, serving)
        model, _ = find_bundles(settings, serving)
        find_ordering(serving)
        check_schema(model, settings)

    def __is_ready__(self) -> bool:
        """Whether requests are answered."""
        return getattr(app.state, "parts", None) is not None


# BentoML answers some paths itself; so the guard stands before it, and the application's own rests.
Nudge.add_asgi_middleware(keyed)  # type: ignore[attr-defined]
