"""Campaigns, caps of channels and suppressions from the command line."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner

from feature_repo.ledger import Ledger
from feature_repo.settings import Settings
from feature_repo.warehouse import Warehouse
from serving.__main__ import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setenv("NUDGE_HOME", str(tmp_path))
    Warehouse(Settings().warehouse).migrate()
    return lambda *told: CliRunner().invoke(app, list(told))


def test_a_campaign_is_made_changed_and_shown(run):
    made = run(
        "campaign", "set", "spring", "--daily-budget", "20", "--total-budget", "100",
        "--cost", "coupon=5", "--channel", "coupon=email", "--cap-num", "2", "--cap-days", "14",
        "--needs-consent", "--condition", "num_purchases >= 1", "--quiet-hours", "21:00-08:00",
        "--exclusion-group", "offers", "--exclusion-days", "7", "--hold-hours", "48",
    )  # fmt: skip
    assert made.exit_code == 0, made.output
    kept = Ledger(Warehouse(Settings().warehouse)).campaign("spring")
    assert (kept.daily_budget_micros, kept.total_budget_micros) == (20_000_000, 100_000_000)
    assert kept.conditions == ("num_purchases >= 1",)
    assert (kept.channels, kept.needs_consent, kept.hold_hours) == ({"coupon": "email"}, True, 48)
    run("campaign", "set", "spring", "--total-budget", "none", "--quiet-hours", "none")
    changed = Ledger(Warehouse(Settings().warehouse)).campaign("spring")
    assert (changed.total_budget_micros, changed.quiet_hours) == (None, None)
    assert changed.daily_budget_micros == 20_000_000
    shown = run("campaign", "show", "spring").output
    assert "num_purchases >= 1" in shown
    assert "20.00" in shown
    assert "2 in 14 days" in run("campaign", "list").output


def test_what_cannot_be_is_refused_in_words(run):
    for told, words in (
        (["--quiet-hours", "9pm"], "21:00-08:00"),
        (["--condition", "rich"], "num_purchases >= 1"),
        (["--cost", "coupon"], "coupon=email or coupon=5"),
        (["--total-budget", "much"], "write a number, or none"),
    ):
        found = run("campaign", "set", "c", *told)
        assert found.exit_code == 2, found.output
        assert words in " ".join(found.output.replace("│", " ").split())
    assert "there is no campaign" in run("campaign", "show", "nobody").output


def test_a_channel_is_capped_and_free_again(run):
    assert (
        "at most 2 within 3 days"
        in run("campaign", "cap", "email", "--num", "2", "--days", "3").output
    )
    assert "by email: at most 2" in run("campaign", "list").output
    assert "any number" in run("campaign", "cap", "email").output
    assert "by email" not in run("campaign", "list").output


def test_a_shopper_is_suppressed_listed_and_allowed_again(run):
    assert run("suppress", "ann").exit_code == 2
    assert (
        "left alone: asked by letter"
        in run("suppress", "ann", "--reason", "asked by letter").output
    )
    assert "asked by letter" in run("suppress").output
    assert "again" in run("suppress", "ann", "--remove").output
    assert "nothing forbade it" in run("suppress", "ann", "--remove").output
