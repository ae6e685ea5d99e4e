"""A backend, and real clients on it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.clients import Clients, clients_on
from doubles.faulty_backend import CHEAP_HASHER, FaultyServer
from doubles.ports import reserved_port

from chatbot.server import Server


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    """The embedded backend, which may be stopped and started again."""
    with reserved_port() as port:
        path = tmp_path / "backend" / "b.db"
        async with Server(path, port=port, password_hasher=CHEAP_HASHER) as it:
            yield it


@pytest.fixture
async def faulty(tmp_path: Path) -> AsyncIterator[FaultyServer]:
    """The same with the faults of the real one."""
    async with FaultyServer(tmp_path / "faulty" / "b.db") as it:
        yield it


@pytest.fixture
async def clients(server: Server, tmp_path: Path) -> AsyncIterator[Clients]:
    """Clients on the embedded backend."""
    async with clients_on(server.url, tmp_path / "clients") as it:
        yield it


@pytest.fixture
async def faulty_clients(faulty: FaultyServer, tmp_path: Path) -> AsyncIterator[Clients]:
    """Clients on the faulty one."""
    async with clients_on(faulty.url, tmp_path / "clients") as it:
        yield it
