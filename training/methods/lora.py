"""LoRA on the text encoder: a small low-rank change of its attention learns the shop's language.

Low-Rank Adaptation (Hu et al. 2021, arXiv:2106.09685): a frozen weight W becomes W + (alpha/r) BA,
B starting at zero, so that step 0 equals the base. Next: ``training/models/text.py``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from training.methods.method import Method

if TYPE_CHECKING:
    from torch import Tensor, nn

    from training.models.batch import Batch, Catalogue


@dataclass(frozen=True, kw_only=True, slots=True)
class Lora(Method):
    """Adapters on the encoder's attention and the projection of its vectors; the rest is frozen.

    A step encodes a few hundred texts with gradients. All others keep the vector they last had,
    which drifts little in a short run; the whole catalogue is encoded again at the end.
    """

    name: ClassVar[str] = "lora"
    changes_text: ClassVar[bool] = True
    rank: int = 8
    """Rank r of the change."""
    alpha: int = 16
    """The change is scaled by alpha / rank."""
    max_texts: int = 192
    """Texts encoded with gradients in a step: of targets, messages, recent history, then others."""
    max_tokens: int = 24
    """Tokens of a text that count in training."""

    def __post_init__(self) -> None:
        for field in ("rank", "alpha", "max_texts", "max_tokens"):
            if getattr(self, field) < 1:
                raise ValueError(f"lora: {field} is {getattr(self, field)}; it must be at least 1")

    def attach(self, network: nn.Module, teacher: nn.Module | None = None) -> None:
        """Freeze `network`, then add adapters to its text encoder and free the text projection."""
        from peft import LoraConfig, inject_adapter_in_model

        text: Any = network.text
        network.requires_grad_(False)
        # Which projections: peft knows those of each family of models by its name.
        config = LoraConfig(r=self.rank, lora_alpha=self.alpha, lora_dropout=0.0)
        inject_adapter_in_model(config, text.model)
        items: Any = network.items
        items.text.requires_grad_(True)
        words: Any = network.user.sequence.words  # type: ignore[union-attr]
        if words is not None:
            words.requires_grad_(True)

    def text_vectors(
        self,
        network: Any,
        batch: Batch,
        catalogue: Catalogue,
        texts: Sequence[str],
        cached_ND: Tensor,
    ) -> Tensor:
        """`cached_ND` with fresh rows, with gradients, for the texts that matter in this batch."""
        # Dropout inside the encoder would make step 0 differ from the base.
        network.text.eval()
        rows = self.rows(batch, catalogue)
        ids, mask = network.text.tokens([texts[row] for row in rows.tolist()], self.max_tokens)
        fresh = network.text(ids.to(rows.device), mask.to(rows.device))
        mixed_ND = cached_ND.index_copy(0, rows, fresh)
        cached_ND.index_copy_(0, rows, fresh.detach())
        return mixed_ND

    def rows(self, batch: Batch, catalogue: Catalogue) -> Tensor:
        """Unique text rows, at most ``max_texts``, of a quarter of them the words of messages."""
        import torch

        recent = batch.item_P[batch.item_P > 0]
        exists = catalogue.exists_I.nonzero().squeeze(1)
        draw = torch.randperm(len(exists))[: self.max_texts].to(exists.device)
        share = self.max_texts // 2
        targets = batch.target_T.unique()[:share]
        said = targets[:0] if batch.text_Y is None else batch.text_Y[: share // 2]
        rest = catalogue.text_I[torch.cat([recent.unique()[:share], exists[draw]])]
        wanted = torch.cat([catalogue.text_I[targets], said, rest])
        unique = list(dict.fromkeys(wanted[wanted >= 0].tolist()))[: self.max_texts]
        return torch.tensor(unique, dtype=torch.int64, device=batch.item_P.device)

    def merge(self, network: nn.Module) -> None:
        """Add the adapters to the weights they change and take them out of the encoder."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        text: Any = network.text
        for parent in list(text.model.modules()):
            for child_name, child in list(parent.named_children()):
                if isinstance(child, BaseTunerLayer):
                    child.merge()
                    setattr(parent, child_name, child.get_base_layer())
