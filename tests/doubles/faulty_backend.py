"""The embedded backend with the faults of the real one (PROTOCOL.md 2 and 3), each switchable."""

from __future__ import annotations

import asyncio
import json
import sqlite3
from base64 import b64encode
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field, fields
from functools import partial
from pathlib import Path
from typing import Any, Self

from aiohttp import EofStream, web
from aiohttp.typedefs import Handler as AnyHandler
from aiohttp.typedefs import Middleware
from argon2 import PasswordHasher
from msgspec import Raw

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.server import Server
from chatbot.server.assembly import Assembly
from chatbot.server.authentication import Guard, LenientHandler
from chatbot.server.errors import Refused
from chatbot.server.gateway import Gateway
from chatbot.server.groups import Groups
from chatbot.server.http import Handler, error_response, json_response
from chatbot.server.keys import Keys, store_identity
from chatbot.server.limits import FrameRate
from chatbot.server.messages import Message, Messages
from chatbot.server.presence import Presence
from chatbot.server.relay import Relay
from chatbot.server.resources import Resources
from chatbot.server.sockets import Connection
from chatbot.server.tokens import Tokens, is_token
from chatbot.server.users import User
from chatbot.wire import (
    GroupCreate,
    GroupSendFrame,
    KeyUpload,
    SendFrame,
    StatusBatchBody,
    encode_frame,
)

LARGEST_STORED = 2_000_000
MOST_STATUS_IDS = 98

CHEAP_HASHER = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
"""Argon2 as cheap as it gets: tests register accounts by the dozen."""


@dataclass(slots=True)
class Faults:
    """Which faults are on; they may be switched at any time.

    Attributes:
        deaf_second_login: the late close of a replaced socket unregisters the one that replaced
            it: that one can send but receives nothing.
        unanswered_close: a client's close handshake is never answered.
        unchecked_ids: no token is asked for where the real backend asks for none, and whatever
            user id a caller claims is believed.
        half_made_groups: a duplicate or unknown member is a 500, and the group is there.
        stale_prekeys: one-time prekeys of an earlier identity stay and are handed out first, and
            uploading an id again makes it unused.
        unstored_large: what is over 2 MB is forwarded and never stored.
        small_batches: a status update of more than 98 ids is a 500.
        bare_protocol: nothing is there but what the protocol names: a group message gets an id of
            the backend's own, and histories are not asked from a time on.
        lost_pushes: messages are stored and echoed as delivered, and never forwarded. (Not a
            fault that the real one has all the time, so it is not among `Faults.real()`.)
        shifting_identities: whoever's keys are fetched has others each time, well signed; no fault
            of the real one either, but what a hostile one would do.
    """

    deaf_second_login: bool = False
    unanswered_close: bool = False
    unchecked_ids: bool = False
    half_made_groups: bool = False
    stale_prekeys: bool = False
    unstored_large: bool = False
    small_batches: bool = False
    bare_protocol: bool = False
    lost_pushes: bool = False
    shifting_identities: bool = False

    @classmethod
    def real(cls) -> Self:
        """All that were measured on the real backend."""
        every = {fault.name: True for fault in fields(cls)}
        return cls(**{**every, "lost_pushes": False, "shifting_identities": False})


@dataclass(slots=True)
class Interference:
    """What a test does to the backend while it runs.

    Attributes:
        running: cleared while the backend hangs.
        failures: answers still to be given instead of the right ones, as (path prefix, status).
        heard: the last frames that clients have sent, as they came.
    """

    running: asyncio.Event = field(default_factory=asyncio.Event)
    failures: list[tuple[str, int]] = field(default_factory=list)
    heard: deque[str] = field(default_factory=lambda: deque(maxlen=1000))

    def take_failure(self, path: str) -> int | None:
        for failure in self.failures:
            if path.startswith(failure[0]):
                self.failures.remove(failure)
                return failure[1]
        return None


class FaultyServer(Server):
    """A backend to test clients against.

    Args:
        db_path: as `Server` has it, and so are the remaining ones.
        faults: what is wrong with it; by default everything that is wrong with the real one.
    """

    def __init__(
        self, db_path: Path | str, *, faults: Faults | None = None, port: int = 0, **options: Any
    ) -> None:
        self.faults = Faults.real() if faults is None else faults
        self._interference = Interference()
        self._interference.running.set()
        self._faulty = _FaultyAssembly(self.faults, self._interference)
        options.setdefault("password_hasher", CHEAP_HASHER)
        super().__init__(db_path, port=port, assembly=self._faulty, **options)

    def fail_next(self, count: int = 1, *, status: int = 500, path: str = "/") -> None:
        """Answer the next calls to paths that begin so with an error, handshakes included."""
        self._interference.failures += [(path, status)] * count

    def recover(self) -> None:
        """Answer with no errors any more."""
        self._interference.failures.clear()

    def hang(self) -> None:
        """Answer nothing more, neither calls nor frames, until `release`."""
        self._interference.running.clear()

    def release(self) -> None:
        """Go on where it hung."""
        self._interference.running.set()

    def drop_sockets(self, user_id: str | None = None) -> int:
        """Cut the sockets of one user, or all, without a close handshake; return how many."""
        return self._faulty.drop_sockets(user_id)

    def push(self, user_id: str, frame: bytes) -> bool:
        """Send a user's socket what no backend should; False if there is none."""
        return self._faulty.push(user_id, frame)

    def heard(self, kind: str) -> list[dict[str, Any]]:
        """The payloads of the frames of a type that clients have sent lately."""
        frames = map(json.loads, self._interference.heard)
        return [frame["payload"] for frame in frames if frame["type"] == kind]

    async def stop(self) -> None:
        """Stop as usual, hanging or not."""
        self.release()
        await super().stop()


class _FaultyAssembly(Assembly):
    def __init__(self, faults: Faults, interference: Interference) -> None:
        self._faults = faults
        self._interference = interference
        self._gateway: _FaultyGateway | None = None
        self._presence = _FaultyPresence(faults)

    def push(self, user_id: str, frame: bytes) -> bool:
        return self._presence.send(user_id, frame)

    def drop_sockets(self, user_id: str | None) -> int:
        return 0 if self._gateway is None else self._gateway.drop(user_id)

    def presence(self) -> Presence:
        return self._presence

    def guard(self, resources: Resources, tokens: Tokens, *, browser_compat: bool) -> Guard:
        return _FaultyGuard(self._faults, resources, tokens, browser_compat=browser_compat)

    def keys(self, resources: Resources) -> Keys:
        return _FaultyKeys(self._faults, resources)

    def groups(self, resources: Resources) -> Groups:
        return _FaultyGroups(self._faults, resources)

    def messages(self, resources: Resources) -> Messages:
        return _FaultyMessages(self._faults, resources)

    def relay(self, resources: Resources, presence: Presence, messages: Messages) -> Relay:
        return _FaultyRelay(self._faults, resources, presence, messages)

    def gateway(
        self, resources: Resources, guard: Guard, presence: Presence, relay: Relay
    ) -> Gateway:
        self._gateway = _FaultyGateway(
            self._faults, self._interference, resources, guard, presence, relay
        )
        return self._gateway

    def middlewares(self) -> list[Middleware]:
        interference, faults = self._interference, self._faults

        @web.middleware
        async def interfere(request: web.Request, handler: AnyHandler) -> web.StreamResponse:
            await interference.running.wait()
            status = interference.take_failure(request.path)
            if status is not None:
                return error_response(status, "Internal server error")
            if faults.bare_protocol:
                request = request.clone(rel_url=request.rel_url.without_query_params("after"))
            return await handler(request)

        return [*super().middlewares(), interfere]


class _FaultyPresence(Presence):
    def __init__(self, faults: Faults) -> None:
        super().__init__()
        self._faults = faults

    def leave(self, connection: Connection) -> bool:
        if self._faults.deaf_second_login and connection.user is not None:
            newest = self._online.get(connection.user.id, connection)
            return super().leave(newest)
        return super().leave(connection)


class _FaultyGuard(Guard):
    def __init__(
        self, faults: Faults, resources: Resources, tokens: Tokens, *, browser_compat: bool
    ) -> None:
        super().__init__(resources.database, tokens, browser_compat=browser_compat)
        self._faults = faults

    @property
    def browser_compat(self) -> bool:
        return self._faults.unchecked_ids or super().browser_compat

    def claimed_user(self, headers: Mapping[str, str]) -> str | None:
        if not self._faults.unchecked_ids:
            return super().claimed_user(headers)
        bearer = headers.get("Authorization", "").removeprefix("Bearer ")
        return bearer if bearer and not is_token(bearer) else None

    def lenient(self, handler: LenientHandler) -> Handler:
        checked = super().lenient(handler)

        async def guarded(request: web.Request) -> web.StreamResponse:
            if self._faults.unchecked_ids:
                return await handler(request, None)
            return await checked(request)

        return guarded


class _FaultyKeys(Keys):
    def __init__(self, faults: Faults, resources: Resources) -> None:
        super().__init__(resources)
        self._faults = faults

    async def _fetch(self, request: web.Request, user: User) -> web.StreamResponse:
        if self._faults.shifting_identities:
            return json_response(_made_up_bundle())
        return await super()._fetch(request, user)

    def replace_identity(
        self, connection: sqlite3.Connection, user_id: str, upload: KeyUpload, now: int
    ) -> None:
        if self._faults.stale_prekeys:
            store_identity(connection, user_id, upload, now)
        else:
            super().replace_identity(connection, user_id, upload, now)

    def add_one_time_prekeys(
        self, connection: sqlite3.Connection, user_id: str, upload: KeyUpload, now: int
    ) -> int:
        if not self._faults.stale_prekeys:
            return super().add_one_time_prekeys(connection, user_id, upload, now)
        rows = [(user_id, key.key_id, key.public_key, now) for key in upload.one_time_prekeys]
        connection.executemany(
            "INSERT OR REPLACE INTO one_time_prekeys (user_id, key_id, public_key, created_at)"
            " VALUES (?, ?, ?, ?)",
            rows,
        )
        return len(rows)


def _made_up_bundle() -> dict[str, Any]:
    identity, prekey = Identity.generate(), generate_key_pair()
    return {
        "identityKey": b64encode(identity.public_key).decode(),
        "signingKey": b64encode(identity.signing_key).decode(),
        "fingerprint": identity.fingerprint,
        "signedPrekey": {
            "keyId": 1,
            "publicKey": b64encode(prekey.public).decode(),
            "signature": b64encode(identity.sign(prekey.public)).decode(),
            "createdAt": 0,
        },
        "oneTimePrekey": None,
    }


class _FaultyGroups(Groups):
    def __init__(self, faults: Faults, resources: Resources) -> None:
        super().__init__(resources)
        self._faults = faults

    async def _create(self, request: web.Request, user: User) -> web.StreamResponse:
        if not self._faults.half_made_groups:
            return await super()._create(request, user)
        body = await self._bodies.read(request, GroupCreate)
        group = await self._database.write(partial(self._insert_half, user, body))
        if group is None:
            return error_response(500, "D1_ERROR: UNIQUE or FOREIGN KEY constraint failed")
        return json_response(group, 201)

    def _insert_half(
        self, owner: User, body: GroupCreate, connection: sqlite3.Connection
    ) -> dict[str, Any] | None:
        group = self.insert(owner, body, [], connection)
        for member in body.member_ids:
            try:
                connection.execute(
                    "INSERT INTO group_members VALUES (?, ?, 'member', ?, ?)",
                    (group["id"], member, group["created_at"], owner.id),
                )
            except sqlite3.IntegrityError:
                return None
        return group


class _UnstoredMessage(Message):
    """Goes to whoever is online, and is in no history."""

    def store(self, connection: sqlite3.Connection) -> None:
        """Leave nothing."""


class _FaultyMessages(Messages):
    def __init__(self, faults: Faults, resources: Resources) -> None:
        super().__init__(resources)
        self._faults = faults

    def compose(self, sender: User, frame: SendFrame, *, online: bool) -> Message:
        message = super().compose(sender, frame, online=online)
        size = len(message.content) + len(message.image_data or "")
        if not self._faults.unstored_large or size <= LARGEST_STORED:
            return message
        names = [column.name for column in fields(message)]
        return _UnstoredMessage(**{name: getattr(message, name) for name in names})

    def check_batch(self, body: StatusBatchBody) -> None:
        super().check_batch(body)
        if self._faults.small_batches and len(body.message_ids) > MOST_STATUS_IDS:
            raise Refused(500, "D1_ERROR: too many SQL variables")


class _FaultyRelay(Relay):
    def __init__(
        self, faults: Faults, resources: Resources, presence: Presence, messages: Messages
    ) -> None:
        super().__init__(resources, presence, messages)
        self._faults = faults

    def deliver(self, sender: Connection, message: Message) -> None:
        if self._faults.lost_pushes:
            sender.send(encode_frame("message", message.payload("delivered")))
        else:
            super().deliver(sender, message)

    def _group_message(
        self, sender: Connection, user: User, frame: GroupSendFrame, raw: Raw
    ) -> None:
        if self._faults.bare_protocol:
            frame.message_id = None
        super()._group_message(sender, user, frame, raw)


class _RudeSocket(web.WebSocketResponse):
    """Reads a client's close frame and says nothing to it."""

    async def wait_for_loss(self) -> None:
        """Wait until the client has given up on the connection."""
        if self._reader is None:
            return
        with suppress(EofStream, ConnectionError):
            while True:
                await self._reader.read()


class _FaultyGateway(Gateway):
    def __init__(
        self,
        faults: Faults,
        interference: Interference,
        resources: Resources,
        guard: Guard,
        presence: Presence,
        relay: Relay,
    ) -> None:
        super().__init__(resources, guard, presence, relay)
        self._faults = faults
        self._interference = interference

    def drop(self, user_id: str | None) -> int:
        doomed = [
            connection
            for connection in self._open
            if user_id is None or (connection.user is not None and connection.user.id == user_id)
        ]
        for connection in doomed:
            connection.abort()
        return len(doomed)

    def make_socket(self) -> web.WebSocketResponse:
        if not self._faults.unanswered_close:
            return super().make_socket()
        return _RudeSocket(
            autoclose=False, timeout=1.0, compress=False, max_msg_size=self._limits.frame_bytes
        )

    async def hang_up(self, connection: Connection) -> None:
        if isinstance(connection.socket, _RudeSocket) and not connection.closing:
            await connection.socket.wait_for_loss()
        await super().hang_up(connection)

    async def _next_frame(self, connection: Connection, rate: FrameRate) -> str | None:
        data = await super()._next_frame(connection, rate)
        if data:
            self._interference.heard.append(data)
        await self._interference.running.wait()
        return data
