"""Work in the background lets requests go first."""

import os
import sys
import threading

import pytest

from serving.catalogue import Shelf
from serving.outbox import Background
from serving.pace import NICENESS, background_thread
from serving.upkeep import Upkeep


def niceness() -> int:
    return os.getpriority(os.PRIO_PROCESS, threading.get_native_id())


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a niceness on Linux alone")
def test_a_background_thread_is_nicer_than_those_that_answer():
    before, seen = niceness(), []
    thread = background_thread(lambda: seen.append(niceness()), "one")
    thread.start()
    thread.join()
    assert seen == [min(before + NICENESS, 19)]
    assert niceness() == before
    assert (thread.name, thread.daemon) == ("one", True)


@pytest.mark.parametrize("kind", [Shelf, Background, Upkeep])
def test_whatever_works_in_the_background_is_such_a_thread(kind, monkeypatch):
    made = []
    name = f"{kind.__module__}.background_thread"
    monkeypatch.setattr(name, lambda work, name: made.append((work, name)))
    arguments = {
        Shelf: lambda: Shelf(lambda as_of: None, Midnight()),
        Background: lambda: Background(print, print, 1.0),
        Upkeep: lambda: Upkeep(None, None),
    }
    asked = arguments[kind]()
    assert made == [(asked._watch, made[0][1])]


class Midnight:
    """A clock that stands."""

    def now(self) -> int:
        return 0
