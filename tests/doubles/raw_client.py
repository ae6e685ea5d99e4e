"""A client without opinions: says to a backend exactly what a test wants said."""

from __future__ import annotations

import asyncio
import io
import json
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import aiohttp
import websockets

PASSWORD = "correct horse"
PATIENCE = 5.0
"""Seconds after which something that should come counts as missing."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call was answered with; `body` is decoded where it is JSON."""

    status: int
    body: Any
    headers: Mapping[str, str]

    @property
    def error(self) -> str:
        """The text of an error; fails where it is not the protocol's only shape of one."""
        assert list(self.body) == ["error"], self.body
        return str(self.body["error"])


class RawSocket:
    """A WebSocket of which every frame is looked at."""

    def __init__(self, socket: websockets.ClientConnection) -> None:
        self.socket = socket

    async def send(self, kind: str, /, **payload: Any) -> None:
        await self.send_raw({"type": kind, "payload": payload})

    async def send_raw(self, frame: Any) -> None:
        await self.socket.send(frame if isinstance(frame, str | bytes) else json.dumps(frame))

    async def receive(self) -> tuple[str, Any]:
        """Return the next frame as its type and payload."""
        async with asyncio.timeout(PATIENCE):
            frame = json.loads(await self.socket.recv())
        assert list(frame) == ["type", "payload"]
        return frame["type"], frame["payload"]

    async def next(self, kind: str) -> Any:
        """Return the payload of the next frame of that type, passing over others."""
        while True:
            received, payload = await self.receive()
            if received == kind:
                return payload

    async def next_but(self, kind: str) -> tuple[str, Any]:
        """Return the next frame that is not of that type."""
        while True:
            frame = await self.receive()
            if frame[0] != kind:
                return frame

    async def until_closed(self) -> list[tuple[str, Any]]:
        """Return the frames that come before the server closes."""
        frames: list[tuple[str, Any]] = []
        try:
            while True:
                frames.append(await self.receive())
        except websockets.ConnectionClosed:
            return frames


class PersonSocket(RawSocket):
    """One that has said whose it is."""

    def __init__(self, socket: websockets.ClientConnection, user_id: str) -> None:
        super().__init__(socket)
        self.user_id = user_id

    async def pending(self) -> list[tuple[str, Any]]:
        """Return every frame that was on its way: a probe to oneself comes behind them all."""
        nonce = str(uuid.uuid4())
        frames: list[tuple[str, Any]] = []
        await self.send("status", to=self.user_id, messageId=nonce, status="delivered")
        while True:
            frame = await self.receive()
            if frame == ("status", {"messageId": nonce, "status": "delivered"}):
                return frames
            frames.append(frame)


@dataclass(slots=True)
class Person:
    """A registered account."""

    backend: RawBackend
    account: dict[str, Any]

    @property
    def id(self) -> str:
        return str(self.account["id"])

    @property
    def name(self) -> str:
        return str(self.account["username"])

    @property
    def token(self) -> str:
        return str(self.account["token"])

    @property
    def bearer(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self.token}"}

    async def call(self, method: str, path: str, body: Any = None) -> Answer:
        """Make a call as this person."""
        return await self.backend.call(method, path, body, headers=self.bearer)

    async def get(self, path: str) -> Any:
        """Return the body of a GET that must succeed."""
        answer = await self.call("GET", path)
        assert answer.status == 200, answer
        return answer.body

    @asynccontextmanager
    async def online(self) -> AsyncIterator[PersonSocket]:
        """Open a socket as this person, past its list of who is online."""
        async with self.backend.socket(self.bearer) as raw:
            await raw.send("auth", userId=self.id, username=self.name)
            assert "users" in await raw.next("online")
            yield PersonSocket(raw.socket, self.id)


class RawBackend:
    """The backend as seen from outside."""

    def __init__(self, url: str, http: aiohttp.ClientSession) -> None:
        self.url = url
        self.http = http

    async def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Make a call; bytes go out as they are, anything else as JSON."""
        text = body if isinstance(body, bytes) else json.dumps(body).encode()
        data = None if body is None else io.BytesIO(text)
        request = self.http.request(method, self.url + path, data=data, headers=headers)
        async with asyncio.timeout(PATIENCE), request as answer:
            content = await answer.read()
            is_json = answer.content_type == "application/json"
            return Answer(
                answer.status, json.loads(content) if is_json else content.decode(), answer.headers
            )

    async def register(self, username: str) -> Person:
        """Register an account."""
        body = {"username": username, "password": PASSWORD}
        answer = await self.call("POST", "/api/auth/register", body)
        assert answer.status == 201, answer
        return Person(self, answer.body)

    @asynccontextmanager
    async def socket(self, headers: Mapping[str, str] | None = None) -> AsyncIterator[RawSocket]:
        """Open a socket that has not said whose it is."""
        async with websockets.connect(
            f"ws{self.url.removeprefix('http')}/ws",
            additional_headers=headers,
            max_size=None,
            close_timeout=2,
        ) as socket:
            yield RawSocket(socket)


@asynccontextmanager
async def raw_backend(url: str) -> AsyncIterator[RawBackend]:
    """Talk to the backend at `url`."""
    async with aiohttp.ClientSession() as http:
        yield RawBackend(url, http)
