"""The frames of the WebSocket, both ways (PROTOCOL.md 3)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
from msgspec import Raw, Struct, field

from chatbot.wire.values import Body, CamelBody, MessageType, Time, Timestamp, written


class Frame(Struct):
    """Every frame, both ways. The payload is decoded by its type, and only when it is wanted."""

    type: str
    payload: Raw


class AuthFrame(CamelBody):
    """-> auth."""

    user_id: str
    username: str


class SendFrame(CamelBody, kw_only=True):
    """-> message. Without `message_id` the server makes one."""

    to: str
    content: str
    message_type: MessageType = written(lambda: "text")
    encrypted: bool = written(bool)
    message_id: str | None = None
    image_data: str | None = None


class MessageFrame(CamelBody, kw_only=True):
    """<- message, and its echo to the sender."""

    id: str
    from_: str = field(name="from")
    to: str
    content: str = ""
    timestamp: Timestamp = 0
    status: str = "sent"
    type: str = "text"
    encrypted: bool | int | None = False
    image_data: str | None = None


class TypingFrame(CamelBody, kw_only=True):
    """<-> typing: `to` on the way in, `from` and `username` on the way out."""

    typing: bool
    to: str | None = None
    from_: str | None = field(default=None, name="from")
    username: str | None = None


class StatusFrame(CamelBody, kw_only=True):
    """<-> status. Sent to oneself it is a liveness probe."""

    message_id: str
    status: str
    to: str | None = None


class ReadFrame(CamelBody, kw_only=True):
    """<-> read: `to` on the way in, `read_by` on the way out."""

    message_ids: list[str]
    to: str | None = None
    read_by: str | None = None


class OnlineFrame(CamelBody, kw_only=True):
    """<- online, on a change; the answer to `auth` has `users` instead."""

    user_id: str | None = None
    username: str | None = None
    online: bool | None = None
    users: list[OnlineUser] | None = None


class OnlineUser(CamelBody):
    """An entry of the list that answers `auth`."""

    user_id: str
    username: str | None = None
    online: bool = True


class GroupSendFrame(CamelBody, kw_only=True):
    """-> group_message. `message_id` is an extra of the embedded backend."""

    group_id: str
    content: str
    message_type: MessageType = written(lambda: "text")
    image_data: str | None = None
    message_id: str | None = None


class GroupMessageFrame(Body, kw_only=True):
    """<- group_message, to every online member and the sender."""

    id: str
    group_id: str
    from_user: str
    content: str = ""
    timestamp: Timestamp = 0
    type: str = "text"
    image_data: str | None = field(default=None, name="imageData")
    from_username: str | None = None


class GroupReadFrame(CamelBody, kw_only=True):
    """<-> group_read."""

    group_id: str
    message_id: str
    user_id: str | None = None
    read_at: Time = None


class GroupTypingFrame(CamelBody, kw_only=True):
    """<-> group_typing."""

    group_id: str
    typing: bool
    user_id: str | None = None
    username: str | None = None


class ErrorFrame(Body):
    """<- error, with nothing to tell which frame it was."""

    message: str = ""


_encoder: Final = msgspec.json.Encoder()
_frame_decoder: Final = msgspec.json.Decoder(Frame)


def encode_frame(kind: str, payload: Struct | dict[str, Any]) -> bytes:
    """Encode one frame as JSON text (UTF-8)."""
    return _encoder.encode({"type": kind, "payload": payload})


def decode_frame(data: str | bytes | bytearray | memoryview) -> Frame:
    """Decode a frame's outer shape, leaving the payload as raw JSON.

    Raises:
        msgspec.DecodeError: not JSON, or not `{"type": str, "payload": ...}`.
        RecursionError: nested too deep.
    """
    return _frame_decoder.decode(data)
