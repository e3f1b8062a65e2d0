"""Transactions shared by those who wait: each is durable before it returns, and fails alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest
import sqlalchemy as sa

from feature_repo.commits import GroupCommit

NUM_THREADS, NUM_ITEMS = 16, 400
KEPT = sa.Table("kept", sa.MetaData(), sa.Column("number", sa.Integer, primary_key=True))


class Book:
    """A table of numbers and how often it committed; what it does with them can be set."""

    def __init__(self, path: Path) -> None:
        self.engine = sa.create_engine(f"sqlite:///{path}", connect_args={"timeout": 30})
        KEPT.metadata.create_all(self.engine)
        self.num_commits = 0
        self.first: Callable[[Sequence[int]], None] = lambda _: None

    @contextmanager
    def begin(self) -> Iterator[sa.Connection]:
        """A transaction, counted when it is durable."""
        with self.engine.begin() as connection:
            yield connection
        self.num_commits += 1

    def keep(self, connection: sa.Connection, numbers: Sequence[int]) -> Sequence[int]:
        """Keep all numbers; gives their squares."""
        self.first(numbers)
        connection.execute(sa.insert(KEPT), [{"number": number} for number in numbers])
        return [number * number for number in numbers]

    def holds(self, number: int) -> bool:
        """Whether another connection sees it."""
        with self.engine.connect() as connection:
            found = connection.execute(sa.select(KEPT).where(KEPT.c.number == number))
            return found.first() is not None


@pytest.fixture
def book(tmp_path: Path) -> Iterator[Book]:
    """An empty one."""
    made = Book(tmp_path / "book.db")
    yield made
    made.engine.dispose()


def test_everyone_gets_its_own_result_once_it_is_durable_and_commits_are_shared(book: Book) -> None:
    commit = GroupCommit(book.begin, book.keep)
    book.first = lambda _: time.sleep(0.005)

    def ask(number: int) -> bool:
        return commit(number) == number * number and book.holds(number)

    with ThreadPoolExecutor(NUM_THREADS) as pool:
        assert all(pool.map(ask, range(NUM_ITEMS)))
    assert book.num_commits < NUM_ITEMS / 2


def test_who_comes_alone_commits_at_once(book: Book) -> None:
    commit = GroupCommit(book.begin, book.keep)
    assert [commit(number) for number in range(3)] == [0, 1, 4]
    assert book.num_commits == 3


def test_work_that_fails_spoils_nobody_elses(book: Book) -> None:
    commit = GroupCommit(book.begin, book.keep)

    def refuse_thirteen(numbers: Sequence[int]) -> None:
        time.sleep(0.005)
        if 13 in numbers:
            raise ValueError("13 is unlucky")

    book.first = refuse_thirteen
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        asked = {number: pool.submit(commit, number) for number in range(50)}
        for number, answer in asked.items():
            if number == 13:
                with pytest.raises(ValueError, match="13 is unlucky"):
                    answer.result(30)
            else:
                assert answer.result(30) == number * number
    assert [number for number in range(50) if not book.holds(number)] == [13]


def test_a_warehouse_that_fails_fails_all_who_wait_once_and_works_again(book: Book) -> None:
    commit = GroupCommit(book.begin, book.keep)
    gathered, tries = threading.Event(), []

    def go_down(numbers: Sequence[int]) -> None:
        gathered.wait(30)
        tries.append(len(numbers))
        raise sa.exc.OperationalError("INSERT", {}, Exception("disk I/O error"))

    book.first = go_down
    with ThreadPoolExecutor(NUM_THREADS) as pool:
        asked = [pool.submit(commit, number) for number in range(NUM_THREADS)]
        while len(commit._queue) < NUM_THREADS - 1:
            time.sleep(0.001)
        gathered.set()
        for answer in asked:
            with pytest.raises(sa.exc.OperationalError, match="disk I/O error"):
                answer.result(30)
    assert tries == [1, NUM_THREADS - 1]
    book.first = lambda _: None
    assert commit(99) == 9801
