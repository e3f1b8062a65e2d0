"""A bundle at work: rows in, scores and probabilities out, by ONNX Runtime.

A request runs the small user graph and one product with the catalogue's matrix. The text and item
graphs run when the catalogue is built. Neither torch nor Ray is here. Next: ``decide.py``,
``explain.py``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from serving.ahead import TASK, Ahead
from serving.catalogue import Catalogue, Floats
from serving.texts import Texts
from training.bundle import Bundle
from training.datasets.encode import WORDS, EncodeSpec, UserArrays, encode_user


@dataclass(frozen=True, slots=True, kw_only=True)
class Scores:
    """What the model says about one shopper against a catalogue."""

    items: Floats
    """(items + 1,), score as the next purchase; -inf for "no item" and items that don't exist."""
    probabilities: dict[str, float]
    """Head to its calibrated probability."""
    amounts: dict[str, float]
    """Head to its expected amount, in the base currency."""
    ahead: Ahead | None
    """The next steps, where the model foresees them."""
    history: NDArray[np.int64]
    """(L,), catalogue row of each behaviour, oldest first; 0 = none or unknown."""
    copies: Floats
    """(L,), what each behaviour adds to its item's score."""


class Predictor:
    """The three graphs of a model bundle; vectors of texts are kept under `cache`."""

    def __init__(self, bundle: Bundle, cache: Path, num_threads: int = 1) -> None:
        if bundle.kind != "model":
            raise ValueError(
                f"{bundle.folder} is a bundle of kind {bundle.kind!r}; give one of kind 'model'"
            )
        self.bundle, self._num_threads = bundle, num_threads
        self.spec = spec_of(bundle)
        self._columns: tuple[str, ...] = tuple(bundle.manifest["heads"])
        self.heads, self.amounts = bundle.chances, bundle.amounts
        self._user, self._items = self._session("user.onnx"), self._session("items.onnx")
        self._inputs = [one.name for one in self._user.get_inputs()]
        self._outputs = [one.name for one in self._user.get_outputs()]
        self.next_actions: dict[str, Any] = bundle.manifest.get(TASK, {})
        self._texts = Texts(bundle, cache, self.text_width, self._session)
        if self.reads_words:
            self._texts.open()

    @property
    def reads_words(self) -> bool:
        """Whether the words of a shopper's messages are read."""
        return "words" in self._inputs

    @property
    def trained_to(self) -> int:
        """The last moment whose events shaped the model (its choice of epoch included)."""
        calendar = self.bundle.manifest["run"].get("calendar") or {}
        return int(calendar.get("valid_end", 0))

    @cached_property
    def known_in_training(self) -> tuple[str, ...]:
        """Features that training rows had values of; the others say nothing when they lack."""
        user = self.spec.user
        fitted = zip(user.names, user.means, user.deviations, strict=True)
        return tuple(name for name, mean, deviation in fitted if (mean, deviation) != (0.0, 1.0))

    @property
    def answers(self) -> tuple[str, ...]:
        """What may be asked of it: heads, amounts, and ``next_actions`` where it foresees them."""
        return (*self.heads, *self.amounts, *((TASK,) if self.next_actions else ()))

    @cached_property
    def priors(self) -> dict[str, float]:
        """Share of yes among validation's answers, by head; empty where it was not measured."""
        return self._measured(self.heads, "prevalence")

    @cached_property
    def means(self) -> dict[str, float]:
        """What validation's shoppers came to, by amount; empty where it was not measured."""
        return self._measured(self.amounts, "mean")

    def _measured(self, heads: Sequence[str], metric: str) -> dict[str, float]:
        found, names = self.bundle.manifest["metrics"], {head: f"{head}/{metric}" for head in heads}
        return {head: float(found[name]) for head, name in names.items() if name in found}

    def score(self, row: Mapping[str, Any], asked_at: int, catalogue: Catalogue) -> Scores:
        """Score one shopper's row of the feature service against every item of `catalogue`."""
        users = encode_user(row, asked_at, self.spec, catalogue.index)
        given = _user_inputs(users, catalogue)
        if users.words_BL is not None:
            given |= {"words": users.words_BL, "word_vectors": self._texts.of_messages(row[WORDS])}
        said = self._user.run(None, {name: given[name] for name in self._inputs})
        outputs = dict(zip(self._outputs, said, strict=True))
        vector, copies, probabilities = said[:3]
        items = catalogue.vectors @ vector[0] + catalogue.biases
        np.add.at(items, users.item_BL[0], copies[0])
        items[~catalogue.exists] = -np.inf
        told = dict(zip(self._columns, map(float, probabilities[0]), strict=True))
        return Scores(
            items=items,
            probabilities={head: told[head] for head in self.heads},
            amounts={head: told[head] for head in self.amounts},
            ahead=Ahead.of(self.next_actions, outputs) if self.next_actions else None,
            history=users.item_BL[0][users.kind_BL[0] > 0],
            copies=copies[0][users.kind_BL[0] > 0],
        )

    def item_vectors(
        self, text_vectors: Floats, index: NDArray[np.int64], scalars: Floats
    ) -> tuple[Floats, Floats]:
        """Vectors (n, W) and biases (n,) of items; index 0 is an item training never saw."""
        found = self._items.run(
            None, {"text_vector": text_vectors, "item_index": index, "item_scalars": scalars}
        )
        return found[0], found[1]

    def categories(self, index: NDArray[np.int64]) -> NDArray[np.int64]:
        """Numbers (n,) of items' categories, from 1 on; 0 = none known, or a new item."""
        told = self.next_actions.get("category_of_item", [])
        number = np.zeros(len(self.spec.vocabulary) + 1, dtype=np.int64)
        number[1 : len(told) + 1] = np.array(told, dtype=np.int64) + 1
        return number[index]

    def text_vectors(self, texts: Sequence[str]) -> Floats:
        """Vectors (n, D) of items' `texts`, zero for an empty one; each is encoded once ever."""
        return self._texts.of_items(texts)

    @cached_property
    def text_width(self) -> int:
        """Width D of a text vector."""
        shapes = {given.name: given.shape for given in self._items.get_inputs()}
        return int(shapes["text_vector"][1])

    def _session(self, graph: str) -> Any:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = self._num_threads
        options.inter_op_num_threads = 1
        path = str(self.bundle.path(graph))
        return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def spec_of(bundle: Bundle) -> EncodeSpec:
    """How the model's rows are encoded."""
    manifest = bundle.manifest
    return EncodeSpec.from_dict(
        {
            "vocabulary": manifest["vocabulary"],
            "user": manifest["normalisers"]["user"],
            "item": manifest["normalisers"]["item"],
            "history_length": manifest["history_length"],
        }
    )


def _user_inputs(users: UserArrays, catalogue: Catalogue) -> dict[str, NDArray]:
    return {
        "item_vectors": catalogue.vectors[users.item_BL],
        "kinds": users.kind_BL,
        "gaps": users.gap_BL,
        "quantities": users.quantity_BL,
        "amounts": users.amount_BL,
        "time_to_now": users.time_to_now_B,
        "scalars": users.scalars_BF,
        "categories": catalogue.category[users.item_BL],
    }


def best(scores: Floats, num: int) -> NDArray[np.int64]:
    """Rows of the `num` greatest finite scores, best first; ties by row."""
    finite = np.flatnonzero(np.isfinite(scores))
    order = np.lexsort((finite, -scores[finite]))
    return finite[order[:num]]
