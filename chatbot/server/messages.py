"""1:1 messages: their rows, and the calls about them (PROTOCOL.md 2)."""

from __future__ import annotations

import sqlite3
import uuid
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import Raw, Struct

from chatbot.server.authentication import Guard
from chatbot.server.errors import Refused, invalid_frame, unauthorized
from chatbot.server.http import (
    SUCCESS,
    Row,
    json_response,
    query_integer,
    read_pages,
    stream_array,
)
from chatbot.server.limits import Limits
from chatbot.server.resources import Resources
from chatbot.server.users import User, require_sender, require_user
from chatbot.wire import (
    MAX_IMAGE_BYTES,
    MAX_SAFE_INTEGER,
    SendFrame,
    StatusBatchBody,
    StoreMessageBody,
)

MAX_STATUS_IDS: Final = 100
_LONGEST_ID: Final = 256
_LONGEST_IMAGE: Final = MAX_IMAGE_BYTES * 4 // 3 + 100

_HISTORY: Final = (
    "SELECT timestamp, seq, id, from_user AS fromUser, to_user AS toUser, content,"
    " timestamp, status, read_at AS readAt, type, image_data AS imageData, encrypted"
    " FROM messages WHERE pair = ? AND (timestamp, seq) > (?, ?) ORDER BY timestamp, seq"
)

_STORE: Final = (
    "INSERT INTO messages (pair, id, from_user, to_user, content, timestamp, status, read_at,"
    " type, encrypted, image_data)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
    " ON CONFLICT (id, to_user, from_user) DO UPDATE SET status = 'delivered'"
    " WHERE status = 'sent' AND excluded.status = 'delivered'"
)

_ADVANCE: Final = (
    "UPDATE messages SET"
    " status = CASE WHEN status = 'read' OR :status = 'sent' THEN status ELSE :status END,"
    " read_at = CASE WHEN :status = 'read' THEN coalesce(read_at, :now) ELSE read_at END"
    " WHERE id IN (SELECT value FROM json_each(:ids))"
    " AND (:reader IS NULL OR to_user = :reader) AND (:sender IS NULL OR from_user = :sender)"
)


class _Envelope(Struct):
    """What makes a content count as encrypted: these two are there."""

    header: Raw
    ciphertext: Raw


_envelopes: Final = msgspec.json.Decoder(_Envelope)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """One message on its way from a socket to the disk and on.

    Attributes:
        status: `delivered` where the recipient was online when it came in.
    """

    id: str
    from_user: str
    to_user: str
    content: str = field(repr=False)
    timestamp: int
    status: str
    type: str
    encrypted: bool
    image_data: str | None = field(repr=False)

    def store(self, connection: sqlite3.Connection) -> None:
        """Write the row; one that is there already keeps everything but a status of `sent`.

        Raises:
            Refused: the sender is disabled or may not send this, or there is no such recipient.
        """
        sends_image = self.type == "image" or self.image_data is not None
        require_sender(connection, self.from_user, sends_image=sends_image)
        require_user(connection, self.to_user)
        connection.execute(
            _STORE,
            (
                pair_of(self.from_user, self.to_user),
                self.id,
                self.from_user,
                self.to_user,
                self.content,
                self.timestamp,
                self.status,
                None,
                self.type,
                self.encrypted,
                self.image_data,
            ),
        )

    def correct_status(self, connection: sqlite3.Connection, *, status: str) -> None:
        """Write what became of it after all, unless more has happened since."""
        connection.execute(
            "UPDATE messages SET status = ?"
            " WHERE id = ? AND to_user = ? AND from_user = ? AND status = ?",
            (status, self.id, self.to_user, self.from_user, self.status),
        )

    def payload(self, status: str) -> Row:
        """Return the frame's payload with that status."""
        payload: dict[str, Any] = {
            "id": self.id,
            "from": self.from_user,
            "to": self.to_user,
            "content": self.content,
            "timestamp": self.timestamp,
            "status": status,
            "type": self.type,
            "encrypted": self.encrypted,
        }
        if self.image_data is not None:
            payload["imageData"] = self.image_data
        return payload


class Messages:
    """The calls, and the making of messages out of frames."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._limits = resources.limits
        self._clock = resources.clock

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        return [
            web.get("/api/messages/{peer}", guard.lenient(self._history), allow_head=False),
            web.post("/api/messages", guard.lenient(self._store)),
            web.put("/api/messages/status", guard.lenient(self._update_status)),
        ]

    def compose(self, sender: User, frame: SendFrame, *, online: bool) -> Message:
        """Make the message of a frame.

        Raises:
            Refused: something is too large.
        """
        check_content(frame.content, frame.image_data, self._limits)
        check_id(frame.message_id)
        return Message(
            id=frame.message_id or str(uuid.uuid4()),
            from_user=sender.id,
            to_user=frame.to,
            content=frame.content,
            timestamp=self._clock(),
            status="delivered" if online else "sent",
            type=frame.message_type,
            encrypted=frame.encrypted and is_envelope(frame.content),
            image_data=frame.image_data,
        )

    async def _history(self, request: web.Request, user: User | None) -> web.StreamResponse:
        reader = request.query.get("user") or (user.id if user else "")
        if user is not None and reader != user.id:
            raise unauthorized()
        after = query_integer(request, "after")
        start = (-1, 0) if after is None else (after, MAX_SAFE_INTEGER)
        pair = pair_of(reader, request.match_info["peer"])
        return await stream_array(request, read_pages(self._database, _HISTORY, (pair,), start))

    async def _store(self, request: web.Request, user: User | None) -> web.StreamResponse:
        body = await self._bodies.read(
            request, StoreMessageBody, max_bytes=self._limits.frame_bytes
        )
        if user is not None and body.from_user != user.id:
            raise unauthorized()
        check_content(body.content, None, self._limits)
        check_id(body.id)
        message = Message(
            id=body.id,
            from_user=body.from_user,
            to_user=body.to_user,
            content=body.content,
            # A time to come would move the readers' watermarks past everything until then.
            timestamp=min(body.timestamp, self._clock()),
            status=body.status,
            type="text",
            encrypted=False,
            image_data=None,
        )
        await self._database.write(message.store)
        return json_response(SUCCESS, 201)

    async def _update_status(self, request: web.Request, user: User | None) -> web.StreamResponse:
        body = await self._bodies.read(request, StatusBatchBody)
        self.check_batch(body)
        unit = partial(
            advance_status,
            ids=body.message_ids,
            status=body.status,
            reader=user.id if user else None,
            now=self._clock(),
        )
        return json_response({"success": True, "updated": await self._database.write(unit)})

    def check_batch(self, body: StatusBatchBody) -> None:
        """Raise 400 for a status update of none or too many."""
        if not body.message_ids:
            raise Refused(400, "No message IDs provided")
        if len(body.message_ids) > MAX_STATUS_IDS:
            raise Refused(400, f"Too many message IDs (at most {MAX_STATUS_IDS})")


def advance_status(
    connection: sqlite3.Connection,
    *,
    ids: list[str],
    status: str,
    now: int,
    reader: str | None,
    sender: str | None = None,
) -> int:
    """Move messages on to `status`, never back, and return how many there were.

    Args:
        connection: the writer's.
        ids: the messages'.
        status: the new one.
        now: the time of reading, in ms.
        reader: only messages to this user, where given.
        sender: only messages from this user, where given.
    """
    values = {
        "ids": msgspec.json.encode(ids).decode(),
        "status": status,
        "now": now,
        "reader": reader,
        "sender": sender,
    }
    return connection.execute(_ADVANCE, values).rowcount


def pair_of(first: str, second: str) -> str:
    """Return the key of the conversation of two users, whoever is named first."""
    return f"{min(first, second)}:{max(first, second)}"


def is_envelope(content: str) -> bool:
    """Whether a content is JSON with a header and a ciphertext, and so may count as encrypted."""
    try:
        _envelopes.decode(content)
    except (msgspec.DecodeError, RecursionError):
        return False
    return True


def check_id(message_id: str | None) -> None:
    """Raise for an id of the client's making that is too long to be kept."""
    if message_id is not None and len(message_id) > _LONGEST_ID:
        raise invalid_frame()


def check_content(content: str, image_data: str | None, limits: Limits) -> None:
    """Raise for a message that is too large, or a picture that is none."""
    if len(content) * 4 > limits.content_bytes and len(content.encode()) > limits.content_bytes:
        raise invalid_frame()
    if image_data is None:
        return
    if len(image_data) > _LONGEST_IMAGE or not image_data.startswith("data:image/"):
        raise invalid_frame()
