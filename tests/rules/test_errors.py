"""Each error that a user can meet names its cure, and stands on the page of errors."""

from __future__ import annotations

from tests.rules.error_page import PAGE, messages, page


def test_an_error_says_what_happened_and_what_to_change():
    without = [message for message in messages() if len(message.cure) < 5]
    assert not without, "end each with '; ' and what to change"


def test_the_page_lists_every_error_of_the_code():
    assert PAGE.read_text() == page(), "write it again: python -m tests.rules.error_page"
