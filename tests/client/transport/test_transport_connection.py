from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

import pytest
from doubles.socket_double import SocketDouble

from chatbot.client import exceptions
from chatbot.client.transport.connection import Connection


@pytest.fixture
async def double() -> AsyncGenerator[SocketDouble]:
    async with SocketDouble() as server:
        yield server


async def open_to(double: SocketDouble, *, timeout: float = 5.0) -> Connection:  # noqa: ASYNC109 - handed on
    return await Connection.open(double.url, lambda _: None, headers={}, timeout=timeout)


async def test_nothing_is_sent_after_the_end(double: SocketDouble) -> None:
    connection = await open_to(double)
    connection.send(b"{}")
    connection.end()
    assert connection.ended.done()
    with pytest.raises(exceptions.ConnectionError, match="has ended"):
        connection.send(b"{}")
    await connection.drain()
    await connection.close()


async def test_what_was_sent_before_the_end_still_goes_out(double: SocketDouble) -> None:
    connection = await open_to(double)
    connection.send(b'{"type":"typing","payload":7}')
    connection.end()
    assert await double.next("typing") == 7
    await connection.close()


async def test_a_header_counts_only_where_it_stands_once(double: SocketDouble) -> None:
    double.headers = {"X-One": "1"}
    connection = await open_to(double)
    assert connection.header("x-one") == "1"
    assert connection.header("x-two") is None
    await connection.close()


@pytest.fixture
async def mute() -> AsyncGenerator[SocketDouble]:
    """Give the address of somebody who accepts connections and says nothing."""

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(wait, "127.0.0.1", 0)
    double = SocketDouble()
    double.port = server.sockets[0].getsockname()[1]
    async with server:
        yield double


async def test_a_handshake_that_is_never_answered(mute: SocketDouble) -> None:
    with pytest.raises(exceptions.ConnectionError, match="no answer in time"):
        await open_to(mute, timeout=0.05)


async def test_giving_up_a_handshake(mute: SocketDouble) -> None:
    opening = asyncio.create_task(open_to(mute))
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.05):
            await opening
