"""A bad network: a proxy between a client and its backend that harms what passes, by seed."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Coroutine
from contextlib import AsyncExitStack, suppress
from types import TracebackType
from typing import Any, Final, Self

import aiohttp
import websockets
from aiohttp import web

from faults.weather import CALM, Fates, Weather

_HOP: Final = frozenset(
    ("accept-encoding", "connection", "content-length", "host", "transfer-encoding", "upgrade")
)
"""Headers that belong to one connection and not to what passes through it."""

_DEAFNESS: Final = 60.0
"""Seconds after which a connection that lets nothing through breaks."""


class FaultyProxy:
    """A backend's address with a bad network behind it. An async context manager.

    Args:
        upstream: the backend's URL.
        seed: the same one harms the nth frame of the mth connection in the same way again.
        weather: how bad it is; may be changed at any time.

    Attributes:
        harmed: how often each fate was met, by `in`, `out` or `call` and its name.
    """

    def __init__(self, upstream: str, *, seed: int, weather: Weather = CALM) -> None:
        self.weather = weather
        self.harmed: Counter[str] = Counter()
        self._upstream = upstream
        self._seed = seed
        self._connections = 0
        self._calls = Fates(seed, "calls")
        self._bridges: set[_Bridge] = set()
        self._port = 0
        self._stack = AsyncExitStack()

    @property
    def url(self) -> str:
        """Where clients find it."""
        return f"http://127.0.0.1:{self._port}"

    async def __aenter__(self) -> Self:
        application = web.Application(client_max_size=16 * 1024 * 1024)
        application.router.add_route("*", "/{path:.*}", self._answer)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=0.1)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        self._http = await self._stack.enter_async_context(
            aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=60))
        )
        self._stack.callback(self.cut)
        site = web.TCPSite(runner, "127.0.0.1", 0)
        await site.start()
        self._port = runner.addresses[0][1]
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    def cut(self) -> int:
        """Cut every socket without a close handshake; returns how many there were."""
        bridges = list(self._bridges)
        for bridge in bridges:
            bridge.cut()
        return len(bridges)

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        try:
            if request.headers.get("Upgrade", "").lower() == "websocket":
                return await self._bridge(request)
            return await self._call(request)
        except (aiohttp.ClientError, OSError, websockets.WebSocketException, TimeoutError):
            return _broken(request)  # the backend is down: so is the way to it

    # ------------------------------------------------------------ calls

    async def _call(self, request: web.Request) -> web.StreamResponse:
        fate = self._calls.call(self.weather)
        self._count("call", fate)
        match fate:
            case "delay":
                await asyncio.sleep(self._calls.seconds(self.weather.delay))
            case "refuse":
                return web.json_response({"error": "Internal server error"}, status=500)
            case "cut before":
                return _broken(request)
            case "hang":
                await asyncio.sleep(self.weather.hang)
                return _broken(request)
        return await self._forward(request, breaks_off=fate == "cut after")

    async def _forward(self, request: web.Request, *, breaks_off: bool) -> web.StreamResponse:
        headers = {k: v for k, v in request.headers.items() if k.lower() not in _HOP}
        async with self._http.request(
            request.method,
            self._upstream + request.path_qs,
            headers=headers,
            data=await request.read() or None,
        ) as answer:
            body = await answer.read()
        kept = {k: v for k, v in answer.headers.items() if k.lower() not in _HOP}
        if not breaks_off:
            return web.Response(status=answer.status, headers=kept, body=body)
        response = web.StreamResponse(status=answer.status, headers=kept)
        response.content_length = len(body) + 1
        await response.prepare(request)
        await response.write(body[: self._calls.place(len(body) + 1)])
        return _broken(request)

    # ------------------------------------------------------------ sockets

    async def _bridge(self, request: web.Request) -> web.StreamResponse:
        self._connections += 1
        number = self._connections
        headers = {
            k: v
            for k, v in request.headers.items()
            if k.lower() not in _HOP and not k.lower().startswith("sec-websocket")
        }
        try:
            upstream = await websockets.connect(
                f"ws{self._upstream.removeprefix('http')}{request.path_qs}",
                additional_headers=headers,
                compression=None,
                max_size=None,
                close_timeout=0.1,
                ping_interval=None,
            )
        except websockets.InvalidStatus as refused:
            answer = refused.response
            return web.Response(status=answer.status_code, body=answer.body)
        downstream = web.WebSocketResponse(
            compress=False, max_msg_size=0, timeout=0.1, autoclose=False
        )
        assert upstream.response is not None
        for name, value in upstream.response.headers.raw_items():
            if name.lower().startswith("x-"):
                downstream.headers[name] = value
        await downstream.prepare(request)
        fates = (
            Fates(self._seed, f"socket {number} in"),
            Fates(self._seed, f"socket {number} out"),
        )
        bridge = _Bridge(self, request, downstream, upstream, *fates)
        self._bridges.add(bridge)
        try:
            await bridge.run()
        finally:
            self._bridges.discard(bridge)
        return downstream

    def _count(self, way: str, fate: str) -> None:
        if fate != "pass":
            self.harmed[f"{way} {fate}"] += 1


class _Bridge:
    """One socket and what passes through it."""

    def __init__(
        self,
        proxy: FaultyProxy,
        request: web.Request,
        downstream: web.WebSocketResponse,
        upstream: websockets.ClientConnection,
        inward: Fates,
        outward: Fates,
    ) -> None:
        self._proxy = proxy
        self._request = request
        self._downstream = downstream
        self._upstream = upstream
        self._in = inward
        self._out = outward
        self._late: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        """Carry frames both ways until either side or a fate ends it."""
        ways = {asyncio.create_task(self._inward()), asyncio.create_task(self._outward())}
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            tasks = ways | self._late
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self.cut()

    def cut(self) -> None:
        """Break both connections."""
        self._upstream.transport.abort()
        if self._request.transport is not None:
            self._request.transport.abort()

    async def _inward(self) -> None:
        async for frame in self._upstream:
            assert isinstance(frame, str)
            fate = self._in.incoming(self._proxy.weather)
            self._proxy._count("in", fate)
            match fate:
                case "delay":
                    await self._wait(self._in)
                case "drop":
                    continue
                case "duplicate":
                    self._later(frame)
                case "reorder":
                    self._later(frame)
                    continue
                case "corrupt":
                    await self._downstream.send_str(_damaged(frame, self._in))
                    continue
                case "cut":
                    return
                case "deafen":
                    await asyncio.sleep(_DEAFNESS)
                    return
            await self._downstream.send_str(frame)

    async def _outward(self) -> None:
        async for message in self._downstream:
            if message.type is not aiohttp.WSMsgType.TEXT:
                return
            fate = self._out.outgoing(self._proxy.weather)
            self._proxy._count("out", fate)
            match fate:
                case "delay":
                    await self._wait(self._out)
                case "drop":
                    continue
                case "cut":
                    return
            await self._upstream.send(message.data)

    async def _wait(self, fates: Fates) -> None:
        await asyncio.sleep(fates.seconds(self._proxy.weather.delay))

    def _later(self, frame: str) -> None:
        self._spawn(self._send_late(frame, self._in.seconds(self._proxy.weather.delay)))

    async def _send_late(self, frame: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        with suppress(ConnectionResetError):  # cut meanwhile
            await self._downstream.send_str(frame)

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)


def _damaged(frame: str, fates: Fates) -> str:
    """A frame with something wrong in it, but not who wrote it and under which id.

    Nothing authenticates those two: who changes them makes another message of it, and no client
    can help that.
    """
    while True:
        damaged = fates.damage(frame)
        if damaged != frame and _label(damaged) in {None, _label(frame)}:
            return damaged


def _label(frame: str) -> tuple[object, object] | None:
    """Whose message it is and under which id; None where nothing can be made of it."""
    try:
        payload = json.loads(frame)["payload"]
        return payload.get("from"), payload.get("id")
    except (ValueError, TypeError, LookupError, AttributeError):
        return None


def _broken(request: web.Request) -> web.StreamResponse:
    """Break the connection that a call came on: no answer, or no more of it."""
    if request.transport is not None:
        request.transport.abort()
    return web.Response()
