"""A running average of the weights: steadier than the last step of a noisy walk.

Polyak and Juditsky 1992; with exponential decay as in mean teachers (Tarvainen and Valpola 2017).
Batches of one week each pull the weights to and fro; their average is what gets validated and kept.
Next: ``gradients.py``.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """The average over steps of the parameters that move; `decay` 0 follows the last step."""

    def __init__(self, network: nn.Module, decay: float) -> None:
        self.decay = decay
        self.values = {name: p.detach().clone() for name, p in _moving(network)}

    @torch.no_grad()
    def update(self, network: nn.Module, step: int) -> None:
        """Take in the parameters after `step` steps; the first steps are forgotten faster."""
        decay = min(self.decay, step / (9 + step))
        names, parameters = zip(*_moving(network), strict=True)
        torch._foreach_lerp_([self.values[name] for name in names], parameters, 1.0 - decay)

    @contextmanager
    def applied(self, network: nn.Module) -> Iterator[None]:
        """`network` with the average for its parameters, and with its own again afterwards."""
        own = {name: p.detach().clone() for name, p in _moving(network)}
        _put(network, self.values)
        try:
            yield
        finally:
            _put(network, own)

    def load(self, values: dict[str, Tensor]) -> None:
        """Go on from saved `values`."""
        for name, value in values.items():
            self.values[name].copy_(value)


def _moving(network: nn.Module) -> list[tuple[str, nn.Parameter]]:
    return [(name, p) for name, p in network.named_parameters() if p.requires_grad]


@torch.no_grad()
def _put(network: nn.Module, values: dict[str, Tensor]) -> None:
    for name, parameter in _moving(network):
        parameter.copy_(values[name])
