"""Whatever has a name that a user may type stands in the documentation, and in both languages."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documented() -> str:
    return "\n".join(page.read_text() for page in PAGES)


def assert_documented(what: str, names: set[str]) -> None:
    """Each of `names` stands somewhere in the documentation, set in code."""
    assert names, f"no {what} found: has the registry moved?"
    text = documented()
    missing = {name for name in names if not re.search(rf"`[^`\n]*{re.escape(name)}(?!\w)", text)}
    assert not missing, f"{what} without a word in docs/ or README.md: {sorted(missing)}"


def commands(app: typer.Typer) -> dict[str, set[str]]:
    """Name of each command with its options; one of a group is called by both names."""
    found = {}
    waiting = list(typer.main.get_command(app).commands.items())
    while waiting:
        name, command = waiting.pop()
        below = getattr(command, "commands", {})
        waiting += [(f"{name} {inner}", one) for inner, one in below.items()]
        options = (option for parameter in command.params for option in parameter.opts)
        found[name] = {option for option in options if "--" in option}
    return found


def test_every_recipe_is_documented():
    from training.recipes import RECIPES

    assert_documented("recipes", set(RECIPES))


def test_every_task_is_documented():
    from training.tasks import TASKS

    assert_documented("tasks", set(TASKS))


def test_every_method_is_documented():
    from training.methods import METHODS

    assert_documented("methods", set(METHODS))


def test_every_policy_is_documented():
    from training.policies import POLICIES

    assert_documented("policies", set(POLICIES))


def test_every_floor_is_documented():
    from training.floors import FLOORS

    assert_documented("floors", set(FLOORS))


def test_every_learner_of_effects_and_every_off_policy_estimator_is_documented():
    from training.effects import LEARNERS
    from training.effects.base import BASES
    from training.metrics.offpolicy.estimators import ESTIMATORS

    assert_documented("learners", {*LEARNERS, *BASES})
    assert_documented("estimators", set(ESTIMATORS))


def test_every_setting_is_documented():
    from feature_repo.settings import Settings
    from serving.settings import ServingSettings

    names = {
        str(settings.model_config["env_prefix"]) + name.upper()
        for settings in (Settings, ServingSettings)
        for name in settings.model_fields
    }
    assert_documented("settings", names)


def test_every_variable_of_the_environment_is_documented():
    shell = (ROOT / "infra" / "environment.sh").read_text()
    assert_documented("variables", set(re.findall(r"export ([A-Z]\w+)", shell)))


def test_every_kind_of_event_and_every_reject_reason_is_documented():
    from feature_repo.events import KINDS, REJECT_REASONS

    assert_documented("kinds", set(KINDS))
    assert_documented("reject reasons", set(REJECT_REASONS))


def test_every_feature_is_documented():
    from feature_repo.derive import ITEM_FEATURES, USER_FEATURES

    assert_documented("user features", set(USER_FEATURES))
    assert_documented("item features", set(ITEM_FEATURES))


@pytest.mark.parametrize("package", ["feature_repo", "training", "serving"])
def test_every_command_and_option_is_documented(package):
    import importlib

    app = importlib.import_module(f"{package}.__main__").app
    found = commands(app)
    assert_documented("commands", {f"python -m {package} {name}" for name in found})
    assert_documented("options", set().union(*found.values()) - {"--help"})


def test_every_endpoint_is_documented():
    from serving.service import app

    paths = {
        f"{method.upper()} {path}"
        for path, methods in app.openapi()["paths"].items()
        for method in methods
    }
    assert_documented("endpoints", paths)


def test_every_target_of_make_is_documented():
    targets = re.findall(r"^([a-z][a-z-]*):", (ROOT / "Makefile").read_text(), re.MULTILINE)
    assert_documented("make targets", {f"make {target}" for target in targets if target != "lint"})


def test_the_chinese_readme_has_the_same_headings_and_commands():
    english, chinese = ((ROOT / name).read_text() for name in ("README.md", "README.zh-CN.md"))

    def outline(text: str) -> list[int]:
        plain = FENCE.sub("", text)
        return [len(marks) for marks in re.findall(r"^(#+) ", plain, re.MULTILINE)]

    def blocks(text: str) -> list[tuple[str, list[str]]]:
        # Comments may be translated, commands may not; a picture has the same number of arrows.
        return [
            (language, [line.partition("  #")[0].strip() for line in body.splitlines()])
            for language, body in FENCE.findall(text)
            if language not in ("", "mermaid")
        ]

    assert outline(english) == outline(chinese)
    assert blocks(english) == blocks(chinese)


def test_links_between_pages_lead_somewhere():
    pages = [*PAGES, ROOT / "README.zh-CN.md", ROOT / "CONTRIBUTING.md"]
    broken = [
        f"{page.name}: {target}"
        for page in pages
        for target in re.findall(r"\]\(([^)#\s]+)", FENCE.sub("", page.read_text()))
        if "://" not in target and not (page.parent / target).exists()
    ]
    assert not broken


def test_every_page_is_in_the_index():
    index = (ROOT / "docs" / "README.md").read_text()
    missing = [
        str(page.relative_to(ROOT / "docs"))
        for page in PAGES[1:]
        if page.name != "README.md" and f"({page.relative_to(ROOT / 'docs')})" not in index
    ]
    assert not missing


def test_the_quick_start_gives_only_commands_that_the_readme_gives_too():
    # The README's commands are run by tests/story; so these work as well.
    def commands_of(page: Path) -> set[str]:
        blocks = [body for language, body in FENCE.findall(page.read_text()) if language == "bash"]
        return {line.strip() for body in blocks for line in body.splitlines() if line.strip()}

    assert commands_of(ROOT / "docs" / "quickstart.md") <= commands_of(ROOT / "README.md")
