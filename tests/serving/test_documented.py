"""Every field, setting, figure and failure of the service stands in its documentation."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

DOCS = Path(__file__).parents[2] / "docs"


@pytest.fixture(scope="module")
def openapi() -> dict:
    from serving.service import app

    return app.openapi()


def in_code(page: str) -> str:
    return " ".join(re.findall(r"`[^`\n]+`", (DOCS / page).read_text()))


def words(page: str) -> set[str]:
    return set(re.findall(r"\w+", in_code(page)))


def test_every_endpoint_is_documented(openapi):
    assert len(openapi["paths"]) >= 8
    for path, methods in openapi["paths"].items():
        for method in methods:
            assert f"`{method.upper()} {path}`" in (DOCS / "api.md").read_text()


def test_every_field_is_documented(openapi):
    known = words("api.md")
    for name, schema in openapi["components"]["schemas"].items():
        if "Validation" not in name:
            assert set(schema["properties"]) <= known, name


def test_every_field_has_a_description(openapi):
    silent = [
        f"{name}.{field}"
        for name, schema in openapi["components"]["schemas"].items()
        for field, about in schema["properties"].items()
        if "Validation" not in name and not about.get("description")
    ]
    assert silent == []


def test_every_figure_is_documented(client):
    figures = set(re.findall(r"^# TYPE (\w+) ", client.get("/metrics").text, re.MULTILINE))
    ours = {name for name in figures if not name.endswith("_created")}
    assert len(ours) == 9
    assert ours <= words("api.md")


def test_every_setting_is_documented_with_its_default():
    from serving.settings import ServingSettings

    page = (DOCS / "serving.md").read_text()
    for name, setting in ServingSettings.model_fields.items():
        default = "" if setting.default is None else str(setting.default).removesuffix(".0")
        row = re.search(rf"\| `NUDGE_SERVING_{name.upper()}` \| (.*?)\|", page)
        assert row is not None, name
        assert row[1].strip().strip("`") == default, name


def test_every_flag_is_documented(desk):
    page = in_code("api.md")
    for flag in ("shopper", "history", "purchases", "feature: <name>", "catalogue", "model"):
        assert f"`{flag}`" in page
