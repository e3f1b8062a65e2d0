"""How parameters move: one file and one line here for each method."""

from training.methods.full import Full
from training.methods.lora import Lora
from training.methods.method import Method

METHODS: dict[str, type[Method]] = {
    "full": Full,
    "lora": Lora,
}

__all__ = ["METHODS", "Full", "Lora", "Method"]
