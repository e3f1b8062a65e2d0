"""The service: one web application, mounted in BentoML, over one shop and one promoted model.

``bentoml serve serving.service:Nudge`` starts it; tests give :func:`create_app` their own parts.
Starting checks that the features of the registry are those that the model was trained on, and
refuses otherwise. Next: ``routes/parts.py``, then a route.
"""

from __future__ import annotations

import sys
import uuid
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import bentoml
from anyio import to_thread
from fastapi import FastAPI
from fastapi.staticfiles import StaticFiles

from feature_repo import retrieval
from feature_repo.ledger import Ledger
from feature_repo.settings import Settings, SystemClock
from feature_repo.warehouse import Warehouse
from serving.catalogue import Catalogue, Shelf, build
from serving.predictor import Predictor
from serving.routes import decide, events, predict, problems, recommend, system, users
from serving.routes.meters import Meters
from serving.routes.parts import Parts
from serving.settings import Promotion, ServingSettings
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
        try:
            yield
        finally:
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
    with without_torch():
        from feature_repo import publish
    predictor = Predictor(model, settings.home / "cache" / "text", serving.num_threads)
    warehouse, clock, meters = Warehouse(settings.warehouse), SystemClock(settings.home), Meters()
    make = partial(make_catalogue, predictor, warehouse, settings, clock, meters)
    service = str(model.manifest["service"])
    return Parts(
        settings=serving,
        clock=clock,
        predictor=predictor,
        shelf=Shelf(make, clock, serving.refresh_check_s),
        policy=policy_of(policy_bundle),
        policy_name=policy_bundle.name,
        policy_version=policy_bundle.version,
        ledger=Ledger(warehouse),
        read_user=lambda user, asked_at: retrieval.online([user], service, asked_at, settings),
        record=lambda frame: publish.record(warehouse, frame, settings, clock, source="http"),
        known_times=lambda users: dict(
            warehouse.events(user_ids=users).select("event_id", "received_at").iter_rows()
        ),
        new_id=lambda: uuid.uuid4().hex,
        meters=meters,
    )


def make_catalogue(
    predictor: Predictor,
    warehouse: Warehouse,
    settings: Settings,
    clock: SystemClock,
    meters: Meters,
    as_of: int,
) -> Catalogue:
    """All items as of the midnight `as_of`, with their online rows brought up to it."""
    from feature_repo.publish import refresh_items

    item_ids = sorted(refresh_items(warehouse, settings, clock))
    service = str(predictor.bundle.manifest["item_service"])
    frame = retrieval.online(item_ids, service, as_of, settings)
    catalogue = build(frame, predictor.spec, predictor, as_of)
    meters.items.set(len(catalogue))
    return catalogue


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


def first_difference(trained: Mapping[str, str], registered: Mapping[str, str]) -> str:
    """The first feature that differs, in words; empty when none does."""
    for name, kind in trained.items():
        if name not in registered:
            return f"feature {name!r} is gone from the registry"
        if registered[name] != kind:
            return f"feature {name!r} was {kind} and is {registered[name]} in the registry"
    for name in registered:
        if name not in trained:
            return f"feature {name!r} of the registry is unknown to the model"
    return ""


@contextmanager
def without_torch() -> Iterator[None]:
    """Keep Feast from importing torch where it is installed: no request needs it.

    Feast tries the import for a conversion to tensors and goes on without it. Torch would cost
    each worker seconds at start and some 200 MB.
    """
    if "torch" in sys.modules:
        yield
        return
    sys.modules["torch"] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        del sys.modules["torch"]


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
