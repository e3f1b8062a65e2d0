"""An ``.npy`` file that grows along its first axis, so that it is never whole in memory.

Next: ``examples.py``.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray


class Growing:
    """The file at `path`; it is whole once it is closed, and ``numpy.load`` reads or maps it."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("wb")
        self._num = 0
        self._header: dict[str, Any] = {}

    def append(self, values: NDArray) -> None:
        """Write `values` behind those of before, which had the same type and width."""
        if not self._header:
            self._header = {"descr": npy.dtype_to_descr(values.dtype), "fortran_order": False}
            self._header["shape"] = (0, *values.shape[1:])
            self._write_header()
        assert self._header["descr"] == npy.dtype_to_descr(values.dtype), "one type a file"
        assert self._header["shape"][1:] == values.shape[1:], "one width a file"
        self._file.write(np.ascontiguousarray(values).data if values.size else b"")
        self._num += len(values)

    def close(self) -> None:
        """Say in the header, which has room for it, how many rows there are."""
        self._header["shape"] = (self._num, *self._header["shape"][1:])
        self._file.seek(0)
        self._write_header()
        self._file.close()

    def _write_header(self) -> None:
        npy.write_array_header_1_0(self._file, self._header)
