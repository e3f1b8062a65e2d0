"""Recipes: functions that return a whole run. One dial, ``size``, sets a family of networks.

``python -m training fit RECIPE`` trains one. Next: ``run.py``, then ``fit.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from training.methods import Lora
from training.run import SIZES, ModelConfig, OptimConfig, Run

Recipe = Callable[[str], Run]

MODELS = {
    "tiny": ModelConfig(width=32, num_layers=1, dropout=0.1, max_history=50),
    "small": ModelConfig(width=64, num_layers=2),
    "base": ModelConfig(width=128, num_layers=3, num_heads=4),
}
IDS_EPOCHS, IDS_TEMPERATURE = 6, 0.15
"""Of sequences whose items are ids and nothing else: epochs at most, and the softmax's start. It
ends at half of that; from a sharper one a network is surer of rare ids than they deserve."""
LONGEST, TEXT_WIDTH = 50, 128
"""Of sequences: behaviours looked back, and width of their texts' vectors."""


def shopper(size: str = "small") -> Run:
    """The next basket, retention and the next actions in one network."""
    _check(size)
    return Run(
        name="shopper",
        tasks=("next_item", "retention", "next_actions"),
        task_weights=(1.0, 1.0, 0.5),
        # Weekly snapshots of the same customers are much alike: a third of them an epoch will do.
        task_shares=(1.0, 0.3, 0.3),
        model=MODELS[size],
        optim=OptimConfig(num_epochs=3),
        size=size,
    )


def text_lora(size: str = "small") -> Run:
    """A short LoRA run on the text encoder, from the newest finished ``shopper`` run."""
    _check(size)
    steps = {"tiny": 4, "small": 24, "base": 200}[size]
    return Run(
        name="text_lora",
        methods=(Lora(),),
        optim=OptimConfig(
            num_epochs=1, max_steps=steps, learning_rate=5e-4, num_warmup_steps=2, averaging=0.0
        ),
        size=size,
        warm_start="shopper",
    )


def sequences(size: str = "base", *, has_text: bool, ids_alone: bool = False) -> Run:
    """The next item of sequences that know an order alone: ``benchmark next_item`` trains it.

    Every behaviour is an order of its own, and items of few buyers each need much dropout and
    little faith in what is learnt for their ids. Where no text tells items apart, their ids do from
    the beginning; with `ids_alone` they begin near what was bought with them
    (``benchmarks/beginnings.py``) and are learnt sooner. The last epoch is kept: rankings go on
    getting better after the loss on validation has begun to rise.
    """
    _check(size)
    width, layers, epochs = {"tiny": (32, 1, 4), "small": (64, 2, 12), "base": (128, 2, 10)}[size]
    model = ModelConfig(
        width=width,
        num_layers=layers,
        dropout=0.5,
        attention_dropout=0.2,
        text_width=TEXT_WIDTH,
        max_history=LONGEST,
        copies=False,
        every_position=True,
        bars_seen=True,
        tied_start=True,
        delta_scale=0.0 if has_text else 0.02,
    )
    if ids_alone:
        epochs = min(epochs, IDS_EPOCHS)
        model = replace(model, temperature=IDS_TEMPERATURE)
    return Run(
        name="sequences",
        tasks=("next_item",),
        task_weights=(1.0,),
        task_shares=(1.0,),
        model=model,
        optim=OptimConfig(
            num_epochs=epochs,
            id_decay=2.0,
            num_warmup_steps=200,
            max_positions=768,
            validates=False,
        ),
        size=size,
    )


RECIPES: dict[str, Recipe] = {
    "shopper": shopper,
    "text_lora": text_lora,
}


def _check(size: str) -> None:
    if size not in SIZES:
        raise ValueError(f"size is {size!r}; choose one of {', '.join(SIZES)}")
