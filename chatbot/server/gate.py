"""The front door: how many connections there may be, and for how long they may say nothing."""

from __future__ import annotations

import asyncio

from aiohttp import web
from aiohttp.typedefs import Middleware

from chatbot.server.http import Handler
from chatbot.server.limits import Limits


class _Refusing(asyncio.Protocol):
    """Hangs up at once."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        transport.close()


class Gate:
    """Lets connections in, within the limits."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._silent: dict[asyncio.BaseProtocol, asyncio.TimerHandle] = {}

    def admit(self, server: web.Server) -> asyncio.BaseProtocol:
        """Return the protocol for one more connection to `server`."""
        if len(server.connections) >= self._limits.connections:
            return _Refusing()
        protocol = server()
        self._silent[protocol] = asyncio.get_running_loop().call_later(
            self._limits.first_request_seconds, self._drop, protocol
        )
        return protocol

    @property
    def middleware(self) -> Middleware:
        """What notes that a connection has begun to talk."""

        @web.middleware
        async def note(request: web.Request, handler: Handler) -> web.StreamResponse:
            if timer := self._silent.pop(request.protocol, None):
                timer.cancel()
            return await handler(request)

        return note

    def close(self) -> None:
        """Forget who has not said anything yet."""
        for timer in self._silent.values():
            timer.cancel()
        self._silent.clear()

    def _drop(self, protocol: web.RequestHandler) -> None:
        del self._silent[protocol]
        if protocol.transport is not None:
            protocol.transport.abort()
