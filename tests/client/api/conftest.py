"""Clients on the embedded backend and on the one with the faults of the real one."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.clients import Clients, clients_on
from doubles.faulty_backend import Faults, FaultyServer


@pytest.fixture(params=["embedded", "faulty"])
async def any_clients(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Clients]:
    """Clients on either backend: the test runs on both."""
    faults = Faults.real() if request.param == "faulty" else Faults()
    async with (
        FaultyServer(tmp_path / "either" / "b.db", faults=faults) as backend,
        clients_on(backend.url, tmp_path / "clients") as it,
    ):
        yield it
