"""The endpoint /ws: one socket from its handshake to its end (PROTOCOL.md 3)."""

from __future__ import annotations

import asyncio
from functools import partial
from typing import Final

import msgspec
from aiohttp import WSCloseCode, WSMsgType, web

from chatbot.server.accounts import touch_last_seen
from chatbot.server.authentication import Guard
from chatbot.server.errors import INVALID_FRAME, Refused, unauthorized
from chatbot.server.limits import FrameRate
from chatbot.server.presence import Presence
from chatbot.server.relay import Relay
from chatbot.server.resources import Resources
from chatbot.server.sockets import Connection
from chatbot.server.users import User
from chatbot.wire import AUTHENTICATED_SOCKETS_HEADER

_PING_SECONDS: Final = 30.0
_CLOSE_SECONDS: Final = 1.0


class Gateway:
    """Accepts sockets and feeds their frames to the relay."""

    def __init__(
        self, resources: Resources, guard: Guard, presence: Presence, relay: Relay
    ) -> None:
        self._database = resources.database
        self._limits = resources.limits
        self._clock = resources.clock
        self._guard = guard
        self._presence = presence
        self._relay = relay
        self._open: set[Connection] = set()

    def routes(self) -> list[web.RouteDef]:
        """Return the endpoint."""
        return [web.get("/ws", self.handle, allow_head=False)]

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Serve one socket until it closes."""
        proven = self._guard.claimed_user(request.headers)
        if proven is None and not self._guard.browser_compat:
            raise unauthorized()
        socket = self.make_socket()
        if not self._guard.browser_compat:
            socket.headers[AUTHENTICATED_SOCKETS_HEADER] = "1"
        await socket.prepare(request)
        connection = Connection(socket, request.transport, self._limits)
        self._open.add(connection)
        writer = asyncio.create_task(connection.write_frames())
        try:
            await self._serve(connection, proven)
        finally:
            self._leave(connection)
            await self.hang_up(connection)
            await writer
            self._open.discard(connection)
            connection.gone.set()
        return socket

    async def hang_up(self, connection: Connection) -> None:
        """End a socket from which nothing more is read: what is queued goes out first."""
        connection.close(WSCloseCode.OK, "")

    def make_socket(self) -> web.WebSocketResponse:
        """Return the response that becomes a socket.

        It is not compressed: pictures and ciphertext do not shrink, and bombs do.
        """
        return web.WebSocketResponse(
            timeout=_CLOSE_SECONDS,
            heartbeat=_PING_SECONDS,
            compress=False,
            max_msg_size=self._limits.frame_bytes,
        )

    async def close_all(self) -> None:
        """Say goodbye to every socket, and cut off those that do not answer within a second."""
        for connection in list(self._open):
            connection.close(WSCloseCode.GOING_AWAY, "The server is shutting down")
        for connection in list(self._open):
            await connection.gone.wait()

    async def _serve(self, connection: Connection, proven: str | None) -> None:
        try:
            async with asyncio.timeout(self._limits.auth_seconds):
                user = await self._authenticate(connection, proven)
        except TimeoutError:
            connection.close(WSCloseCode.POLICY_VIOLATION, "No auth frame came")
            return
        if user is None:
            return
        self._presence.join(user, connection)
        self._database.note(partial(touch_last_seen, user_id=user.id, now=self._clock()))
        await self._read_frames(connection, user)

    async def _authenticate(self, connection: Connection, proven: str | None) -> User | None:
        """Read until an `auth` frame says who it is; None when the socket closed first."""
        rate = FrameRate(self._limits)
        while (data := await self._next_frame(connection, rate)) is not None:
            try:
                user = await self._relay.authenticate(data, proven)
            except (msgspec.MsgspecError, RecursionError):
                connection.send_error(INVALID_FRAME)
            except Refused as refused:
                connection.refuse(refused)
            else:
                if user is not None:
                    return user
        return None

    async def _read_frames(self, connection: Connection, user: User) -> None:
        rate = FrameRate(self._limits)
        while (data := await self._next_frame(connection, rate)) is not None:
            try:
                self._relay.serve(connection, user, data)
            except (msgspec.MsgspecError, RecursionError):
                connection.then(partial(connection.send_error, INVALID_FRAME))
            except Refused as refused:
                connection.then(partial(connection.refuse, refused))
            await connection.ready()

    async def _next_frame(self, connection: Connection, rate: FrameRate) -> str | None:
        """Return the next text; a binary frame is none, so it reads as one that is not JSON."""
        if connection.closing:
            return None
        message = await connection.socket.receive()
        if message.type not in {WSMsgType.TEXT, WSMsgType.BINARY}:
            return None
        if delay := rate.delay(asyncio.get_running_loop().time()):
            await asyncio.sleep(delay)
        return message.data if isinstance(message.data, str) else ""

    def _leave(self, connection: Connection) -> None:
        if self._presence.leave(connection) and connection.user is not None:
            now = self._clock()
            self._database.note(partial(touch_last_seen, user_id=connection.user.id, now=now))
