"""What is said in groups, who reads it and who is typing (FR-GROUP-02). None of it is encrypted."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

from chatbot import wire
from chatbot.client import from_wire
from chatbot.client.exceptions import ValidationError
from chatbot.client.models import GroupEvent, Message
from chatbot.client.pictures import ImageSource, load_image

from .groups import GroupsApi

_RESERVED = frozenset({"groupId", "event"})


class GroupMessagesApi(GroupsApi):
    """Group messages."""

    async def send_group_message(self, group_id: str, content: str) -> Message:
        """Send a text to a group, in clear.

        Returns:
            The message: `sent` once the backend has broadcast it, `pending` where it has not said
            so in time.

        Raises:
            ValidationError: the text is empty or too long, or there is no such group.
            PermissionDeniedError: we are not in it, or only admins may write; nothing is kept.
            ConnectionError: nothing reached the backend; nothing is kept.
        """
        messenger = self._account.messenger
        message = messenger.compose.group_text(group_id, content)
        await self._look_for(group_id)
        return await messenger.groups.send(message, expires_at=self._expires_at(message))

    async def send_group_image(
        self, group_id: str, image_data: ImageSource, caption: str = ""
    ) -> Message:
        """Send a picture to a group, in clear; its caption follows as a message of its own.

        Args:
            group_id: where to.
            image_data: as `send_image` has it.
            caption: a text.

        Returns:
            The picture's message.

        Raises:
            ValidationError: it is no picture that can be sent, or the caption is too long.
            PermissionDeniedError: as `send_group_message`, or we may not send images.
            ConnectionError: nothing reached the backend; nothing is kept.
        """
        messenger = self._account.messenger
        image = await asyncio.to_thread(load_image, image_data, caption=caption)
        picture, *behind = messenger.compose.group_image(group_id, image)
        await self._look_for(group_id)
        sent = await messenger.groups.send(picture, expires_at=self._expires_at(picture))
        for message in behind:
            await messenger.groups.post(message, expires_at=self._expires_at(message))
        return sent

    async def _look_for(self, group_id: str) -> None:
        """Ask for a group that we have not met: the socket's errors say little.

        Raises:
            ValidationError: there is no such group.
            PermissionDeniedError: we are not in it.
        """
        if not await self._account.group_storage.has(group_id):
            await self.get_group(group_id)

    async def get_group_messages(
        self, group_id: str, limit: int = 50, before: int | None = None, *, sync: bool = False
    ) -> list[Message]:
        """The newest messages of a group, oldest first.

        Args:
            group_id: which.
            limit: how many at most.
            before: only messages older than this (ms).
            sync: ask the backend, which has all since we joined, also what was written before
                this storage was made or by our own browser. Ids of our own messages are its then.

        Raises:
            ValidationError: a negative limit.
            PermissionDeniedError: with `sync`, we are not in the group.
            ConnectionError: with `sync`, the backend cannot be reached.
        """
        if limit < 0:
            raise ValidationError("the limit cannot be negative")
        account = self._account
        if not sync:
            return await account.messenger.messages.history(group_id, limit=limit, before=before)
        rows = await self._rows(group_id, limit, before, events=False)
        return [from_wire.group_message(row, me=account.user.id) for row in rows]

    async def get_group_events(
        self, group_id: str, limit: int = 50, before: int | None = None
    ) -> list[GroupEvent]:
        """What happened to a group lately, oldest first, from the backend's history.

        Raises:
            ValidationError: a negative limit.
            PermissionDeniedError: we are not in the group.
        """
        if limit < 0:
            raise ValidationError("the limit cannot be negative")
        rows = await self._rows(group_id, limit, before, events=True)
        return [from_wire.group_event(row) for row in rows]

    async def _rows(
        self, group_id: str, limit: int, before: int | None, *, events: bool
    ) -> list[wire.GroupHistoryRow]:
        """The newest rows of one kind, oldest first, from as many pages as that takes."""
        found: list[wire.GroupHistoryRow] = []
        pages = self._account.rest.iter_group_pages(group_id, before=before)
        async with aclosing(pages):
            async for page in pages:
                found = [row for row in page if bool(row.system_event) is events] + found
                if len(found) >= limit:
                    break
        return found[len(found) - limit :] if len(found) > limit else found

    async def send_group_typing(self, group_id: str, typing: bool = True) -> None:
        """Tell a group that we are typing, or have stopped; after 5 s it stops by itself.

        Raises:
            ConnectionError: not connected.
        """
        self._account.messenger.typing("", typing=typing, group_id=_checked(group_id))

    async def mark_group_as_read(self, group_id: str, message_id: str) -> None:
        """Tell a group that we have read a message, and with it all before it.

        Raises:
            ValidationError: no such message of that group is stored here.
            ConnectionError: not connected: it is marked here, and nobody was told.
        """
        account = self._account
        mark = account.conversation_storage.mark_group_read(group_id, message_id)
        if not await account.database.write(mark):
            raise ValidationError(f"group {group_id} has no message {message_id!r} here")
        frame = wire.GroupReadFrame(group_id=group_id, message_id=message_id)
        await account.socket.send("group_read", frame)

    async def send_group_event(self, group_id: str, event: str, **details: Any) -> None:
        """Send an event to everybody in a group, us included; nothing of it is stored.

        Args:
            group_id: where to.
            event: what it is called.
            details: whatever JSON can hold.

        Raises:
            ValidationError: no name, a detail that is no JSON, or one named as the frame's fields.
            ConnectionError: not connected.
        """
        if not event or _RESERVED & details.keys():
            raise ValidationError("an event needs a name, and no details named groupId or event")
        payload = {"groupId": _checked(group_id), "event": event, **details}
        try:
            await self._account.socket.send("group_event", payload)
        except (TypeError, ValueError, OverflowError) as error:
            raise ValidationError(f"a detail cannot be sent as JSON: {error}") from error


def _checked(group_id: str) -> str:
    if not group_id:
        raise ValidationError("a group's id is needed")
    return group_id
