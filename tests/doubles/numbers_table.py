"""A table of numbers, and units of work on it, for the tests of the one writer."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
import threading
from functools import partial
from pathlib import Path

from chatbot.client.storage.database import Database

SCHEMA = ["CREATE TABLE numbers (position INTEGER PRIMARY KEY, n INTEGER UNIQUE, data BLOB)"]


def insert(n: int, connection: sqlite3.Connection) -> int:
    connection.execute("INSERT INTO numbers (n, data) VALUES (?, ?)", (n, bytes(300)))
    return n


def raising(n: int, connection: sqlite3.Connection) -> int:
    insert(n, connection)
    raise KeyError(n)


def numbers(connection: sqlite3.Connection) -> list[int]:
    return [n for (n,) in connection.execute("SELECT n FROM numbers ORDER BY position")]


def pragma(name: str, connection: sqlite3.Connection) -> object:
    return connection.execute(f"PRAGMA {name}").fetchone()[0]


class Gate:
    """A unit that keeps the writer's thread busy until it is opened."""

    def __init__(self) -> None:
        self._entered = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: sqlite3.Connection) -> None:
        self._entered.set()
        assert self._open.wait(10)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self._entered.wait, 10)

    def open(self) -> None:
        self._open.set()


async def outcomes(futures: list[asyncio.Future[int]]) -> list[int | BaseException]:
    return await asyncio.gather(*futures, return_exceptions=True)


async def filled(path: Path) -> None:
    async with await Database.open(path) as database:
        await database.migrate("test", SCHEMA)
        await asyncio.gather(*(database.submit(partial(insert, n)) for n in range(200)))


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
