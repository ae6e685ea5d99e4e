"""What the backend answers, as what the client hands out."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import cast, get_args

import msgspec

from chatbot import wire
from chatbot.client.exceptions import BackendError
from chatbot.client.messaging.content import shown_image
from chatbot.client.models import (
    Group,
    GroupEvent,
    GroupMember,
    GroupRole,
    GroupSettings,
    Invite,
    ManagedAccount,
    Message,
    User,
)


def timestamp(value: wire.Time) -> int | None:
    """A time as ms since the epoch; the backend also writes digits, and ISO 8601 in UTC."""
    if value is None or isinstance(value, int):
        return value
    if value.isdecimal():
        return int(value[:16])
    try:
        when = datetime.fromisoformat(value)
    except ValueError:
        return None
    return round((when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() * 1000)


def user(row: wire.UserEntry) -> User:
    """Somebody in the list of all."""
    return User(
        id=row.id,
        username=row.username,
        avatar=row.avatar,
        last_seen=timestamp(row.last_seen),
    )


def group(row: wire.GroupRow) -> Group:
    """A group; settings that cannot be understood count as the defaults."""
    try:
        settings = group_settings(row)
    except BackendError:
        settings = GroupSettings()
    return Group(
        id=row.id,
        name=row.name,
        description=row.description,
        avatar=row.avatar,
        owner_id=row.owner_id,
        role=group_role(row.user_role or row.role),
        settings=settings,
        created_at=timestamp(row.created_at),
    )


def group_settings(row: wire.GroupRow) -> GroupSettings:
    """A group's settings; raises like `settings_body`."""
    settings = settings_body(row)
    return GroupSettings(
        message_permission=settings.message_permission,
        metadata_permission=settings.metadata_permission,
        join_approval=settings.join_approval,
        max_members=settings.max_members,
    )


def settings_body(row: wire.GroupRow) -> wire.GroupSettings:
    """A group's settings as they go back to the backend, which replaces them as a whole.

    Raises:
        BackendError: they cannot be understood.
    """
    settings = row.settings
    try:
        if isinstance(settings, str):
            settings = msgspec.json.decode(settings or "null")
        return msgspec.convert(settings or {}, wire.GroupSettings)
    except (msgspec.MsgspecError, RecursionError) as error:
        raise BackendError(f"the settings of group {row.id} cannot be understood") from error


def group_role(role: str | None) -> GroupRole:
    """A role; one that we do not know has no rights."""
    return cast("GroupRole", role) if role in get_args(GroupRole) else "member"


def group_member(row: wire.GroupMember) -> GroupMember:
    """Somebody in a group."""
    return GroupMember(
        group_id=row.group_id,
        user_id=row.user_id,
        username=row.username or row.user_id,
        role=group_role(row.role),
        joined_at=timestamp(row.joined_at),
        added_by=row.added_by,
        avatar=row.avatar,
    )


def group_message(row: wire.GroupHistoryRow, *, me: str) -> Message:
    """A message from a group's history."""
    image = shown_image(row.image_data, row.content)
    return Message(
        id=row.id,
        from_user=row.from_user,
        to_user="",
        content=row.content,
        timestamp=row.timestamp,
        status="sent" if row.from_user == me else "delivered",
        is_encrypted=False,
        type="text" if image is None else "image",
        image=image,
        group_id=row.group_id,
        from_username=row.from_username,
    )


def group_event(row: wire.GroupHistoryRow) -> GroupEvent:
    """What a group's history tells of the group itself."""
    return GroupEvent(
        id=row.id,
        group_id=row.group_id,
        event=row.system_event or "",
        user_id=row.from_user,
        text=row.content,
        metadata=_metadata(row.metadata),
        timestamp=row.timestamp,
    )


def _metadata(value: object) -> object:
    """What came with an event; a text that is JSON counts as what it says."""
    if not isinstance(value, str):
        return value
    try:
        return msgspec.json.decode(value)
    except (msgspec.DecodeError, RecursionError):
        return value


def invite(body: wire.Invite, group_id: str) -> Invite:
    """A link into a group."""
    return Invite(
        id=body.id,
        group_id=group_id,
        code=body.link_code,
        expires_at=timestamp(body.expires_at),
        max_uses=body.max_uses,
    )


def managed_account(row: wire.AdminUser) -> ManagedAccount:
    """An account as an administrator sees it."""
    return ManagedAccount(
        id=row.id,
        username=row.username,
        role=row.role,
        is_active=bool(row.is_active),
        can_send_images=bool(row.can_send_images),
        avatar=row.avatar,
        last_seen=timestamp(row.last_seen),
        created_at=timestamp(row.created_at),
    )
