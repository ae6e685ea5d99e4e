"""Who is in a group, in which role, and the links that lead into it (PROTOCOL.md 2)."""

from __future__ import annotations

import sqlite3
from functools import partial
from typing import Final

from aiohttp import web

from chatbot.server.authentication import Guard
from chatbot.server.errors import Refused
from chatbot.server.group_records import (
    ADMINS,
    add_event,
    add_member,
    next_timestamp,
    require_admin,
    require_membership,
)
from chatbot.server.http import SUCCESS, Row, json_response
from chatbot.server.resources import Resources
from chatbot.server.users import User, require_user
from chatbot.wire import GroupSettings, MembersAdd, RoleBody

_ROLES: Final = frozenset({"admin", "member"})


class Members:
    """The calls about the members of a group."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._limits = resources.limits
        self._clock = resources.clock

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        members = "/api/groups/{id}/members"
        return [
            web.get(members, guard.user(self._list), allow_head=False),
            web.post(members, guard.user(self._add)),
            web.delete(f"{members}/{{user}}", guard.user(self._remove)),
            web.put(f"{members}/{{user}}/role", guard.user(self._set_role)),
            web.post("/api/groups/{id}/leave", guard.user(self._leave)),
        ]

    async def _list(self, request: web.Request, user: User) -> web.StreamResponse:
        group_id = request.match_info["id"]

        def query(connection: sqlite3.Connection) -> list[Row]:
            require_membership(connection, group_id, user.id)
            rows = connection.execute(
                "SELECT m.group_id, m.user_id, m.role, m.joined_at, m.added_by, u.username,"
                " u.avatar FROM group_members m JOIN users u ON u.id = m.user_id"
                " WHERE m.group_id = ? ORDER BY m.joined_at, u.seq",
                (group_id,),
            )
            return [dict(row) for row in rows]

        return json_response(await self._database.read(query))

    async def _add(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, MembersAdd)
        if not body.user_ids:
            raise Refused(400, "No user IDs provided")
        unit = partial(self._insert, request.match_info["id"], user, body.user_ids)
        return json_response({"success": True, "added": await self._database.write(unit)})

    def _insert(
        self, group_id: str, actor: User, user_ids: list[str], connection: sqlite3.Connection
    ) -> list[str]:
        membership = require_admin(connection, group_id, actor.id, "Only admins can add members")
        added = []
        for user_id in dict.fromkeys(user_ids):
            user = require_user(connection, user_id)
            if not is_member(connection, group_id, user_id):
                self.enter(connection, group_id, membership.settings, user, by=actor)
                added.append(user_id)
        return added

    def enter(
        self,
        connection: sqlite3.Connection,
        group_id: str,
        settings: GroupSettings,
        user: User,
        *,
        by: User,
    ) -> None:
        """Write a new member and the event of it.

        Raises:
            Refused: 400, the group is full.
        """
        count = connection.execute(
            "SELECT count(*) FROM group_members WHERE group_id = ?", (group_id,)
        ).fetchone()[0]
        if count >= min(settings.max_members, self._limits.group_members):
            raise Refused(400, "Group is full")
        now = next_timestamp(connection, group_id, self._clock())
        add_member(connection, group_id, user.id, role="member", now=now, added_by=by.id)
        joined = by.id == user.id
        text = f"{user.username} joined" if joined else f"{by.username} added {user.username}"
        _note(connection, group_id, "member_added", by, user, now=now, text=text)

    async def _remove(self, request: web.Request, user: User) -> web.StreamResponse:
        group_id, target = request.match_info["id"], request.match_info["user"]

        def unit(connection: sqlite3.Connection) -> None:
            membership = require_admin(
                connection, group_id, user.id, "Only admins can remove members"
            )
            role = _role_of(connection, group_id, target)
            if role == "owner":
                raise Refused(400, "Cannot remove group owner")
            if role == "admin" and membership.role != "owner" and target != user.id:
                raise Refused(403, "Only the owner can remove admins")
            _delete(connection, group_id, target)
            removed = require_user(connection, target)
            text = f"{user.username} removed {removed.username}"
            _note(
                connection, group_id, "member_removed", user, removed, now=self._clock(), text=text
            )

        await self._database.write(unit)
        return json_response(SUCCESS)

    async def _leave(self, request: web.Request, user: User) -> web.StreamResponse:
        group_id = request.match_info["id"]

        def unit(connection: sqlite3.Connection) -> None:
            membership = require_membership(connection, group_id, user.id)
            if membership.role == "owner":
                raise Refused(400, "Group owner cannot leave the group")
            _delete(connection, group_id, user.id)
            text = f"{user.username} left"
            _note(connection, group_id, "member_left", user, user, now=self._clock(), text=text)

        await self._database.write(unit)
        return json_response(SUCCESS)

    async def _set_role(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, RoleBody)
        if body.role not in _ROLES:
            raise Refused(400, "Role must be admin or member")
        unit = partial(
            self._change_role,
            request.match_info["id"],
            user,
            request.match_info["user"],
            body.role,
        )
        await self._database.write(unit)
        return json_response(SUCCESS)

    def _change_role(
        self,
        group_id: str,
        actor: User,
        target: str,
        role: str,
        connection: sqlite3.Connection,
    ) -> None:
        if require_membership(connection, group_id, actor.id).role != "owner":
            raise Refused(403, "Only the owner can change roles")
        present = _role_of(connection, group_id, target)
        if present == "owner":
            raise Refused(400, "Cannot change the role of the group owner")
        if present == role:
            return
        connection.execute(
            "UPDATE group_members SET role = ? WHERE group_id = ? AND user_id = ?",
            (role, group_id, target),
        )
        user = require_user(connection, target)
        verb = "promoted" if role in ADMINS else "demoted"
        text = f"{actor.username} {verb} {user.username}"
        _note(connection, group_id, f"admin_{verb}", actor, user, now=self._clock(), text=text)


def is_member(connection: sqlite3.Connection, group_id: str, user_id: str) -> bool:
    """Whether the user is in the group."""
    row = connection.execute(
        "SELECT 1 FROM group_members WHERE group_id = ? AND user_id = ?", (group_id, user_id)
    ).fetchone()
    return row is not None


def _role_of(connection: sqlite3.Connection, group_id: str, user_id: str) -> str:
    row = connection.execute(
        "SELECT role FROM group_members WHERE group_id = ? AND user_id = ?", (group_id, user_id)
    ).fetchone()
    if row is None:
        raise Refused(404, "Member not found")
    return str(row["role"])


def _delete(connection: sqlite3.Connection, group_id: str, user_id: str) -> None:
    connection.execute(
        "DELETE FROM group_members WHERE group_id = ? AND user_id = ?", (group_id, user_id)
    )


def _note(
    connection: sqlite3.Connection,
    group_id: str,
    event: str,
    actor: User,
    subject: User,
    *,
    now: int,
    text: str,
) -> None:
    add_event(
        connection,
        group_id,
        event,
        actor,
        now=now,
        text=text,
        userId=subject.id,
        username=subject.username,
        by=actor.id,
    )
