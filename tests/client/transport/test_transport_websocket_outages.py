"""Connections that are lost, deaf or closed, and what comes after."""

from __future__ import annotations

import asyncio
import gc
import time

import pytest
from doubles.socket_double import SocketDouble, Watched
from websockets.asyncio.server import ServerConnection

from chatbot.client import exceptions
from chatbot.client.models import ConnectionState
from chatbot.client.transport.connection import Connection

AGAIN: tuple[ConnectionState, ...] = ("reconnecting", "connected")


# ---------------------------------------------------------------- losing and finding


async def test_reconnects_at_once_after_a_loss(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        double.socket.transport.abort()
        await watched.reach("connecting", "connected", "reconnecting", "connected")
        assert watched.pauses == []
        client.send_nowait("typing", {"n": 1})
        assert await double.next("typing") == {"n": 1}


async def test_a_backend_that_is_stopped_and_started_again(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        watched.may_go_on.clear()
        await double.stop()
        await watched.reach("connecting", "connected", "reconnecting")
        with pytest.raises(exceptions.ConnectionError):
            client.send_nowait("typing", {})
        await double.start()
        watched.may_go_on.set()
        await watched.reach("connecting", "connected", "reconnecting", "connected")
        assert watched.pauses == [3.0]


async def test_attempts_grow_rarer_and_start_over_after_a_link_that_lasted(
    double: SocketDouble,
) -> None:
    watched = Watched(double, max_reconnect_attempts=8)
    async with watched as client:
        await client.connect()
        await double.stop()
        assert isinstance(await watched.reason(), exceptions.ConnectionError)
        assert watched.pauses == [3.0, 3.0, 6.0, 12.0, 24.0, 30.0, 30.0]
        assert client.state == "disconnected"


async def test_a_link_that_is_lost_at_once_again_and_again_is_not_hammered(
    double: SocketDouble,
) -> None:
    def lose_soon(socket: ServerConnection) -> None:
        socket.loop.call_later(0.05, socket.transport.abort)

    double.on_open = lose_soon
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await watched.reach("connecting", "connected", *AGAIN * 5)
        assert watched.pauses == [3.0, 3.0, 6.0, 12.0]


async def test_a_link_that_lasted_earns_an_attempt_at_once(double: SocketDouble) -> None:
    watched = Watched(double, reconnect_delay=0.0)
    async with watched as client:
        await client.connect()
        for n in range(1, 4):
            double.socket.transport.abort()
            await watched.reach("connecting", "connected", *AGAIN * n)
        assert watched.pauses == []


async def test_without_reconnecting_a_loss_is_final(double: SocketDouble) -> None:
    watched = Watched(double, auto_reconnect=False)
    async with watched as client:
        await client.connect()
        await double.socket.close()
        assert isinstance(await watched.reason(), exceptions.ConnectionError)
        assert watched.states == ["connecting", "connected", "disconnected"]


async def test_starts_before_the_backend_does(double: SocketDouble) -> None:
    await double.stop()
    watched = Watched(double)
    watched.may_go_on.clear()
    async with watched as client:
        await client.connect(wait=False)
        await watched.reach("connecting")
        await double.start()
        watched.may_go_on.set()
        await watched.reach("connecting", "connected")


async def test_a_disabled_account_stops_for_good(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        words = "Your account has been disabled by an administrator."
        await double.send("error", {"message": words})
        error = await watched.reason()
        assert isinstance(error, exceptions.AuthenticationError)
        assert str(error) == words
        assert client.state == "disconnected"
        assert await double.saw("open", "close")
        assert [(await watched.frame()).type, (await watched.frame()).type] == ["online", "error"]


async def test_any_other_error_frame_changes_nothing(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await watched.frame()
        await double.send("error", {"message": "Invalid message format"})
        assert (await watched.frame()).type == "error"
        client.send_nowait("typing", {})
        await double.next("typing")
        assert client.state == "connected"


# ---------------------------------------------------------------- the deaf socket


async def test_a_socket_that_is_deaf_from_the_start_is_opened_once_more(
    double: SocketDouble,
) -> None:
    double.deaf_next = 1
    async with Watched(double, probe_timeout=0.05) as client:
        await client.connect()
        assert await double.saw("open", "close", "open")


async def test_a_backend_that_never_delivers(double: SocketDouble) -> None:
    double.deaf_next = 2
    async with Watched(double, probe_timeout=0.05) as client:
        with pytest.raises(exceptions.ConnectionError, match="does not deliver"):
            await client.connect()


async def test_a_socket_that_goes_deaf_is_noticed_closed_and_replaced(
    double: SocketDouble,
) -> None:
    watched = Watched(double, probe_interval=0.05, probe_timeout=0.05)
    async with watched as client:
        await client.connect()
        double.deaf.add(double.socket)
        await watched.reach("connecting", "connected", "reconnecting", "connected")
        assert await double.saw("open", "close", "open")


async def test_a_socket_that_hears_is_probed_and_kept(double: SocketDouble) -> None:
    async with Watched(double, probe_interval=0.01) as client:
        await client.connect()
        nonces = {(await double.next("status"))["messageId"] for _ in range(5)}
        assert len(nonces) == 5
        assert double.journal == ["open"]


async def test_a_socket_unproven_for_five_minutes_is_replaced(double: SocketDouble) -> None:
    """As after a sleep of the machine: what was sent meanwhile may be lost."""
    now = 0
    watched = Watched(double, probe_interval=0.01, probe_timeout=5.0, clock=lambda: now)
    async with watched as client:
        await client.connect()
        now += 300_000
        for _ in range(3):
            await double.next("status")
        assert double.journal == ["open"]
        now += 300_001
        await watched.reach("connecting", "connected", "reconnecting", "connected")
    now += 7
    assert client.silence == 7


async def test_a_probe_is_not_answered_by_another_nonce(double: SocketDouble) -> None:
    watched = Watched(double, probe_interval=0.05, probe_timeout=0.1)
    async with watched as client:
        await client.connect()
        double.deaf.add(double.socket)
        await double.send("status", {"messageId": "", "status": "sent"})
        await double.send("status", {"messageId": "0" * 32, "status": "sent"})
        await watched.reach("connecting", "connected", "reconnecting", "connected")


async def test_a_socket_that_hears_other_things_is_not_deaf(double: SocketDouble) -> None:
    watched = Watched(double, probe_interval=0.01, probe_timeout=0.1)
    async with watched as client:
        await client.connect()
        double.deaf.add(double.socket)
        for _ in range(6):
            await asyncio.sleep(0.05)  # as echoes of what was sent before the probe trickle in
            await double.send("message", {})
        assert watched.states == ["connecting", "connected"]
        await watched.reach("connecting", "connected", *AGAIN)


async def test_a_probe_that_is_lost_is_sent_again(double: SocketDouble) -> None:
    """A socket with much to hear must not wait for it for ever."""
    double.deaf_next = 1

    async def chatter() -> None:
        await double.next("status")
        for _ in range(4):
            await double.send("message", {})
            await asyncio.sleep(0.05)
        double.deaf.clear()
        while True:
            await double.send("message", {})
            await asyncio.sleep(0.05)

    async with Watched(double, probe_timeout=0.1) as client:
        chattering = asyncio.create_task(chatter())
        await client.connect()
        chattering.cancel()
        assert double.journal == ["open"]


async def test_a_socket_that_hears_but_returns_no_probe_is_given_up_in_the_end(
    double: SocketDouble,
) -> None:
    now = 0
    watched = Watched(double, probe_interval=0.01, probe_timeout=0.05, clock=lambda: now)

    async def chatter() -> None:
        nonlocal now
        while double.journal == ["open"]:
            await double.send("message", {})
            await asyncio.sleep(0.01)
            now += 10_000

    async with watched as client:
        await client.connect()
        double.deaf.add(double.socket)
        chattering = asyncio.create_task(chatter())
        await watched.reach("connecting", "connected", *AGAIN)
        await chattering


async def test_a_socket_whose_frames_still_leave_is_not_deaf(
    double: SocketDouble, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A picture takes the uplink longer than a probe may take, and the probe is behind it."""
    unsent: list[int] = []
    monkeypatch.setattr(Connection, "unsent", property(lambda _: unsent.pop() if unsent else 0))
    watched = Watched(double, probe_interval=0.01, probe_timeout=0.02)
    async with watched as client:
        await client.connect()
        double.deaf.add(double.socket)
        unsent += range(10)
        await watched.reach("connecting", "connected", *AGAIN)
    assert not unsent


async def test_complaints_alone_do_not_prove_that_a_socket_hears(double: SocketDouble) -> None:
    watched = Watched(double, probe_interval=0.01, probe_timeout=0.1)

    async def complain() -> None:
        while True:
            await double.send("error", {"message": "Invalid message format"})
            await asyncio.sleep(0.02)

    async with watched as client:
        await client.connect()
        double.deaf.add(double.socket)
        complaining = asyncio.create_task(complain())
        await watched.reach("connecting", "connected", *AGAIN)
        complaining.cancel()


# ---------------------------------------------------------------- closing


async def test_closing_needs_no_answer_and_leaves_nothing_behind(double: SocketDouble) -> None:
    before = asyncio.all_tasks()
    watched = Watched(double)
    await watched.client.connect()
    double.socket.transport.pause_reading()
    started = time.monotonic()
    await watched.client.close()
    assert 0.9 < time.monotonic() - started < 1.5
    mine = {task for task in asyncio.all_tasks() - before if "websockets" not in repr(task)}
    assert not mine
    await watched.client.close()
    assert watched.states == ["connecting", "connected", "disconnected"]


async def test_closing_at_once(double: SocketDouble) -> None:
    watched = Watched(double)
    connecting = asyncio.create_task(watched.client.connect())
    await asyncio.sleep(0)
    await watched.client.close()
    with pytest.raises(exceptions.ConnectionError, match="closed"):
        await connecting
    await watched.client.connect()
    await watched.client.close()


async def test_closing_while_connecting(double: SocketDouble) -> None:
    double.greeting = None
    watched = Watched(double)
    connecting = asyncio.create_task(watched.client.connect())
    await double.next("auth")
    await watched.client.close()
    with pytest.raises(exceptions.ConnectionError, match="closed"):
        await connecting


async def test_giving_up_connecting(double: SocketDouble) -> None:
    double.greeting = None
    watched = Watched(double)
    connecting = asyncio.create_task(watched.client.connect())
    await double.next("auth")
    connecting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await connecting
    assert watched.states == ["connecting", "disconnected"]
    gc.collect()


async def test_closing_while_waiting_for_the_next_attempt(double: SocketDouble) -> None:
    watched = Watched(double, max_reconnect_attempts=None)
    async with watched as client:
        await client.connect()
        watched.may_go_on.clear()
        await double.stop()
        await watched.reach("connecting", "connected", "reconnecting")
    assert watched.states[-1] == "disconnected"
    assert watched.fatal.empty()
