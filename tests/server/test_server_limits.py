from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import websockets
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import PATIENCE, RawBackend, raw_backend

from chatbot.server import Limits, Server
from chatbot.server.errors import Refused
from chatbot.server.limits import FailedLogins, FrameRate, SteadyClock


@asynccontextmanager
async def limited(path: Path, **limits: Any) -> AsyncIterator[RawBackend]:
    async with (
        Server(path, port=0, limits=Limits(**limits), password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        yield backend


async def read_all(reader: asyncio.StreamReader) -> bytes:
    """Read until the server hangs up, however rudely."""
    async with asyncio.timeout(PATIENCE):
        try:
            return await reader.read()
        except ConnectionResetError:
            return b""


async def test_fast_frames_are_slowed_down_and_none_is_lost(database_path: Path) -> None:
    async with limited(database_path, frames_per_second=200.0, frame_burst=10) as backend:
        alice, bob = await backend.register("alice"), await backend.register("bob")
        async with alice.online() as sender, bob.online() as recipient:
            began = time.monotonic()
            for number in range(60):
                await sender.send("message", to=bob.id, content=str(number), messageType="text")
            contents = [(await recipient.next("message"))["content"] for _ in range(60)]
            for _ in range(60):
                await sender.next("message")

        assert contents == [str(number) for number in range(60)]
        assert time.monotonic() - began >= 50 / 200 * 0.9


def test_the_frame_rate_allows_a_burst_and_then_its_pace() -> None:
    rate = FrameRate(Limits(frames_per_second=10.0, frame_burst=3))

    assert [rate.delay(100.0) for _ in range(3)] == [0.0, 0.0, 0.0]
    assert rate.delay(100.0) == pytest.approx(0.1)
    assert rate.delay(100.1) == pytest.approx(0.1)
    assert rate.delay(200.0) == 0.0


async def test_who_does_not_read_is_dropped_and_harms_nobody(database_path: Path) -> None:
    async with limited(database_path, pending_bytes=2_000_000) as backend:
        alice, bob = await backend.register("alice"), await backend.register("bob")
        carol = await backend.register("carol")
        text = "x" * 500_000
        async with (
            carol.online() as bystander,
            alice.online() as sender,
            aiohttp.ClientSession() as http,
            http.ws_connect(backend.url + "/ws", headers=bob.bearer) as deaf,
        ):
            await deaf.send_json({"type": "auth", "payload": {"userId": bob.id, "username": "bob"}})
            assert (await sender.next("online"))["userId"] == bob.id
            # Nobody reads `deaf` from here on.
            status = "delivered"
            while status == "delivered":
                await sender.send("message", to=bob.id, content=text, messageType="text")
                status = (await sender.next("message"))["status"]
            assert (await sender.next("online"))["online"] is False
            await sender.send("message", to=carol.id, content="hello", messageType="text")
            assert (await bystander.next("message"))["content"] == "hello"


async def test_a_flood_larger_than_what_may_wait_for_the_disk(database_path: Path) -> None:
    async with limited(database_path, unstored_frames=3, unstored_bytes=5_000) as backend:
        alice = await backend.register("alice")
        async with alice.online() as socket:
            for number in range(200):
                await socket.send(
                    "message", to=alice.id, content=f"{number}" * 500, messageType="text"
                )
            for number in range(200):
                assert (await socket.next("message"))["content"] == f"{number}" * 500
                assert (await socket.next("message"))["status"] == "delivered"


async def test_connections_are_bounded(database_path: Path) -> None:
    async with limited(database_path, connections=3) as backend, AsyncExitStack() as stack:
        alice = await backend.register("alice")
        opened = 1  # the pool's own
        for _ in range(2):
            await stack.enter_async_context(backend.socket(alice.bearer))
            opened += 1
        with pytest.raises((websockets.InvalidMessage, ConnectionError, EOFError)):
            await stack.enter_async_context(backend.socket(alice.bearer))

        assert opened == 3
        assert (await backend.call("GET", "/api/users")).status == 200


async def test_a_connection_that_says_nothing_is_closed(database_path: Path) -> None:
    async with limited(database_path, first_request_seconds=0.05) as backend:
        port = int(backend.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /api/us")

        assert await read_all(reader) == b""
        writer.close()
        assert (await backend.call("GET", "/api/users")).status == 200


async def test_a_socket_that_does_not_say_whose_it_is_is_closed(database_path: Path) -> None:
    async with limited(database_path, auth_seconds=0.05) as backend:
        alice = await backend.register("alice")
        async with backend.socket(alice.bearer) as socket:
            assert await socket.until_closed() == []
            assert socket.socket.close_code == 1008


async def test_a_body_that_does_not_come_is_not_waited_for(database_path: Path) -> None:
    async with limited(database_path, body_seconds=0.05) as backend:
        port = int(backend.url.rsplit(":", 1)[1])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(
            b"POST /api/auth/login HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n"
            b'Connection: close\r\n\r\n{"user'
        )
        async with asyncio.timeout(PATIENCE):
            assert b" 408 " in await reader.readline()
        writer.close()


@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_bounded(database_path: Path, chunked: bool) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(20):
            yield b"x" * 1000

    async with limited(database_path, body_bytes=10_000) as backend:
        data: Any = pieces() if chunked else b"x" * 20_000
        async with backend.http.post(backend.url + "/api/auth/login", data=data) as answer:
            assert answer.status == 413
            assert (await answer.json())["error"]


def test_failed_logins_are_remembered_in_bounded_memory() -> None:
    failures = FailedLogins(Limits(login_failures=1, tracked_logins=10), lambda: 0)
    for number in range(1000):
        failures.attempt(f"user-{number}", "192.0.2.1")

    assert len(failures._attempts) == 10
    with pytest.raises(Refused):
        failures.attempt("user-999", "192.0.2.1")
    failures.attempt("user-999", "192.0.2.2")


def test_the_clock_never_goes_back() -> None:
    times = iter([5, 3, 7])
    clock = SteadyClock(lambda: next(times))

    assert [clock(), clock(), clock()] == [5, 5, 7]
