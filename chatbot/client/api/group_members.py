"""Who is in a group, in which role, and the links that lead into it (FR-GROUP-03)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NoReturn
from urllib.parse import parse_qs, urlsplit

from chatbot.client import from_wire
from chatbot.client.exceptions import NotSupportedByBackendError, ValidationError
from chatbot.client.models import Group, GroupMember, GroupRole, Invite

from .groups import GroupsApi

_CODE_PARAMETERS: Final = ("code", "invite", "link", "linkCode")


class GroupMembersApi(GroupsApi):
    """Members and invites."""

    async def get_group_members(self, group_id: str) -> list[GroupMember]:
        """Everybody in a group, as the backend says now.

        Raises:
            PermissionDeniedError: we are not in it.
        """
        rows = await self._account.rest.group_members(group_id)
        return [from_wire.group_member(row) for row in rows]

    async def add_group_member(self, group_id: str, user_id: str) -> bool:
        """Take somebody in; returns False where they are in it already.

        Raises:
            ValidationError: there is no such user, or the group is full.
            PermissionDeniedError: we are no admin of the group.
        """
        return bool(await self.add_group_members(group_id, [user_id]))

    async def add_group_members(self, group_id: str, user_ids: Iterable[str]) -> list[str]:
        """Take several in; returns the ids of those who were not in it before.

        Raises:
            ValidationError: one of the users does not exist (then none is added), none is given,
                or the group is full.
            PermissionDeniedError: we are no admin of the group.
        """
        users = await self._user_ids(user_ids)
        if not users:
            raise ValidationError("no users to add are given")
        return await self._account.rest.add_group_members(group_id, users)

    async def remove_group_member(self, group_id: str, user_id: str) -> None:
        """Put somebody out.

        Raises:
            ValidationError: they are not in it, or are its owner.
            PermissionDeniedError: we may not.
        """
        await self._account.rest.remove_group_member(group_id, await self._user_id(user_id))

    async def set_group_role(self, group_id: str, user_id: str, role: GroupRole) -> None:
        """Make a member `admin`, or plain `member` again; only the owner can.

        Raises:
            ValidationError: they are not in it, are its owner, or the role is another.
            PermissionDeniedError: we are not its owner.
        """
        if role not in {"admin", "member"}:
            raise ValidationError(f"a member's role can be 'admin' or 'member', not {role!r}")
        await self._account.rest.set_group_role(group_id, await self._user_id(user_id), role)

    async def leave_group(self, group_id: str) -> None:
        """Leave a group.

        Raises:
            ValidationError: we own it, and the backend lets no owner go.
        """
        account = self._account
        await account.rest.leave_group(group_id)
        await account.database.write(account.group_storage.forget(group_id))

    # ------------------------------------------------------------ invites

    async def create_group_invite(
        self, group_id: str, *, expires_in: int | None = None, max_uses: int | None = None
    ) -> Invite:
        """Make a link into a group. The backend lists no links: keep what this returns.

        Args:
            group_id: where it leads.
            expires_in: ms; None for never.
            max_uses: how many may join by it; None for any number.

        Raises:
            ValidationError: a number that is not positive.
            PermissionDeniedError: we are no admin of the group.
        """
        if (expires_in is not None and expires_in < 1) or (max_uses is not None and max_uses < 1):
            raise ValidationError("an invite's life (ms) and number of uses must be positive")
        body = await self._account.rest.create_invite(
            group_id, expires_in=expires_in, max_uses=max_uses
        )
        return from_wire.invite(body, group_id)

    async def revoke_group_invite(self, group_id: str, invite: Invite | str) -> None:
        """Make a link worthless.

        Args:
            group_id: where it leads.
            invite: what `create_group_invite` returned, or its id (not its code).

        Raises:
            ValidationError: there is no such link.
            PermissionDeniedError: we are no admin of the group.
        """
        link_id = invite.id if isinstance(invite, Invite) else invite
        await self._account.rest.revoke_invite(group_id, link_id)

    async def list_group_invites(self, group_id: str) -> NoReturn:
        """Not possible.

        Raises:
            NotSupportedByBackendError: always; the error says what can be done instead.
        """
        raise NotSupportedByBackendError(
            f"the backend lists no invites of {group_id}. What to do instead: keep what"
            " create_group_invite() returns"
        )

    async def join_group(self, invite: Invite | str) -> Group:
        """Join a group by an invite, its code, or a link that holds the code.

        Raises:
            ValidationError: the link is no link, unknown, expired or used up; or we are in it.
        """
        code = invite.code if isinstance(invite, Invite) else link_code(invite)
        return await self.get_group(await self._account.rest.join_group(code))


def link_code(text: str) -> str:
    """The code in an invite link, or the text itself where it is no link.

    Raises:
        ValidationError: there is no code in it.
    """
    try:
        url = urlsplit(text.strip())
    except ValueError:
        raise ValidationError("this is no invite link") from None
    parameters = parse_qs(url.query)
    given = [parameters[name][0] for name in _CODE_PARAMETERS if name in parameters]
    path = url.fragment or url.path
    code = given[0] if given else path.rstrip("/").rpartition("/")[2]
    if not code:
        raise ValidationError("there is no code in this invite link")
    return code
