"""Groups as a whole: making, finding and changing them (SRS 5.5)."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, NoReturn

from msgspec import UNSET

from chatbot import wire
from chatbot.client import from_wire
from chatbot.client.exceptions import (
    BackendError,
    HalfMadeGroupError,
    NotSupportedByBackendError,
    ValidationError,
    WhatsAppClientError,
)
from chatbot.client.models import Group, GroupSettings, Permission

from .base import Api


class GroupsApi(Api):
    """Groups. What is said in them is not end-to-end encrypted.

    What the backend does not allow is a `PermissionDeniedError` in its own words.
    """

    async def create_group(
        self,
        name: str,
        description: str | None = None,
        member_ids: Iterable[str] = (),
        *,
        avatar: str | None = None,
        settings: GroupSettings | None = None,
    ) -> Group:
        """Make a group that we own.

        Args:
            name: as people will see it.
            description: what it is for.
            member_ids: who is in it besides us: user ids, or exact usernames.
            avatar: a URL.
            settings: what it allows; by default everything to everyone.

        Raises:
            ValidationError: no name, or a member that does not exist; nothing was made.
            HalfMadeGroupError: the backend failed in the middle; the error says what is there.
        """
        if not name.strip():
            raise ValidationError("a group needs a name")
        account = self._account
        members = [i for i in await self._user_ids(member_ids) if i != account.user.id]
        body = wire.GroupCreate(
            name=name,
            description=description,
            avatar=avatar,
            member_ids=members,
            settings=None if settings is None else _body(settings),
        )
        known = {group.id for group in await account.group_storage.all()}
        try:
            row = await account.rest.create_group(body)
        except BackendError as error:
            await self._look_for_half(name, members, known, error)
            raise
        group = replace(from_wire.group(row), role="owner", description=description, avatar=avatar)
        await account.database.write(account.group_storage.save(group, account.messenger.now()))
        return group

    async def _look_for_half(
        self, name: str, members: list[str], known: set[str], error: BackendError
    ) -> None:
        """The backend does not undo what it has done before it failed: see what is there.

        Raises:
            HalfMadeGroupError: the group is there.
        """
        account = self._account
        try:
            rows = await account.rest.groups()
            made = [
                row.id
                for row in rows
                if row.id not in known and row.owner_id == account.user.id and row.name == name
            ]
            if not made:
                return
            inside = {member.user_id for member in await account.rest.group_members(made[0])}
        except WhatsAppClientError as unknown:
            raise BackendError(
                f"{error}; whether the group was made cannot be seen now ({unknown}): look at"
                " list_groups() before trying again",
                status=error.status,
            ) from error
        missing = [member for member in members if member not in inside]
        raise HalfMadeGroupError(
            f"the backend failed while it made the group {name!r}, which exists all the same, as"
            f" {made[0]}; not in it are: {', '.join(missing) or 'nobody'}. What to do: add them"
            " with add_group_members(), and do not make the group again",
            group_id=made[0],
            missing=missing,
            status=error.status,
        ) from error

    async def list_groups(self) -> list[Group]:
        """The groups that we are in, as the backend says now; `known_groups` needs no backend."""
        account = self._account
        groups = [from_wire.group(row) for row in await account.rest.groups()]
        await account.database.write(
            account.group_storage.save_all(groups, account.messenger.now())
        )
        return groups

    async def known_groups(self) -> list[Group]:
        """The groups that we were in when the backend was last asked, from the local storage."""
        return await self._account.group_storage.all()

    async def get_group(self, group_id: str) -> Group:
        """One group that we are in, as the backend says now.

        Raises:
            PermissionDeniedError: we are not in it.
            ValidationError: there is no such group.
        """
        account = self._account
        group = from_wire.group(await account.rest.group(group_id))
        await account.database.write(account.group_storage.save(group, account.messenger.now()))
        return group

    async def update_group(
        self,
        group_id: str,
        *,
        name: str | None = None,
        description: str | None = None,
        avatar: str | None = None,
        message_permission: Permission | None = None,
        metadata_permission: Permission | None = None,
        join_approval: bool | None = None,
        max_members: int | None = None,
    ) -> Group:
        """Change what is given, and nothing else; returns the group as it is then.

        The backend replaces settings as a whole, so those not given are read first and sent along.

        Raises:
            ValidationError: nothing is given, or something that cannot be.
            PermissionDeniedError: we may not change it.
        """
        given = {
            "message_permission": message_permission,
            "metadata_permission": metadata_permission,
            "join_approval": join_approval,
            "max_members": max_members,
        }
        changed: dict[str, Any] = {key: v for key, v in given.items() if v is not None}
        if not changed and name is description is avatar is None:
            raise ValidationError("nothing to change is given")
        if name is not None and not name.strip():
            raise ValidationError("a group needs a name")
        rest = self._account.rest
        settings = None
        if changed:
            present = from_wire.group_settings(await rest.group(group_id))
            settings = _body(replace(present, **changed))
        await rest.update_group(
            group_id,
            wire.GroupUpdate(
                name=UNSET if name is None else name,
                description=UNSET if description is None else description,
                avatar=UNSET if avatar is None else avatar,
                settings=UNSET if settings is None else settings,
            ),
        )
        return await self.get_group(group_id)

    async def delete_group(self, group_id: str) -> NoReturn:
        """Not possible.

        Raises:
            NotSupportedByBackendError: always; the error says what can be done instead.
        """
        raise NotSupportedByBackendError(
            f"the backend cannot delete a group. What to do instead: remove the members of"
            f" {group_id}, or close it with update_group(message_permission='admins_only')"
        )


def _body(settings: GroupSettings) -> wire.GroupSettings:
    return wire.GroupSettings(
        message_permission=settings.message_permission,
        metadata_permission=settings.metadata_permission,
        join_approval=settings.join_approval,
        max_members=settings.max_members,
    )
