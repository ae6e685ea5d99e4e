"""The bodies of REST calls and of their answers (PROTOCOL.md 2)."""

from __future__ import annotations

from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType, field

from chatbot.wire.values import (
    Body,
    CamelBody,
    KeyId,
    MessageStatus,
    Permission,
    Time,
    Timestamp,
    written,
)

# ---------------------------------------------------------------- accounts


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


# ---------------------------------------------------------------- keys


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


# ---------------------------------------------------------------- messages


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
    status: MessageStatus = written(lambda: "sent")


class StatusBatchBody(CamelBody):
    """PUT /api/messages/status."""

    message_ids: list[str]
    status: MessageStatus


class StatusBatchResult(Body):
    """Its answer: how many messages changed."""

    success: bool = True
    updated: int = 0


# ---------------------------------------------------------------- groups


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
    member_ids: list[str] = written(list)
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
    added: list[str] = field(default_factory=list)


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
