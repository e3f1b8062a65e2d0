"""A full disk, told in words that say what to do, and files that are replaced in one step."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


class DiskFull(ValueError):
    """No space is left where something should be written."""

    def __init__(self, where: str) -> None:
        super().__init__(
            f"the disk of {where} is full; what was committed is kept. Free some "
            "space and run the same again: it goes on from there"
        )


def is_full(error: BaseException | None) -> bool:
    """Whether `error`, or what caused it, is a disk without space."""
    if error is None:
        return False
    full = isinstance(error, DiskFull) or "disk is full" in str(error).lower()
    full |= getattr(error, "errno", None) in (errno.ENOSPC, errno.EDQUOT)
    full |= os.strerror(errno.ENOSPC) in str(error)
    return full or is_full(error.__cause__)


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """A place to write to, which becomes `path` in one step; a failure leaves `path` as it was.

    Raises
    ------
    DiskFull
        When there is no space for it.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_name(f".{path.name}.{uuid4().hex[:6]}.partial")
    try:
        yield partial
        with partial.open("rb+") as file:
            os.fsync(file.fileno())
        partial.replace(path)
    except Exception as error:
        if is_full(error):
            raise DiskFull(str(path.parent)) from error
        raise
    finally:
        partial.unlink(missing_ok=True)
