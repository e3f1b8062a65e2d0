"""The API page, readiness and figures. Next: ``../service.py``."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter, Request
from fastapi.openapi.docs import get_swagger_ui_html
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from serving.routes.asked import find_stale, moment, seen
from serving.routes.parts import Running
from serving.schemas import Ready

ASSETS = "/docs/assets"
FIGURES: dict[int | str, dict[str, Any]] = {
    200: {"content": {"text/plain": {"schema": {"type": "string"}}}}
}
router = APIRouter()


@router.get("/ready")
def ready(parts: Running) -> Ready:
    """Tell what is loaded. Answers only when requests are answered."""
    asked_at = parts.clock.now()
    catalogue = parts.shelf.current
    return Ready(
        ready=True,
        model=parts.predictor.bundle.name,
        policy=parts.policy_name,
        policy_version=parts.policy_version,
        num_items=len(catalogue),
        catalogue_at=moment(catalogue.as_of),
        stale=find_stale(parts, asked_at),
        **seen(parts, asked_at),
    )


@router.get("/metrics", response_class=Response, responses=FIGURES)
def metrics(parts: Running) -> Response:
    """Give counters and durations in Prometheus' text format."""
    return Response(parts.meters.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/", include_in_schema=False)
def root(request: Request) -> RedirectResponse:
    """Lead to the API page."""
    return RedirectResponse(f"{request.scope.get('root_path', '')}/docs")


@router.get("/docs", include_in_schema=False)
def page(request: Request) -> HTMLResponse:
    """The API page: every endpoint, every field, and a form to try it. No outside address."""
    root = request.scope.get("root_path", "")
    return get_swagger_ui_html(
        openapi_url=f"{root}/openapi.json",
        title="Nudge",
        swagger_js_url=f"{root}{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{root}{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{root}{ASSETS}/favicon-light-32x32.png",
    )
