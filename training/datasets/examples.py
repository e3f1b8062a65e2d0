"""The examples of one split as arrays on disk: written once, memory-mapped ever after.

A folder of ``.npy`` files, one for each field, readable by numpy alone. Next: ``batches.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from training.datasets.growing import Growing
from training.datasets.histories import Histories, Ints
from training.datasets.normalise import Floats


@dataclass(frozen=True, kw_only=True, slots=True)
class Examples:
    """n examples, in the order of their moments."""

    task: Ints
    """Index into the run's tasks."""
    week: Ints
    """Index into the dataset's weeks."""
    user: NDArray[np.str_]
    asked_at: Ints
    """Microseconds, UTC."""
    weight: Floats
    scalars: Floats
    """``(n, F)``, normalised, flags included."""
    label: Floats
    """``(n, labels)``, those of heads first; NaN where a label does not apply."""
    target: Ints
    """Item indices, example after example."""
    target_offsets: Ints
    """``(n + 1)``; the targets of example i are ``target[offsets[i] : offsets[i + 1]]``."""
    num_bought: Ints
    """Distinct items of the order, those included that no longer count as targets."""
    history: Histories

    def __len__(self) -> int:
        return len(self.task)

    def save(self, folder: Path) -> None:
        """Write one file for each field into `folder`."""
        with ExamplesWriter(folder) as writer:
            writer.append(self)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Map what ``save`` wrote, without reading it yet."""
        arrays: dict[str, Any] = {
            path.stem: np.load(path, mmap_mode="r") for path in folder.glob("*.npy")
        }
        history = {
            name.removeprefix("history_"): arrays.pop(name)
            for name in list(arrays)
            if name.startswith("history_")
        }
        return cls(history=Histories(**history), **arrays)

    def targets(self, rows: Ints) -> tuple[Ints, Ints]:
        """Targets of `rows`, one after the other, and for each the position in `rows`."""
        starts = self.target_offsets[rows]
        lengths = self.target_offsets[rows + 1] - starts
        row = np.repeat(np.arange(len(rows)), lengths)
        first = np.cumsum(lengths) - lengths
        places = np.arange(len(row)) - first[row] + starts[row]
        return np.asarray(self.target[places]), row


class ExamplesWriter:
    """Writes examples part by part: the files are those of all parts together."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True)
        self._folder = folder
        self._files: dict[str, Growing] = {}
        self._ends: dict[str, int] = {}

    def append(self, examples: Examples) -> None:
        """Write `examples` behind those of before."""
        for name, values in _flat(examples).items():
            if name not in self._files:
                self._files[name] = Growing(self._folder / f"{name}.npy")
            elif name.endswith("offsets"):  # the first entry is the last one of before
                values = values[1:] + self._ends[name]
            self._files[name].append(values)
            if name.endswith("offsets") and len(values):
                self._ends[name] = int(values[-1])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        for file in self._files.values():
            file.close()


def _flat(examples: Examples) -> dict[str, NDArray]:
    """Every array by the name of its file."""
    own = {f.name: getattr(examples, f.name) for f in fields(examples) if f.name != "history"}
    history = examples.history
    parts = {f"history_{f.name}": getattr(history, f.name) for f in fields(history)}
    return own | {name: values for name, values in parts.items() if values is not None}
