"""A socket server that misbehaves on demand, and what watches a client that talks to it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Self

from websockets.asyncio.server import Server, ServerConnection, serve
from websockets.datastructures import Headers
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

from chatbot.client import exceptions
from chatbot.client.models import ConnectionState
from chatbot.client.transport.tokens import TokenSource
from chatbot.client.transport.websocket import WebSocketClient
from chatbot.wire import Frame

TIMEOUT = 10.0
ME = "me-id"


class SocketDouble:
    """Answers `auth` with `online` and sends self-addressed `status` frames back.

    Attributes:
        deaf: the sockets to which no `status` is delivered.
        deaf_next: how many of the sockets to come are deaf from the start.
        greeting: what `auth` is answered with; None for nothing.
        refusals: HTTP answers to the next handshakes.
        headers: added to the answer of a handshake that succeeds.
        on_open: called with each new socket before anything is read from it.
        journal: `open` and `close` of all sockets, in order.
    """

    def __init__(self) -> None:
        self.deaf: set[ServerConnection] = set()
        self.deaf_next = 0
        self.greeting: tuple[str, Any] | None = ("online", {"users": []})
        self.refusals: list[tuple[HTTPStatus, dict[str, str]]] = []
        self.headers: dict[str, str] = {}
        self.on_open: Callable[[ServerConnection], None] = lambda _: None
        self.journal: list[str] = []
        self.requests: list[Request] = []
        self.sockets: list[ServerConnection] = []
        self.received: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self._changed = asyncio.Event()
        self.port = 0
        self._server: Server | None = None

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    @property
    def url(self) -> str:
        return f"ws://127.0.0.1:{self.port}/ws"

    @property
    def socket(self) -> ServerConnection:
        return self.sockets[-1]

    async def start(self, **options: Any) -> None:
        self._server = await serve(
            self._serve,
            "127.0.0.1",
            self.port,
            process_request=self._answer,
            process_response=self._decorate,
            compression=None,
            ping_interval=None,
            close_timeout=1,
            **options,
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        if self._server is not None:
            for socket in self.sockets:
                socket.transport.abort()
            self._server.close()
            await self._server.wait_closed()

    async def next(self, kind: str) -> Any:
        """Return the payload of the next frame of a kind that a client sends."""
        async with asyncio.timeout(TIMEOUT):
            while (frame := await self.received.get())["type"] != kind:
                pass
        return frame["payload"]

    async def saw(self, *events: str) -> bool:
        """Wait until the sockets have come and gone in exactly this order."""
        async with asyncio.timeout(TIMEOUT):
            while self.journal != list(events):
                assert self.journal == list(events)[: len(self.journal)]
                self._changed.clear()
                await self._changed.wait()
        return True

    async def send(self, kind: str, payload: Any) -> None:
        await self.socket.send(json.dumps({"type": kind, "payload": payload}))

    def _note(self, event: str) -> None:
        self.journal.append(event)
        self._changed.set()

    def _answer(self, _: ServerConnection, request: Request) -> Response | None:
        self.requests.append(request)
        if not self.refusals:
            return None
        status, headers = self.refusals.pop(0)
        return Response(status.value, status.phrase, Headers({"Content-Length": "0", **headers}))

    def _decorate(self, _: ServerConnection, __: Request, response: Response) -> None:
        response.headers.update(self.headers)

    async def _serve(self, socket: ServerConnection) -> None:
        self.sockets.append(socket)
        self._note("open")
        if self.deaf_next:
            self.deaf_next -= 1
            self.deaf.add(socket)
        self.on_open(socket)
        try:
            async for message in socket:
                await self._take(socket, json.loads(message))
        except ConnectionClosed:
            pass
        finally:
            self._note("close")

    async def _take(self, socket: ServerConnection, frame: dict[str, Any]) -> None:
        self.received.put_nowait(frame)
        answer = None
        if frame["type"] == "auth":
            answer = self.greeting
        elif frame["type"] == "status" and socket not in self.deaf:
            payload = frame["payload"]
            answer = "status", {"messageId": payload["messageId"], "status": payload["status"]}
        if answer is not None:
            await socket.send(json.dumps({"type": answer[0], "payload": answer[1]}))


class Watched:
    """A client together with everything it told."""

    def __init__(
        self, double: SocketDouble, *, tokens: TokenSource | None = None, **options: Any
    ) -> None:
        self.states: list[ConnectionState] = []
        self.frames: asyncio.Queue[Frame] = asyncio.Queue()
        self.fatal: asyncio.Queue[exceptions.WhatsAppClientError] = asyncio.Queue()
        self.pauses: list[float] = []
        self.may_go_on = asyncio.Event()
        self.may_go_on.set()
        self._changed = asyncio.Event()
        if tokens is None:
            tokens = TokenSource()
            tokens.set("some-token")
        options.setdefault("url", double.url)
        self.client = WebSocketClient(
            **{
                "user_id": ME,
                "username": "me",
                "tokens": tokens,
                "on_frame": self.frames.put_nowait,
                "on_state": self._on_state,
                "on_fatal": self.fatal.put_nowait,
                "probe_timeout": 0.2,
                "sleep": self._sleep,
                "random": lambda: 0.0,
                **options,
            }
        )

    async def __aenter__(self) -> WebSocketClient:
        return self.client

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    async def reach(self, *states: ConnectionState) -> None:
        """Wait until the client has gone through exactly these states since the start."""
        async with asyncio.timeout(TIMEOUT):
            while self.states != list(states):
                assert self.states == list(states)[: len(self.states)]
                self._changed.clear()
                await self._changed.wait()

    async def frame(self) -> Frame:
        async with asyncio.timeout(TIMEOUT):
            return await self.frames.get()

    async def reason(self) -> exceptions.WhatsAppClientError:
        async with asyncio.timeout(TIMEOUT):
            return await self.fatal.get()

    def _on_state(self, state: ConnectionState) -> None:
        self.states.append(state)
        self._changed.set()

    async def _sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await self.may_go_on.wait()
        await asyncio.sleep(0)
