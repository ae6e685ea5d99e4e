"""A backend and people on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import Person, RawBackend, raw_backend

from chatbot.server import Server


@pytest.fixture
def database_path(tmp_path: Path) -> Path:
    """Where the backend keeps its file."""
    return tmp_path / "backend" / "backend.db"


@pytest.fixture
async def server(database_path: Path) -> AsyncIterator[Server]:
    """A backend as it is by default, on a port of its own."""
    async with Server(database_path, port=0, password_hasher=CHEAP_HASHER) as running:
        yield running


@pytest.fixture
async def backend(server: Server) -> AsyncIterator[RawBackend]:
    """The same, seen from outside."""
    async with raw_backend(server.url) as reached:
        yield reached


@pytest.fixture
async def alice(backend: RawBackend) -> Person:
    """One account."""
    return await backend.register("alice")


@pytest.fixture
async def bob(backend: RawBackend) -> Person:
    """Another."""
    return await backend.register("bob")


@pytest.fixture
async def carol(backend: RawBackend) -> Person:
    """A third."""
    return await backend.register("carol")
