"""A client's WebSocket beside a scripted server: connecting, frames, sending, callbacks."""

from __future__ import annotations

import asyncio
import json
import logging
from http import HTTPStatus
from typing import Any

import pytest
from doubles.socket_double import ME, TIMEOUT, SocketDouble, Watched

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.models import ConnectionState
from chatbot.client.transport import link
from chatbot.client.transport.tokens import TokenSource
from chatbot.client.transport.websocket import WebSocketClient
from chatbot.version import __version__

AGAIN: tuple[ConnectionState, ...] = ("reconnecting", "connected")


# ---------------------------------------------------------------- connecting


async def test_connects_logs_in_and_sees_a_probe_come_back(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        assert watched.states == ["connecting", "connected"]
        assert client.state == "connected"
        assert await double.next("auth") == {"userId": ME, "username": "me"}
        probe = await double.next("status")
        assert probe["to"] == ME
        assert len(probe["messageId"]) == 32
        headers = double.requests[0].headers
        assert headers["Authorization"] == "Bearer some-token"
        assert headers["User-Agent"] == f"ratchetbot/{__version__}"
        assert "Sec-WebSocket-Extensions" not in headers
    assert watched.states == ["connecting", "connected", "disconnected"]


async def test_connecting_twice_opens_one_socket(double: SocketDouble) -> None:
    async with Watched(double) as client:
        await asyncio.gather(client.connect(), client.connect())
        await client.connect()
        assert double.journal == ["open"]


async def test_connects_again_after_closing(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await client.close()
        await client.connect()
    assert watched.states == ["connecting", "connected", "disconnected"] * 2


async def test_nothing_listens_there(double: SocketDouble) -> None:
    await double.stop()
    watched = Watched(double)
    async with watched as client:
        with pytest.raises(exceptions.ConnectionError, match=f"{double.url} cannot be reached"):
            await client.connect()
        assert watched.states == ["connecting", "disconnected"]
        assert watched.pauses == []
        assert watched.fatal.empty()


@pytest.mark.parametrize(
    ("greeting", "error"),
    [
        (("error", {"message": "User not found"}), exceptions.AuthenticationError),
        (("error", {"message": "Invalid message format"}), exceptions.ConnectionError),
        (("online", {"users": "everybody"}), exceptions.ConnectionError),
        (None, exceptions.ConnectionError),
    ],
)
async def test_the_login_on_the_socket_fails(
    double: SocketDouble,
    greeting: Any,
    error: type[Exception],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(link, "WELCOME_TIMEOUT", 0.1)
    double.greeting = greeting
    async with Watched(double) as client:
        with pytest.raises(error):
            await client.connect()
        assert client.state == "disconnected"


async def test_the_backends_words_are_told_without_control_characters(
    double: SocketDouble,
) -> None:
    double.greeting = ("error", {"message": "\x1b[2JGo away" + "!" * 1000})
    async with Watched(double) as client:
        with pytest.raises(exceptions.AuthenticationError, match=r"^\[2JGo away!{189}$"):
            await client.connect()


async def test_an_error_before_the_login_is_sent_is_understood(double: SocketDouble) -> None:
    frame = json.dumps({"type": "error", "payload": {"message": "Too many connections"}})
    double.on_open = lambda socket: socket.protocol.send_text(frame.encode())
    double.greeting = None
    async with Watched(double) as client:
        with pytest.raises(exceptions.AuthenticationError, match="Too many connections"):
            await client.connect()


@pytest.mark.parametrize("status", [HTTPStatus.FOUND, HTTPStatus.NOT_FOUND, HTTPStatus.OK])
async def test_a_handshake_answered_otherwise(double: SocketDouble, status: HTTPStatus) -> None:
    double.refusals = [(status, {"Location": "ws://127.0.0.1:1/elsewhere"})]
    async with Watched(double) as client:
        with pytest.raises(exceptions.ConnectionError, match=f"HTTP {status.value}"):
            await client.connect()
        assert len(double.requests) == 1


@pytest.mark.parametrize("answer", [b"HTTP/1.1 bananas\r\n\r\n", b"SSH-2.0-OpenSSH\r\n", b""])
async def test_what_answers_is_no_websocket(answer: bytes) -> None:
    async def respond(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    server = await asyncio.start_server(respond, "127.0.0.1", 0)
    double = SocketDouble()
    double.port = server.sockets[0].getsockname()[1]
    async with server, Watched(double) as client:
        with pytest.raises(exceptions.ConnectionError, match="does not answer as a WebSocket"):
            await client.connect()


async def test_clear_text_to_another_machine_is_refused(double: SocketDouble) -> None:
    with pytest.raises(exceptions.ValidationError, match="clear text"):
        Watched(double, url="ws://192.0.2.1/ws")
    Watched(double, url="ws://192.0.2.1/ws", allow_insecure=True)


@pytest.mark.parametrize(
    ("headers", "trusted", "authenticated"),
    [
        ({"X-Authenticated-Sockets": "1"}, True, True),
        ({"X-Authenticated-Sockets": "1"}, False, False),
        ({"X-Authenticated-Sockets": "0"}, True, False),
        ({}, True, False),
    ],
)
async def test_sockets_are_authenticated_only_where_trusted(
    double: SocketDouble, headers: dict[str, str], trusted: bool, authenticated: bool
) -> None:
    double.headers = headers
    async with Watched(double, trusted=trusted) as client:
        assert not client.authenticated_sockets
        await client.connect()
        assert client.authenticated_sockets is authenticated
    assert not client.authenticated_sockets


# ---------------------------------------------------------------- tokens


def tokens_of(*tokens: str) -> tuple[TokenSource, list[str]]:
    """Give a source whose logins give these tokens, and the list of those still to come."""
    left = list(tokens)

    async def relogin() -> str:
        await asyncio.sleep(0)
        return left.pop(0)

    return TokenSource(relogin), left


@pytest.mark.parametrize("status", [HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN])
async def test_a_refused_token_is_replaced_once(double: SocketDouble, status: HTTPStatus) -> None:
    double.refusals = [(status, {})]
    tokens, left = tokens_of("new", "unused")
    tokens.set("old")
    async with Watched(double, tokens=tokens) as client:
        await client.connect()
    assert [r.headers["Authorization"] for r in double.requests] == ["Bearer old", "Bearer new"]
    assert left == ["unused"]


async def test_a_token_refused_even_after_a_new_login(double: SocketDouble) -> None:
    double.refusals = [(HTTPStatus.UNAUTHORIZED, {})] * 5
    tokens, left = tokens_of("first", "second", "unused")
    async with Watched(double, tokens=tokens) as client:
        with pytest.raises(exceptions.AuthenticationError, match="HTTP 401"):
            await client.connect()
    assert left == ["unused"]


async def test_a_login_refused_while_reconnecting_ends_it(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        double.refusals = [(HTTPStatus.UNAUTHORIZED, {})]
        double.socket.transport.abort()
        assert isinstance(await watched.reason(), exceptions.AuthenticationError)
        assert watched.states == ["connecting", "connected", "reconnecting", "disconnected"]


# ---------------------------------------------------------------- frames


async def test_frames_arrive_in_order_and_probes_do_not(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        assert (await watched.frame()).type == "online"
        for n in range(50):
            await double.send("message", {"n": n})
        await double.send("status", {"messageId": "of-somebody", "status": "read"})
        got = [await watched.frame() for _ in range(51)]
    assert [bytes(frame.payload) for frame in got[:50]] == [b'{"n": %d}' % n for n in range(50)]
    assert got[50].type == "status"
    assert watched.frames.empty()


async def test_what_is_sent_in_one_turn_arrives_in_order(double: SocketDouble) -> None:
    async with Watched(double) as client:
        await client.connect()
        for n in range(1000):
            client.send_nowait("typing", {"n": n, "filler": "x" * 500})
        await client.send("typing", wire.TypingFrame(typing=True, to="you"))
        assert [(await double.next("typing"))["n"] for _ in range(1000)] == list(range(1000))
        assert await double.next("typing") == {"typing": True, "to": "you"}


async def test_fragments_pings_and_binary_frames_are_understood(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await watched.frame()
        await double.socket.send(['{"type":"m', 'essage","payload":', '"é"}'])
        await double.socket.send(b'{"type":"message","payload":2}')
        async with asyncio.timeout(TIMEOUT):
            await (await double.socket.ping())
        payloads = [bytes((await watched.frame()).payload) for _ in range(2)]
    assert payloads == ['"é"'.encode(), b"2"]


NO_FRAMES = {
    b"": "not JSON",
    b"nonsense": "not JSON",
    b'{"type":"message"': "not JSON",
    b"[]": "not a frame",
    b"null": "not a frame",
    b'{"type":"message"}': "not a frame",
    b'{"type":7,"payload":{}}': "not a frame",
    b'{"payload":{}}': "not a frame",
    b'{"type":"message","payload":' + b"[" * 100_000 + b"]" * 100_000 + b"}": "too deep",
}


async def test_what_is_no_frame_is_dropped_and_counted(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await watched.frame()
        for data in NO_FRAMES:
            await double.socket.send(data, text=True)
        await double.send("message", {})
        assert (await watched.frame()).type == "message"
        assert client.rejected == {"not JSON": 3, "not a frame": 5, "too deep": 1}
        assert double.journal == ["open"]


@pytest.mark.parametrize("kind", ["status", "online", "error"])
@pytest.mark.parametrize("payload", ["null", "7", '{"message":7,"users":1,"messageId":[]}', "{}"])
async def test_payloads_of_the_wrong_type_harm_nothing(
    double: SocketDouble, kind: str, payload: str
) -> None:
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await watched.frame()
        await double.socket.send(f'{{"type":"{kind}","payload":{payload}}}')
        await double.send("message", {})
        assert [(await watched.frame()).type, (await watched.frame()).type] == [kind, "message"]
        assert double.journal == ["open"]
        assert client.state == "connected"


async def test_a_handler_that_raises_is_logged_and_the_next_frame_read(
    double: SocketDouble, caplog: pytest.LogCaptureFixture
) -> None:
    seen: asyncio.Queue[str] = asyncio.Queue()

    def on_frame(frame: wire.Frame) -> None:
        seen.put_nowait(frame.type)
        raise LookupError

    async with Watched(double, on_frame=on_frame) as client:
        await client.connect()
        await double.send("message", {})
        async with asyncio.timeout(TIMEOUT):
            assert [await seen.get(), await seen.get()] == ["online", "message"]
        assert client.state == "connected"
    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "A frame could not be handled"
    ] * 2


async def test_a_frame_over_the_bound_ends_the_connection_and_it_comes_back(
    double: SocketDouble,
) -> None:
    watched = Watched(double, max_frame=10_000)
    async with watched as client:
        await client.connect()
        double.socket.transport.write(b"\x81\x7f" + (2**40).to_bytes(8, "big") + b"x" * 100)
        await watched.reach("connecting", "connected", "reconnecting", "connected")
        assert client.state == "connected"


async def test_fragments_over_the_bound_end_the_connection(double: SocketDouble) -> None:
    watched = Watched(double, max_frame=10_000)
    async with watched as client:
        await client.connect()
        double.socket.transport.write(
            b"\x01\x0a" + b"x" * 10 + (b"\x00\x7e\x10\x00" + b"x" * 4096) * 5
        )
        await watched.reach("connecting", "connected", "reconnecting", "connected")
        assert client.state == "connected"


# ---------------------------------------------------------------- sending


async def test_sending_without_a_connection(double: SocketDouble) -> None:
    watched = Watched(double)
    async with watched as client:
        for _ in range(2):
            with pytest.raises(exceptions.ConnectionError, match="Not connected"):
                client.send_nowait("typing", {})
            with pytest.raises(exceptions.ConnectionError, match="Not connected"):
                await client.send("typing", {})
            await client.connect()
            await client.close()


async def test_a_frame_too_large_or_not_unicode_is_refused(double: SocketDouble) -> None:
    async with Watched(double, max_frame=1000) as client:
        await client.connect()
        with pytest.raises(exceptions.ValidationError, match="larger than 1000 bytes"):
            client.send_nowait("message", {"content": "x" * 1000})
        with pytest.raises(exceptions.ValidationError, match="Unicode"):
            client.send_nowait("message", {"content": "\ud800"})
        client.send_nowait("message", {"content": "fine"})
        assert await double.next("message") == {"content": "fine"}


def fill(client: WebSocketClient) -> int:
    """Send until the client refuses, and return how many frames it took."""
    for accepted in range(10_000):
        try:
            client.send_nowait("typing", {"n": accepted, "filler": "x" * 10_000})
        except exceptions.ConnectionError:
            return accepted
    pytest.fail("the client takes frames without end")


async def test_a_backend_that_does_not_read_costs_bounded_memory(double: SocketDouble) -> None:
    async with Watched(double, max_frame=200_000) as client:
        await client.connect()
        double.socket.transport.pause_reading()
        accepted = fill(client)
        with pytest.raises(exceptions.ConnectionError, match="does not keep up"):
            client.send_nowait("typing", {})
        waiting = asyncio.create_task(client.send("typing", {"n": "last"}))
        await asyncio.sleep(0)
        assert not waiting.done()
        assert client.congested
        double.socket.transport.resume_reading()
        await waiting
        numbers = [(await double.next("typing"))["n"] for _ in range(accepted + 1)]
        assert numbers == [*range(accepted), "last"]


async def test_pings_that_nobody_reads_the_answers_of_cost_bounded_memory(
    double: SocketDouble,
) -> None:
    watched = Watched(double, max_frame=10_000)
    async with watched as client:
        await client.connect()
        double.socket.transport.pause_reading()
        pings = b"\x89\x7d" + b"x" * 125
        for _ in range(100):
            double.socket.transport.write(pings * 1000)
        await watched.reach("connecting", "connected", *AGAIN)


# ---------------------------------------------------------------- discretion and callbacks


async def test_neither_tokens_nor_contents_are_logged(
    double: SocketDouble, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, logger="chatbot")
    caplog.set_level(logging.DEBUG, logger="websockets.client")
    watched = Watched(double)
    async with watched as client:
        await client.connect()
        await watched.frame()
        client.send_nowait("message", {"content": "secret words"})
        await double.send("message", {"content": "secret words"})
        await double.socket.send("secret words")
        await double.next("message")
        await watched.frame()
    mine = [r.getMessage() for r in caplog.records if r.name != "websockets.server"]
    assert mine
    assert not any("secret" in line or "some-token" in line for line in mine)


async def test_a_state_callback_that_raises_harms_nothing(
    double: SocketDouble, caplog: pytest.LogCaptureFixture
) -> None:
    def on_state(_: str) -> None:
        raise LookupError

    async with Watched(double, on_state=on_state) as client:
        await client.connect()
        assert client.state == "connected"
    assert "A callback of the connection failed" in caplog.text


async def test_a_failure_of_our_own_is_reported_and_not_silent(
    double: SocketDouble, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken() -> str:
        raise LookupError

    async with Watched(double, tokens=TokenSource(broken)) as client:
        with pytest.raises(exceptions.ConnectionError, match="failure on our side"):
            await client.connect()
    assert "LookupError" in caplog.text
