"""The links that lead into a group (PROTOCOL.md 2)."""

from __future__ import annotations

import secrets
import sqlite3
import uuid
from functools import partial
from typing import Final

from aiohttp import web

from chatbot.server.authentication import Guard
from chatbot.server.errors import Refused
from chatbot.server.group_records import require_admin, require_group
from chatbot.server.http import SUCCESS, Row, json_response
from chatbot.server.members import Members, is_member
from chatbot.server.resources import Resources
from chatbot.server.users import User
from chatbot.wire import MAX_SAFE_INTEGER, InviteCreate, JoinBody

_CODE_BYTES: Final = 16
_MOST_USES: Final = 2**31 - 1
_LONGEST_LIFE_MS: Final = MAX_SAFE_INTEGER // 2


class Invites:
    """The calls about links.

    Args:
        members: lets in who holds one.
    """

    def __init__(self, resources: Resources, members: Members) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._limits = resources.limits
        self._clock = resources.clock
        self._members = members

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        return [
            web.post("/api/groups/join", guard.user(self._join)),
            web.post("/api/groups/{id}/invite", guard.user(self._create)),
            web.delete("/api/groups/{id}/invite/{link}", guard.user(self._revoke)),
        ]

    async def _create(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, InviteCreate)
        if body.expires_in is not None and not 1 <= body.expires_in <= _LONGEST_LIFE_MS:
            raise Refused(400, "expiresIn must be a positive number of milliseconds")
        if body.max_uses is not None and not 1 <= body.max_uses <= _MOST_USES:
            raise Refused(400, "maxUses must be positive")
        unit = partial(self._insert, request.match_info["id"], user, body)
        return json_response(await self._database.write(unit), 201)

    def _insert(
        self, group_id: str, user: User, body: InviteCreate, connection: sqlite3.Connection
    ) -> Row:
        require_admin(connection, group_id, user.id, "Only admins can create invite links")
        now = self._clock()
        self._make_room(connection, group_id, now)
        invite: Row = {
            "id": str(uuid.uuid4()),
            "link_code": secrets.token_urlsafe(_CODE_BYTES),
            "expires_at": None if body.expires_in is None else now + body.expires_in,
            "max_uses": body.max_uses,
        }
        connection.execute(
            "INSERT INTO group_invites"
            " (id, link_code, expires_at, max_uses, group_id, created_by, created_at)"
            " VALUES (?, ?, ?, ?, ?, ?, ?)",
            (*invite.values(), group_id, user.id, now),
        )
        return invite

    def _make_room(self, connection: sqlite3.Connection, group_id: str, now: int) -> None:
        def count() -> int:
            row = connection.execute(
                "SELECT count(*) FROM group_invites WHERE group_id = ?", (group_id,)
            ).fetchone()
            return int(row[0])

        if count() < self._limits.group_invites:
            return
        connection.execute(
            "DELETE FROM group_invites WHERE group_id = ?"
            " AND (expires_at <= ? OR uses >= max_uses)",
            (group_id, now),
        )
        if count() >= self._limits.group_invites:
            raise Refused(400, "This group has too many invite links. Revoke some first")

    async def _join(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, JoinBody)
        group_id = await self._database.write(partial(self._enter, body.link_code, user))
        return json_response({"success": True, "group_id": group_id})

    def _enter(self, link_code: str, user: User, connection: sqlite3.Connection) -> str:
        link = connection.execute(
            "SELECT id, group_id, created_by, expires_at, max_uses, uses FROM group_invites"
            " WHERE link_code = ?",
            (link_code,),
        ).fetchone()
        if link is None:
            raise Refused(404, "Invalid invite link")
        if link["expires_at"] is not None and link["expires_at"] <= self._clock():
            raise Refused(400, "Invite link has expired")
        if link["max_uses"] is not None and link["uses"] >= link["max_uses"]:
            raise Refused(400, "Invite link has been used up")
        group_id = str(link["group_id"])
        if is_member(connection, group_id, user.id):
            raise Refused(400, "You are already a member of this group")
        self._members.enter(
            connection, group_id, require_group(connection, group_id), user, by=user
        )
        connection.execute("UPDATE group_invites SET uses = uses + 1 WHERE id = ?", (link["id"],))
        return group_id

    async def _revoke(self, request: web.Request, user: User) -> web.StreamResponse:
        group_id, link_id = request.match_info["id"], request.match_info["link"]

        def unit(connection: sqlite3.Connection) -> None:
            require_admin(connection, group_id, user.id, "Only admins can revoke invite links")
            deleted = connection.execute(
                "DELETE FROM group_invites WHERE id = ? AND group_id = ?", (link_id, group_id)
            ).rowcount
            if not deleted:
                raise Refused(404, "Invite link not found")

        await self._database.write(unit)
        return json_response(SUCCESS)
