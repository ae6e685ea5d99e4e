"""The socket against the embedded backend: what both agree on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import pytest
from argon2 import PasswordHasher
from doubles.ports import reserved_port
from doubles.socket_double import TIMEOUT, SocketDouble, Watched

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.transport import security
from chatbot.client.transport.rest_client import RestClient
from chatbot.client.transport.websocket import WebSocketClient
from chatbot.server.server import Server

T = TypeVar("T")

PASSWORD = "correct horse"
HOUR = 3_600_000


class Clock:
    """Ms since the epoch, to be moved by hand."""

    def __init__(self) -> None:
        self.now = 1_700_000_000_000

    def __call__(self) -> int:
        return self.now


class User:
    """An account on the backend, its REST client and its socket."""

    def __init__(self, server: Server, name: str, clock: Clock) -> None:
        self.name = name
        self.logins = 0
        self.rest = RestClient(server.url, relogin=self._relogin, clock=clock)

    async def join(self, **options: Any) -> None:
        account = await self.rest.register(self.name, PASSWORD)
        self.rest.act_as(account.id, account.token)
        self.watched = Watched(
            SocketDouble(),
            url=security.websocket_url(self.rest.server_url),
            user_id=account.id,
            username=self.name,
            tokens=self.rest.tokens,
            **{"probe_timeout": 5.0, **options},
        )
        await self.socket.connect()

    async def leave(self) -> None:
        await self.socket.close()
        await self.rest.close()

    @property
    def socket(self) -> WebSocketClient:
        return self.watched.client

    @property
    def id(self) -> str:
        return self.rest.user_id

    def write(self, to: User, message_id: str) -> None:
        frame = wire.SendFrame(to=to.id, content="hello", message_id=message_id)
        self.socket.send_nowait("message", frame)

    async def next(self, kind: str, payload: type[T]) -> T:
        while (frame := await self.watched.frame()).type != kind:
            pass
        return msgspec.json.decode(frame.payload, type=payload)

    async def _relogin(self) -> str:
        self.logins += 1
        return (await self.rest.login(self.name, PASSWORD)).token


class World:
    """A backend and the users on it."""

    def __init__(self, server: Server, clock: Clock, stack: AsyncExitStack) -> None:
        self.server = server
        self.clock = clock
        self._stack = stack

    async def user(self, name: str, **options: Any) -> User:
        user = User(self.server, name, self.clock)
        self._stack.push_async_callback(user.rest.close)
        await user.join(**options)
        self._stack.push_async_callback(user.leave)
        return user


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    clock = Clock()
    with reserved_port() as port:
        server = Server(tmp_path / "backend.db", port=port, password_hasher=hasher, clock=clock)
        async with server, AsyncExitStack() as stack:
            yield World(server, clock, stack)


async def test_messages_and_their_echoes(world: World) -> None:
    alice, bob = await world.user("alice"), await world.user("bob")
    alice.write(bob, "m1")
    got = await bob.next("message", wire.MessageFrame)
    assert (got.id, got.from_, got.content) == ("m1", alice.id, "hello")
    echo = await alice.next("message", wire.MessageFrame)
    assert (echo.id, echo.status) == ("m1", "delivered")


@pytest.mark.parametrize("trusted", [True, False])
async def test_the_backend_says_that_its_sockets_are_authenticated(
    world: World, trusted: bool
) -> None:
    alice = await world.user("alice", trusted=trusted)
    assert alice.socket.authenticated_sockets is trusted


async def test_the_backend_stops_and_comes_back(world: World) -> None:
    alice, bob = await world.user("alice"), await world.user("bob")
    for user in (alice, bob):
        user.watched.may_go_on.clear()
    await world.server.stop()
    for user in (alice, bob):
        await user.watched.reach("connecting", "connected", "reconnecting")
    await world.server.start()
    for user in (alice, bob):
        user.watched.may_go_on.set()
        await user.watched.reach("connecting", "connected", "reconnecting", "connected")
    alice.write(bob, "m1")
    assert (await bob.next("message", wire.MessageFrame)).id == "m1"


async def test_a_token_that_ended_meanwhile_is_renewed_to_reconnect(world: World) -> None:
    alice = await world.user("alice")
    world.clock.now += 25 * HOUR
    alice.watched.may_go_on.clear()
    await world.server.stop()
    await alice.watched.reach("connecting", "connected", "reconnecting")
    await world.server.start()
    alice.watched.may_go_on.set()
    await alice.watched.reach("connecting", "connected", "reconnecting", "connected")
    # Attempts made while the backend was down may have tried to log in as well.
    assert alice.logins >= 1


async def test_a_token_the_backend_refuses_is_renewed(world: World) -> None:
    alice = await world.user("alice")
    await alice.socket.close()
    alice.rest.act_as(alice.id, "not.a.token")
    await alice.socket.connect()
    assert alice.logins == 1


async def test_a_disabled_account_is_told_and_stays_away(world: World) -> None:
    alice, root = await world.user("alice"), await world.user("root")
    await world.server.make_admin("root")
    await root.rest.set_user_active(alice.id, active=False)
    error = await alice.watched.reason()
    assert isinstance(error, exceptions.AuthenticationError)
    assert "disabled" in str(error)
    with pytest.raises(exceptions.AuthenticationError, match="disabled"):
        await alice.socket.connect()


async def test_a_flood_is_slowed_down_in_order_and_not_taken_for_deafness(world: World) -> None:
    alice = await world.user("alice", probe_interval=0.05, probe_timeout=0.3)
    bob = await world.user("bob")
    for n in range(1800):
        alice.write(bob, f"m{n}")
    async with asyncio.timeout(TIMEOUT):
        for n in range(1800):
            assert (await bob.next("message", wire.MessageFrame)).id == f"m{n}"
    assert alice.watched.states == ["connecting", "connected"]
