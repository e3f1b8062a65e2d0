"""The page of benchmarks is what the results say, and every picture in it is there."""

from __future__ import annotations

import re

from tests.bench import report


def test_the_page_is_made_of_the_results_and_of_nothing_else():
    text = (report.DOCS / "benchmarks.md").read_text()
    assert text == report.page(report.benches()), "write it again: python -m tests.bench.report"
    pictures = re.findall(r"\]\((pictures/[^)]+)\)", text)
    assert pictures
    assert all((report.DOCS / picture).exists() for picture in pictures)
