"""What tests of the transport share."""

from __future__ import annotations

from collections.abc import AsyncGenerator

import pytest
from doubles.socket_double import SocketDouble


@pytest.fixture
async def double() -> AsyncGenerator[SocketDouble]:
    async with SocketDouble() as server:
        yield server
