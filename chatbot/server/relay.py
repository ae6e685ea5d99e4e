"""Frames in, frames out (PROTOCOL.md 3).

A frame that leaves something on the disk has its effects after the commit only: what anybody was
told of survives a crash. The reader does not wait for that, so one socket's frames share commits.
"""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Generic, TypeAlias, TypeVar

import msgspec
from msgspec import Raw, Struct

from chatbot.server.errors import Refused, invalid_frame, unauthorized
from chatbot.server.group_records import GroupMessage, Posted, readers_of
from chatbot.server.messages import (
    Message,
    Messages,
    advance_status,
    check_content,
    check_id,
)
from chatbot.server.presence import Presence
from chatbot.server.resources import Resources
from chatbot.server.sockets import Connection
from chatbot.server.users import User, disabled_sender, find_user
from chatbot.wire import (
    AuthFrame,
    GroupReadFrame,
    GroupSendFrame,
    GroupTypingFrame,
    ReadFrame,
    SendFrame,
    StatusFrame,
    TypingFrame,
    decode_frame,
    encode_frame,
)

_LARGEST_EVENT: Final = 64 * 1024
_MOST_READ_IDS: Final = 10_000
_LONGEST_STATUS: Final = 32

FrameT = TypeVar("FrameT", bound=Struct)


class _GroupEvent(Struct, rename="camel"):
    """The one field of a `group_event` that is looked at; the payload goes on as it came."""

    group_id: str


@dataclass(frozen=True, slots=True)
class _Kind(Generic[FrameT]):
    """How frames of one type are served."""

    decoder: msgspec.json.Decoder[FrameT]
    serve: Callable[[Connection, User, FrameT, Raw], None]

    def handle(self, connection: Connection, user: User, payload: Raw) -> None:
        self.serve(connection, user, self.decoder.decode(payload), payload)


_Kinds: TypeAlias = dict[str, _Kind[Any]]


class Relay:
    """Serves the frames of all sockets."""

    def __init__(self, resources: Resources, presence: Presence, messages: Messages) -> None:
        self._database = resources.database
        self._limits = resources.limits
        self._clock = resources.clock
        self._presence = presence
        self._messages = messages
        self._kinds: _Kinds = {
            "auth": _kind(AuthFrame, self._second_auth),
            "message": _kind(SendFrame, self._message),
            "typing": _kind(TypingFrame, self._typing),
            "status": _kind(StatusFrame, self._status),
            "read": _kind(ReadFrame, self._read),
            "group_message": _kind(GroupSendFrame, self._group_message),
            "group_read": _kind(GroupReadFrame, self._group_read),
            "group_typing": _kind(GroupTypingFrame, self._group_typing),
            "group_event": _kind(_GroupEvent, self._group_event),
        }

    async def authenticate(self, data: str, proven: str | None) -> User | None:
        """Return who an `auth` frame says it is; None for any other frame, which is ignored.

        Args:
            data: the frame.
            proven: the user id of the handshake's token, or None where browsers are let in.

        Raises:
            Refused: it is somebody unknown, disabled, or not the bearer of the token.
            msgspec.MsgspecError: it is no frame.
        """
        frame = decode_frame(data)
        if frame.type != "auth":
            return None
        claimed = msgspec.json.decode(frame.payload, type=AuthFrame).user_id
        if proven is not None and claimed != proven:
            raise Refused(401, unauthorized().text, closes=True)
        user = await self._database.read(partial(find_user, user_id=claimed))
        if user is None:
            raise Refused(401, "User not found", closes=True)
        if not user.is_active:
            raise disabled_sender()
        return user

    def serve(self, connection: Connection, user: User, data: str) -> None:
        """Serve one frame of a user who has said who they are; unknown types are ignored.

        Raises:
            Refused: it is not served; the client is told why.
            msgspec.MsgspecError: it is no frame.
            RecursionError: it is nested too deep.
        """
        frame = decode_frame(data)
        kind = self._kinds.get(frame.type)
        if kind is not None:
            kind.handle(connection, user, frame.payload)

    # ------------------------------------------------------------ 1:1

    def _second_auth(self, _socket: Connection, _user: User, _frame: AuthFrame, _: Raw) -> None:
        raise Refused(400, "Already authenticated", closes=True)

    def _message(self, sender: Connection, user: User, frame: SendFrame, raw: Raw) -> None:
        online = self._presence.get(frame.to) is not None
        message = self._messages.compose(user, frame, online=online)
        stored = self._database.submit(message.store)
        sender.after(stored, len(raw), lambda _none: self.deliver(sender, message))

    def deliver(self, sender: Connection, message: Message) -> None:
        """Forward a stored message and echo it to its sender with what became of it."""
        forwarded = self._presence.send(
            message.to_user, encode_frame("message", message.payload("sent"))
        )
        status = "delivered" if forwarded else "sent"
        sender.send(encode_frame("message", message.payload(status)))
        if status != message.status:
            # They came or went while it was being written.
            self._database.note(partial(message.correct_status, status=status))

    def _typing(self, sender: Connection, user: User, frame: TypingFrame, _: Raw) -> None:
        payload = {"from": user.id, "username": user.username, "typing": frame.typing}
        self._forward(sender, frame.to, "typing", payload)

    def _status(self, sender: Connection, _user: User, frame: StatusFrame, _: Raw) -> None:
        check_id(frame.message_id)
        if len(frame.status) > _LONGEST_STATUS:
            raise invalid_frame()
        payload = {"messageId": frame.message_id, "status": frame.status}
        self._forward(sender, frame.to, "status", payload)

    def _read(self, reader: Connection, user: User, frame: ReadFrame, raw: Raw) -> None:
        if frame.to is None or len(frame.message_ids) > _MOST_READ_IDS:
            raise invalid_frame()
        stored = self._database.submit(
            partial(
                advance_status,
                ids=frame.message_ids,
                status="read",
                now=self._clock(),
                reader=user.id,
                sender=frame.to,
            )
        )
        answer = encode_frame("read", {"messageIds": frame.message_ids, "readBy": user.id})
        author = frame.to
        reader.after(stored, len(raw), lambda _count: self._presence.send(author, answer))

    def _forward(
        self, sender: Connection, to: str | None, kind: str, payload: dict[str, Any]
    ) -> None:
        if to is None:
            raise invalid_frame()
        frame = encode_frame(kind, payload)
        sender.then(partial(self._presence.send, to, frame))

    # ------------------------------------------------------------ groups

    def _group_message(
        self, sender: Connection, user: User, frame: GroupSendFrame, raw: Raw
    ) -> None:
        check_content(frame.content, frame.image_data, self._limits)
        check_id(frame.message_id)
        message = GroupMessage(
            id=frame.message_id or str(uuid.uuid4()),
            group_id=frame.group_id,
            sender_id=user.id,
            content=frame.content,
            type=frame.message_type,
            image_data=frame.image_data,
            now=self._clock(),
        )
        sender.after(self._database.submit(message.store), len(raw), self._post)

    def _post(self, posted: Posted) -> None:
        self._presence.send_all(posted.readers, encode_frame("group_message", posted.payload))

    def _group_read(self, reader: Connection, user: User, frame: GroupReadFrame, _: Raw) -> None:
        check_id(frame.message_id)
        payload = {
            "messageId": frame.message_id,
            "groupId": frame.group_id,
            "userId": user.id,
            "readAt": self._clock(),
        }
        self._tell_members(reader, user, frame.group_id, encode_frame("group_read", payload))

    def _group_typing(
        self, sender: Connection, user: User, frame: GroupTypingFrame, _: Raw
    ) -> None:
        payload = {
            "groupId": frame.group_id,
            "userId": user.id,
            "username": user.username,
            "typing": frame.typing,
        }
        self._tell_members(sender, user, frame.group_id, encode_frame("group_typing", payload))

    def _group_event(self, sender: Connection, user: User, frame: _GroupEvent, raw: Raw) -> None:
        if len(raw) > _LARGEST_EVENT:
            raise invalid_frame()
        event = msgspec.json.encode({"type": "group_event", "payload": raw})
        self._tell_members(sender, user, frame.group_id, event, include_sender=True)

    def _tell_members(
        self,
        sender: Connection,
        user: User,
        group_id: str,
        frame: bytes,
        *,
        include_sender: bool = False,
    ) -> None:
        readers: asyncio.Future[list[str]] = self._database.submit(
            partial(readers_of, group_id=group_id, user_id=user.id)
        )

        def tell(members: list[str]) -> None:
            self._presence.send_all(
                (member for member in members if include_sender or member != user.id), frame
            )

        sender.after(readers, len(frame), tell)


def _kind(
    frame: type[FrameT], serve: Callable[[Connection, User, FrameT, Raw], None]
) -> _Kind[FrameT]:
    return _Kind(msgspec.json.Decoder(frame), serve)
