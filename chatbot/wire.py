"""The frames and REST bodies of PROTOCOL.md 2 and 3, typed once for client and server.

msgspec decodes and checks in one step: a value that is not of its field's type never becomes an
object. Field names follow Python; `rename` gives the wire's own spelling. Optional fields accept
null, because the backend sends both null and nothing at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any, Final, Literal, TypeAlias, TypeVar

import msgspec
from msgspec import UNSET, Meta, Raw, Struct, UnsetType, field

MAX_SAFE_INTEGER: Final = 2**53 - 1
"""The largest integer that a browser reads exactly."""

MAX_IMAGE_BYTES: Final = 5 * 1024 * 1024
"""The largest image that the backend takes (PROTOCOL.md 3)."""

IMAGE_PLACEHOLDER: Final = "📷 Image"
"""The content of a message whose picture travels in `imageData`."""

STATUS_BATCH: Final = 98
"""How many message ids fit in one status update: the database binds at most 100 values."""

AUTHENTICATED_SOCKETS_HEADER: Final = "X-Authenticated-Sockets"
"""Sent as `1` by a backend that checks the JWT of every socket."""

TOKEN_HEADER: Final = "X-Auth-Token"  # noqa: S105 - the name of a header
"""Carries the JWT on calls whose `Authorization` holds a bare user id."""

T = TypeVar("T")

Timestamp: TypeAlias = Annotated[int, Meta(ge=0, le=MAX_SAFE_INTEGER)]
"""Milliseconds since the epoch."""

Time: TypeAlias = int | str | None
"""The same in what only people look at; the database also writes digits, and ISO 8601."""

KeyId: TypeAlias = Annotated[int, Meta(ge=0, le=2**31 - 1)]
MessageStatus: TypeAlias = Literal["sent", "delivered", "read"]
MessageType: TypeAlias = Literal["text", "image"]
GroupRole: TypeAlias = Literal["owner", "admin", "member"]
Permission: TypeAlias = Literal["everyone", "admins_only"]


class Body(Struct, omit_defaults=True):
    """A REST body or frame payload whose names are the same on the wire."""


class CamelBody(Struct, omit_defaults=True, rename="camel"):
    """The same for those that the wire spells in camelCase."""


def _written(make: Callable[[], T]) -> T:
    """A default for reading that is written all the same: the real backend needs the field.

    msgspec leaves out what equals a plain default, or is one of its own empty containers.
    """
    default: T = field(default_factory=lambda: make())  # noqa: PLW0108 - `list` itself is known
    return default


# ---------------------------------------------------------------- REST: accounts


class Credentials(Body):
    """POST /api/auth/register and /api/auth/login."""

    username: str = ""
    password: str = ""
    avatar: str | None = None


class Account(Body, kw_only=True):
    """The answer to both; `token` is a JWT that lives 24 hours."""

    id: str
    username: str
    token: str
    avatar: str | None = None
    last_seen: Time = field(default=None, name="lastSeen")
    role: str = "user"
    is_active: bool | int = True
    can_send_images: bool | int = True
    created_at: Time = None


class UserEntry(CamelBody):
    """A row of GET /api/users."""

    id: str
    username: str
    avatar: str | None = None
    last_seen: Time = None


class AdminUser(Body):
    """A row of GET /api/admin/users."""

    id: str
    username: str
    avatar: str | None = None
    last_seen: Time = field(default=None, name="lastSeen")
    role: str = "user"
    is_active: bool | int = True
    can_send_images: bool | int = True
    created_at: Time = None


class ErrorBody(Body):
    """What every failed call but an unknown path answers."""

    error: str = ""


class Success(Body):
    """What a call answers that has nothing else to say."""

    success: bool = True


# ---------------------------------------------------------------- REST: keys


class SignedPrekeyBody(CamelBody):
    """A signed prekey: base64 of 32 and of 64 bytes."""

    key_id: KeyId
    public_key: str
    signature: str
    created_at: Time = None


class OneTimePrekeyBody(CamelBody):
    """A one-time prekey: base64 of 32 bytes."""

    key_id: KeyId
    public_key: str


class KeyUpload(CamelBody, omit_defaults=False):
    """POST /api/users/prekeys: overwrites the published identity, adds the prekeys."""

    identity_key: str
    signing_key: str
    fingerprint: str
    signed_prekey: SignedPrekeyBody | None
    one_time_prekeys: Annotated[list[OneTimePrekeyBody], Meta(max_length=200)]


class KeyUploadResult(CamelBody):
    """Its answer."""

    success: bool = True
    signed_prekey_uploaded: bool = False
    one_time_prekeys_uploaded: int = 0


class PrekeyStatus(CamelBody, omit_defaults=False):
    """GET /api/users/prekeys/status."""

    signed_prekey_key_id: KeyId | None = None
    signed_prekey_created_at: Time = None
    one_time_prekey_count: int = 0


class PrekeyBundleBody(CamelBody, omit_defaults=False):
    """GET /api/users/{id}/prekeys. Every call burns one one-time prekey."""

    identity_key: str
    signing_key: str
    fingerprint: str = ""
    signed_prekey: SignedPrekeyBody | None = None
    one_time_prekey: OneTimePrekeyBody | None = None


class VerifyKeyBody(CamelBody):
    """POST /api/verify-key."""

    verified_user_id: str
    verified_fingerprint: str
    verification_method: str | None = None


class Verification(CamelBody):
    """GET /api/verify-key/{id}."""

    verified: bool
    fingerprint: str | None = None
    verified_at: Time = None
    method: str | None = None


# ---------------------------------------------------------------- REST: messages


class HistoryRow(CamelBody, kw_only=True):
    """A row of GET /api/messages/{peer}."""

    id: str
    from_user: str
    to_user: str
    content: str = ""
    timestamp: Timestamp = 0
    status: str | None = None
    read_at: Time = None
    type: str | None = None
    image_data: str | None = None
    encrypted: bool | int | None = 0


class StoreMessageBody(CamelBody):
    """POST /api/messages: stores only, pushes nothing."""

    id: str
    from_user: str
    to_user: str
    content: str
    timestamp: Timestamp
    status: MessageStatus = _written(lambda: "sent")


class StatusBatchBody(CamelBody):
    """PUT /api/messages/status."""

    message_ids: list[str]
    status: MessageStatus


class StatusBatchResult(Body):
    """Its answer: how many messages changed."""

    success: bool = True
    updated: int = 0


# ---------------------------------------------------------------- REST: groups


class GroupSettings(CamelBody, omit_defaults=False):
    """A group's settings; an update replaces the whole object."""

    message_permission: Permission = "everyone"
    metadata_permission: Permission = "everyone"
    join_approval: bool = False
    max_members: int = 1024


class GroupCreate(CamelBody):
    """POST /api/groups."""

    name: str
    description: str | None = None
    avatar: str | None = None
    member_ids: list[str] = _written(list)
    settings: GroupSettings | None = None


class GroupUpdate(CamelBody):
    """PUT /api/groups/{id}: what is unset stays."""

    name: str | UnsetType = UNSET
    description: str | UnsetType | None = UNSET
    avatar: str | UnsetType | None = UNSET
    settings: GroupSettings | UnsetType = UNSET


class GroupRow(Body, kw_only=True):
    """A row of GET /api/groups, and the answer to create and get.

    Settings come as an object or as its JSON, and hold whatever an administrator put there.
    """

    id: str
    name: str
    description: str | None = None
    avatar: str | None = None
    owner_id: str = ""
    created_at: Time = None
    updated_at: Time = None
    role: str | None = None
    user_role: str | None = field(default=None, name="userRole")
    settings: Any = None


class GroupMember(Body, kw_only=True):
    """A row of GET /api/groups/{id}/members."""

    group_id: str
    user_id: str
    role: str = "member"
    joined_at: Time = None
    added_by: str | None = None
    username: str = ""
    avatar: str | None = None


class MembersAdd(CamelBody):
    """POST /api/groups/{id}/members."""

    user_ids: list[str]


class MembersAddResult(Body):
    """Its answer: the user ids that were added."""

    success: bool = True
    added: list[str] = []


class RoleBody(Body):
    """PUT .../role, of a member or (admin) of a user."""

    role: str


class InviteCreate(CamelBody):
    """POST /api/groups/{id}/invite; `expires_in` in ms."""

    expires_in: int | None = None
    max_uses: int | None = None


class Invite(Body):
    """Its answer. Revoking takes `id`, joining takes `link_code`."""

    id: str
    link_code: str
    expires_at: Time = None
    max_uses: int | None = None


class JoinBody(CamelBody):
    """POST /api/groups/join."""

    link_code: str


class GroupHistoryRow(Body, kw_only=True):
    """A row of GET /api/groups/{id}/messages."""

    id: str
    group_id: str
    from_user: str
    content: str = ""
    timestamp: Timestamp = 0
    type: str = "text"
    image_data: str | None = field(default=None, name="imageData")
    system_event: str | None = None
    metadata: Any = None
    from_username: str | None = None


class JoinResult(Body):
    """The answer to POST /api/groups/join."""

    group_id: str
    success: bool = True


class UserStatusBody(Body):
    """PUT /api/admin/users/{id}/status."""

    is_active: bool | int
    disabled_by: str | None = None


class UserPermissionsBody(Body):
    """PUT /api/admin/users/{id}/permissions."""

    can_send_images: bool | int


# ---------------------------------------------------------------- WebSocket


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
    message_type: MessageType = _written(lambda: "text")
    encrypted: bool = _written(bool)
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
    message_type: MessageType = _written(lambda: "text")
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
