"""Measures a finished run beside the floors and writes what it found: see ``report.py``."""

from training.evaluate.report import evaluate

__all__ = ["evaluate"]
