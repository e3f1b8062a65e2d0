"""How arms, ramp-up and shares are written on a command line.

Next: ``serving/experiment_commands.py``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated

import typer

from feature_repo.experiments import Arm

Arms = Annotated[
    list[str],
    typer.Option(
        "--arm",
        help="NAME:SHARE or NAME:SHARE:WHAT, the control first; WHAT is `nothing`, the tag of a "
        "promoted policy, or settings of the served one as coupon_threshold=0.5,epsilon=0.1",
    ),
]
Metrics = Annotated[
    list[str], typer.Option("--metric", help="what is measured; the first decides; repeatable")
]
Window = Annotated[
    float, typer.Option(min=0.01, help="days after the first exposure in which outcomes count")
]
Margin = Annotated[float, typer.Option(min=0.0001, max=1, help="share of revenue that is profit")]
Traffic = Annotated[float, typer.Option(min=0.0001, max=1, help="share of the layer's shoppers")]
Ramp = Annotated[
    list[str] | None,
    typer.Option(help="DAY:SHARE of the traffic from that day on, as 0:0.1; repeatable"),
]
Alpha = Annotated[float, typer.Option(min=0.0001, max=0.5, help="chance of a false finding")]
Segments = Annotated[
    list[str] | None, typer.Option("--segment", help="column, or attribute of users; repeatable")
]


def arms(texts: Iterable[str]) -> tuple[Arm, ...]:
    """Arms from ``NAME:SHARE`` or ``NAME:SHARE:WHAT``.

    Raises
    ------
    ValueError
        When one is none.
    """
    return tuple(_arm(text) for text in texts)


def steps(texts: Sequence[str] | None) -> tuple[tuple[float, float], ...]:
    """Ramp-up steps from ``DAY:SHARE``; all at once without any."""
    if not texts:
        return ((0.0, 1.0),)
    return tuple(_numbers(text, ":", "--ramp", "0:0.1") for text in texts)


def shares(texts: Sequence[str] | None) -> dict[str, float] | None:
    """Shares of arms from ``ARM=SHARE``."""
    if not texts:
        return None
    pairs = (text.rpartition("=") for text in texts)
    return {name: _number(share, f"{name}={share}", "--share", "B=0.5") for name, _, share in pairs}


def _arm(text: str) -> Arm:
    name, _, rest = text.partition(":")
    share, _, what = rest.partition(":")
    number = _number(share, text, "--arm", "treated:0.5:coupon_threshold=0.5")
    if "=" not in what:
        return Arm(name=name, share=number, policy=what)
    pairs = [pair.partition("=") for pair in what.split(",")]
    settings = {key: _number(value, text, "--arm", "a:0.5:epsilon=0.1") for key, _, value in pairs}
    return Arm(name=name, share=number, settings=settings)


def _numbers(text: str, between: str, option: str, example: str) -> tuple[float, float]:
    left, _, right = text.partition(between)
    return _number(left, text, option, example), _number(right, text, option, example)


def _number(part: str, text: str, option: str, example: str) -> float:
    try:
        return float(part)
    except ValueError as error:
        raise ValueError(f"{option} {text!r} cannot be read; write it as {example}") from error
