"""The bundle: the only trained thing that crosses to serving, as one folder.

``bundle.json`` says what it is and lists the other files with their SHA-256;
``weights.safetensors`` holds the weights, ``card.md`` tells people about it, and a model's ONNX
graphs and tokenizer lie beside. The version is a hash of the content. This module needs neither
torch nor Ray nor Feast. Next: ``serving/predictor.py``.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file, save_file

MANIFEST, WEIGHTS, CARD = "bundle.json", "weights.safetensors", "card.md"
GRAPHS = ("text.onnx", "items.onnx", "user.onnx")

KEYS = {
    "model": (
        "run",
        "service",
        "item_service",
        "schema",
        "schema_hash",
        "vocabulary",
        "normalisers",
        "heads",
        "thresholds",
        "calibration",
        "metrics",
        "lineage",
        "max_export_difference",
    ),
    "policy": ("policy", "settings"),
}
"""What ``bundle.json`` must hold, by kind, beside kind, name, version, created_at and files."""


class BrokenBundle(ValueError):
    """A bundle that is incomplete, or whose files are not those it was saved with."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """A saved bundle; ``save`` and ``load`` make one."""

    folder: Path
    manifest: dict[str, Any]

    @property
    def kind(self) -> str:
        """What it is: ``model`` or ``policy``."""
        return str(self.manifest["kind"])

    @property
    def name(self) -> str:
        """The recipe or policy it came from."""
        return str(self.manifest["name"])

    @property
    def version(self) -> str:
        """Hash of all content but the time of making, 16 hexadecimal digits."""
        return str(self.manifest["version"])

    @property
    def chances(self) -> tuple[str, ...]:
        """Heads of a model that answer with a probability, and had labels to learn from."""
        others = {*self.manifest.get("silent", ()), *self.manifest.get("amounts", ())}
        return tuple(head for head in self.manifest["heads"] if head not in others)

    @property
    def amounts(self) -> tuple[str, ...]:
        """Heads that answer with an amount of money, and had labels to learn from."""
        silent = self.manifest.get("silent", ())
        return tuple(head for head in self.manifest.get("amounts", ()) if head not in silent)

    def path(self, name: str) -> Path:
        """Where the file `name` of this bundle lies."""
        assert name in self.manifest["files"], f"{name} is no file of bundle {self.name}"
        return self.folder / name

    def weights(self) -> dict[str, np.ndarray]:
        """All weights by name."""
        return load_file(self.path(WEIGHTS))

    @classmethod
    def save(
        cls,
        folder: Path,
        *,
        kind: str,
        name: str,
        created_at: int,
        origin: str = "",
        content: Mapping[str, Any],
        weights: Mapping[str, np.ndarray],
        card: str,
    ) -> Bundle:
        """Make a bundle of `content`, `weights` and the files that already lie in `folder`.

        Parameters
        ----------
        created_at
            Microseconds since 1970 (UTC); not part of the version, as `origin` is not.
        origin
            Where it was made: a run's id.
        content
            The entries of ``bundle.json`` that the kind asks for (``KEYS``), and any others.

        Raises
        ------
        ValueError
            For an unknown kind or missing content.
        """
        if kind not in KEYS:
            raise ValueError(f"bundle kind is {kind!r}; choose one of {', '.join(KEYS)}")
        if missing := [key for key in KEYS[kind] if key not in content]:
            raise ValueError(f"a bundle of kind {kind!r} lacks {', '.join(missing)}; give them")
        folder.mkdir(parents=True, exist_ok=True)
        save_file({key: np.asarray(w, order="C") for key, w in weights.items()}, folder / WEIGHTS)
        (folder / CARD).write_text(card, encoding="utf-8")
        files = {path.name: _sha256(path) for path in sorted(folder.iterdir()) if path.is_file()}
        files.pop(MANIFEST, None)
        hashed = {"kind": kind, "name": name, "files": files, **content}
        text = json.dumps(hashed, sort_keys=True)
        version = hashlib.sha256(text.encode()).hexdigest()[:16]
        made = {"version": version, "created_at": created_at, "origin": origin}
        manifest = made | json.loads(text)
        partial = folder / f"{MANIFEST}.partial"
        partial.write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        partial.replace(folder / MANIFEST)
        return cls(folder, manifest)

    @classmethod
    def load(cls, folder: Path) -> Bundle:
        """Read the bundle in `folder` and check that every file is the one that was saved.

        Raises
        ------
        BrokenBundle
            When a file is missing or was changed.
        """
        try:
            manifest = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        except FileNotFoundError as error:
            raise BrokenBundle(
                f"{folder} holds no {MANIFEST}; give the folder that `python -m training fit` named"
            ) from error
        for name, expected in manifest["files"].items():
            path = folder / name
            found = _sha256(path) if path.exists() else "nothing"
            if found != expected:
                raise BrokenBundle(
                    f"{path} should have SHA-256 {expected} and has {found}; copy the bundle "
                    "again or fit anew"
                )
        return cls(folder, manifest)


def card(name: str, content: Mapping[str, Any], counts: Mapping[str, int]) -> str:
    """A model's card: what it is for, what it learnt from, how good it is, what it cannot do."""
    run = content["run"]
    rows = [f"| `{metric}` | {value:.4f} |" for metric, value in content["metrics"].items()]
    examples = ", ".join(f"{num:,} {split}" for split, num in counts.items())
    methods = ", ".join(method["name"] for method in run["methods"])
    return "\n".join(
        [
            f"# {name}",
            "",
            f"Answers for one shopper at one moment: {', '.join(run['tasks'])}"
            f" (probabilities: {', '.join(content['heads']) or 'none'}).",
            "",
            f"- Learnt from {examples} examples; {len(content['vocabulary']):,} items by id.",
            f"- Text encoder `{run['text_encoder']}`, methods {methods}, size {run['size']},"
            f" seed {run['seed']}.",
            f"- Probabilities are calibrated on validation; features of `{run['service']}` and"
            f" `{run['item_service']}`, schema {content['schema_hash']}.",
            "",
            "| on validation | |",
            "|---|---|",
            *rows,
            "",
            "It says what is likely, not what a nudge would change. Shoppers and items it never saw"
            " are answered by text and numbers alone, and the service flags them. It was trained on"
            " one shop and fits no other. The evaluation beside floors is in `report.html` of the"
            " run.",
            "",
        ]
    )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
