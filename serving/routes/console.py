"""``GET /console``: a page to look at, of plain files; its script asks the other endpoints.

The files hold nothing of the shop, so nobody is asked for a key here. Next: ``system.py``.
"""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.responses import FileResponse

from serving.routes.parts import NotFound

FOLDER = Path(__file__).parents[1] / "console"
KINDS = {".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
FILES = {path.name: path for path in FOLDER.iterdir() if path.suffix in KINDS}
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing inline and nothing from elsewhere: text that looks like a script stays text."""
HEADERS = {"Content-Security-Policy": POLICY, "Cache-Control": "no-cache"}

router = APIRouter(include_in_schema=False)


@router.get("/console")
def console() -> FileResponse:
    """The page itself."""
    return FileResponse(FOLDER / "index.html", media_type="text/html", headers=HEADERS)


@router.get("/console/{name}")
def file(name: str) -> FileResponse:
    """What the page is made of."""
    path = FILES.get(name)
    if path is None:
        raise NotFound(f"the console has no file {name!r}; it has {sorted(FILES)}")
    return FileResponse(path, media_type=KINDS[path.suffix], headers=HEADERS)
