"""A backend that keeps nothing, with a thousand peers inside: as little load as can be.

One process has the relay and everybody who writes to the bot, so that the bot has a core to itself.
The peers' ratchets are real; what is not needed to answer a bot is not there.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import msgspec
from aiohttp import web

from chatbot import wire
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import decode_content, encode_content
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.crypto.x3dh import PrekeyBundle

BOT = "00000000-0000-4000-8000-000000000000"
"""The bot's user id."""


def _now() -> int:
    return time.time_ns() // 1_000_000


class Peer:
    """Somebody who talks to the bot."""

    def __init__(self, number: int) -> None:
        self.id = f"00000000-0000-4000-8001-{number:012}"
        self.username = f"peer-{number}"
        self.sent_at = 0.0
        self._ring = KeyRing(Identity.generate())
        self._record = PeerRecord(BOT)
        self._count = 0
        signed = self._ring.new_signed_prekey(_now())
        upload = self._ring.upload_body(signed, [])
        self.bundle = wire.PrekeyBundleBody(
            upload.identity_key, upload.signing_key, upload.fingerprint, upload.signed_prekey
        )

    def write(self, text: str, bundle: PrekeyBundle) -> wire.MessageFrame:
        """A message to the bot: bare once it has answered."""
        now, self._count = _now(), self._count + 1
        message_id = f"{self.id}-{self._count}"
        self._record.accept_identity(bundle.identity_key)
        if self._record.sending_session(now) is not None:
            _, message = self._record.encrypt(text.encode(), now)
        else:
            _, message = self._record.open_session(
                message_id, text.encode(), self._ring.identity, bundle, now
            )
            self._record.x3dh_settled(message_id, now, delivered=True)
        self._record.take_changes()
        self.sent_at = time.perf_counter()
        return wire.MessageFrame(
            id=message_id,
            from_=self.id,
            to=BOT,
            content=encode_content(message),
            timestamp=now,
            encrypted=True,
        )

    def read(self, content: str) -> str:
        """What the bot wrote."""
        received = self._record.receive(decode_content(content), self._ring, _now())
        self._record.take_changes()
        return received.plaintext.decode()


@dataclass
class LeanRelay:
    """REST and WebSocket for one bot.

    Attributes:
        peers: by id.
        on_answer: told of each message of the bot: who got it, and what it says.
        connected: set while the bot's socket is up.
    """

    peers: dict[str, Peer]
    on_answer: Callable[[Peer, str], None] = lambda _peer, _text: None
    connected: asyncio.Event = field(default_factory=asyncio.Event)
    bundle: PrekeyBundle | None = None
    _keys: wire.KeyUpload | None = None
    _socket: web.WebSocketResponse | None = None

    async def send(self, peer: Peer, text: str) -> None:
        """Let a peer write to the bot."""
        assert self.bundle is not None
        assert self._socket is not None
        await self._send("message", peer.write(text, self.bundle))

    def application(self) -> web.Application:
        """What serves it."""
        application = web.Application()
        application.add_routes(
            [
                web.post("/api/auth/register", self._log_in),
                web.post("/api/auth/login", self._log_in),
                web.get("/api/users", self._users),
                web.post("/api/users/prekeys", self._upload),
                web.get("/api/users/prekeys/status", self._prekeys),
                web.get("/api/users/{id}/prekeys", self._bundle),
                web.get("/api/messages/{id}", self._nothing),
                web.get("/api/groups", self._nothing),
                web.get("/ws", self._serve),
            ]
        )
        return application

    async def _log_in(self, request: web.Request) -> web.Response:
        username = (await request.json())["username"]
        return _json(wire.Account(id=BOT, username=username, token="a.b.c"))

    async def _users(self, _request: web.Request) -> web.Response:
        return _json([wire.UserEntry(p.id, p.username) for p in self.peers.values()])

    async def _upload(self, request: web.Request) -> web.Response:
        self._keys = keys = msgspec.json.decode(await request.read(), type=wire.KeyUpload)
        self.bundle = PrekeyBundle.from_body(
            wire.PrekeyBundleBody(
                keys.identity_key, keys.signing_key, keys.fingerprint, keys.signed_prekey
            )
        )
        return _json(wire.KeyUploadResult())

    async def _prekeys(self, _request: web.Request) -> web.Response:
        if self._keys is None or self._keys.signed_prekey is None:
            return _json(wire.PrekeyStatus())
        return _json(wire.PrekeyStatus(self._keys.signed_prekey.key_id, None, 100))

    async def _bundle(self, request: web.Request) -> web.Response:
        return _json(self.peers[request.match_info["id"]].bundle)

    async def _nothing(self, _request: web.Request) -> web.Response:
        return _json([])

    async def _serve(self, request: web.Request) -> web.WebSocketResponse:
        self._socket = socket = web.WebSocketResponse(compress=False)
        await socket.prepare(request)
        handlers = {"auth": self._welcome, "message": self._take, "status": self._probe}
        async for text in socket:
            frame = wire.decode_frame(text.data)
            if frame.type in handlers:
                await handlers[frame.type](frame.payload)
        self.connected.clear()
        return socket

    async def _welcome(self, _payload: msgspec.Raw) -> None:
        await self._send("online", wire.OnlineFrame(users=[]))
        self.connected.set()

    async def _probe(self, payload: msgspec.Raw) -> None:
        status = msgspec.json.decode(payload, type=wire.StatusFrame)
        if status.to == BOT:
            await self._send("status", status)

    async def _take(self, payload: msgspec.Raw) -> None:
        sent = msgspec.json.decode(payload, type=wire.SendFrame)
        echo = wire.MessageFrame(
            id=sent.message_id or "",
            from_=BOT,
            to=sent.to,
            content=sent.content,
            timestamp=_now(),
            status="delivered",
            encrypted=True,
        )
        await self._send("message", echo)
        peer = self.peers[sent.to]
        self.on_answer(peer, peer.read(sent.content))

    async def _send(self, kind: str, payload: msgspec.Struct) -> None:
        assert self._socket is not None
        await self._socket.send_str(wire.encode_frame(kind, payload).decode())


def _json(body: Any) -> web.Response:
    return web.Response(body=msgspec.json.encode(body), content_type="application/json")
