"""Folders that a kill leaves whole: links that change in one step, locks that end with a process.

A folder cannot be replaced by another in one step; a link to it can. So what is rewritten again and
again lies beside a link of its name, and the link leads to the last whole one.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4


def beside(link: Path) -> Path:
    """A new place beside `link`, for a folder that :func:`lead` will let it lead to."""
    return link.with_name(f"{link.name}-{uuid4().hex[:6]}")


def lead(link: Path, folder: Path) -> None:
    """Let `link` lead to `folder`, in one step."""
    fresh = beside(link)
    fresh.symlink_to(os.path.relpath(folder, link.parent))
    fresh.replace(link)


def sweep(link: Path) -> None:
    """Remove what a kill left :func:`beside` `link`, and whatever it led to before."""
    current = link.resolve()
    for other in link.parent.glob(f"{link.name}-{'[0-9a-f]' * 6}"):
        if other.is_symlink():
            other.unlink()
        elif other.resolve() != current:
            shutil.rmtree(other)


@contextmanager
def alone(lock: Path, *, wait_s: float, otherwise: str) -> Iterator[None]:
    """Hold the file `lock` while the block runs; it is free again when the process ends, however.

    Raises
    ------
    ValueError
        When another process holds it for longer than `wait_s`; `otherwise` is the message.
    """
    deadline = time.monotonic() + wait_s
    with lock.open("w") as file:
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError as error:
                if time.monotonic() > deadline:
                    raise ValueError(otherwise) from error
                time.sleep(0.1)
        yield
