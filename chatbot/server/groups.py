"""Making, finding and changing groups, and reading their histories (PROTOCOL.md 2)."""

from __future__ import annotations

import sqlite3
import uuid
from functools import partial
from typing import Any, Final

import msgspec
from aiohttp import web
from msgspec import UNSET, UnsetType

from chatbot.server.accounts import check_avatar
from chatbot.server.authentication import Guard
from chatbot.server.errors import Refused
from chatbot.server.group_records import (
    add_event,
    add_member,
    check_settings,
    require_membership,
)
from chatbot.server.http import SUCCESS, Row, json_response, query_integer
from chatbot.server.resources import Resources
from chatbot.server.users import User, require_user
from chatbot.wire import MAX_SAFE_INTEGER, GroupCreate, GroupSettings, GroupUpdate

_LONGEST_NAME: Final = 200
_LONGEST_DESCRIPTION: Final = 4096
_PAGE: Final = 200
_LARGEST_PAGE: Final = 1000

_GROUP: Final = (
    "g.id, g.name, g.description, g.avatar, g.owner_id, g.created_at, g.updated_at, g.settings"
    " FROM chat_groups g"
)

_HISTORY: Final = (
    "SELECT m.id, m.group_id, m.from_user, m.content, m.timestamp, m.type,"
    " m.image_data AS imageData, m.system_event, m.metadata, u.username AS from_username"
    " FROM group_messages m JOIN users u ON u.id = m.from_user"
    " WHERE m.group_id = ? AND m.timestamp >= ? AND m.timestamp < ?"
    " ORDER BY m.timestamp {order} LIMIT ?"
)


class Groups:
    """The calls about a group as a whole."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._limits = resources.limits
        self._clock = resources.clock

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        history = "/api/groups/{id}/messages"
        return [
            web.post("/api/groups", guard.user(self._create)),
            web.get("/api/groups", guard.user(self._list), allow_head=False),
            web.get("/api/groups/{id}", guard.user(self._get), allow_head=False),
            web.put("/api/groups/{id}", guard.user(self._update)),
            web.get(history, guard.user(self._history), allow_head=False),
        ]

    async def _create(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, GroupCreate)
        settings = body.settings or GroupSettings()
        self._check(body.name, body.description, body.avatar, settings)
        members = [member for member in dict.fromkeys(body.member_ids) if member != user.id]
        if len(members) >= settings.max_members:
            raise Refused(400, f"A group has at most {settings.max_members} members")
        group = await self._database.write(partial(self.insert, user, body, members))
        return json_response(group, 201)

    def insert(
        self, owner: User, body: GroupCreate, members: list[str], connection: sqlite3.Connection
    ) -> Row:
        """Write a group with all its members, or nothing of it.

        Raises:
            Refused: 404, one of the members does not exist.
        """
        now = self._clock()
        group_id = str(uuid.uuid4())
        settings = body.settings or GroupSettings()
        connection.execute(
            "INSERT INTO chat_groups"
            " (id, name, description, owner_id, settings, created_at, updated_at, avatar)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                group_id,
                body.name,
                body.description,
                owner.id,
                _settings_text(settings),
                now,
                now,
                body.avatar,
            ),
        )
        add_member(connection, group_id, owner.id, role="owner", now=now, added_by=None)
        for member in members:
            require_user(connection, member)
            add_member(connection, group_id, member, role="member", now=now, added_by=owner.id)
        text = f"{owner.username} created the group"
        add_event(connection, group_id, "group_created", owner, now=now, text=text, name=body.name)
        return {
            "id": group_id,
            "name": body.name,
            "owner_id": owner.id,
            "created_at": now,
            "settings": settings,
        }

    async def _list(self, _request: web.Request, user: User) -> web.StreamResponse:
        def query(connection: sqlite3.Connection) -> list[Row]:
            rows = connection.execute(
                f"SELECT m.role, {_GROUP} JOIN group_members m ON m.group_id = g.id"
                " WHERE m.user_id = ? ORDER BY g.updated_at DESC, g.seq DESC",
                (user.id,),
            )
            return [_group(row) for row in rows]

        return json_response(await self._database.read(query))

    async def _get(self, request: web.Request, user: User) -> web.StreamResponse:
        group_id = request.match_info["id"]

        def query(connection: sqlite3.Connection) -> Row:
            membership = require_membership(connection, group_id, user.id)
            row = connection.execute(
                f"SELECT {_GROUP} WHERE g.id = ?",
                (group_id,),
            ).fetchone()
            return {**_group(row), "userRole": membership.role}

        return json_response(await self._database.read(query))

    async def _update(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, GroupUpdate)
        self._check(
            "unchanged" if body.name is UNSET else body.name,
            _or_none(body.description),
            _or_none(body.avatar),
            GroupSettings() if body.settings is UNSET else body.settings,
        )
        group_id = request.match_info["id"]
        await self._database.write(partial(self._apply, group_id, user, body))
        return json_response(SUCCESS)

    def _apply(
        self, group_id: str, user: User, body: GroupUpdate, connection: sqlite3.Connection
    ) -> None:
        membership = require_membership(connection, group_id, user.id)
        restricted = membership.settings.metadata_permission == "admins_only"
        if not membership.is_admin and (restricted or body.settings is not UNSET):
            raise Refused(403, "Only admins can edit this group")
        changes: dict[str, Any] = {
            name: value
            for name in ("name", "description", "avatar")
            if (value := getattr(body, name)) is not UNSET
        }
        if body.settings is not UNSET:
            changes["settings"] = _settings_text(body.settings)
        now = self._clock()
        columns = ", ".join(f"{name} = ?" for name in [*changes, "updated_at"])
        connection.execute(
            f"UPDATE chat_groups SET {columns} WHERE id = ?",  # noqa: S608 - names of our own
            (*changes.values(), now, group_id),
        )
        text = f"{user.username} changed the group"
        add_event(
            connection, group_id, "metadata_updated", user, now=now, text=text, changed=[*changes]
        )

    async def _history(self, request: web.Request, user: User) -> web.StreamResponse:
        limit = query_integer(request, "limit")
        query = partial(
            _read_history,
            group_id=request.match_info["id"],
            user_id=user.id,
            max_bytes=self._limits.group_page_bytes,
            limit=_PAGE if limit is None else max(1, min(limit, _LARGEST_PAGE)),
            before=query_integer(request, "before"),
            after=query_integer(request, "after"),
        )
        return json_response(await self._database.read(query))

    def _check(
        self, name: str, description: str | None, avatar: str | None, settings: GroupSettings
    ) -> None:
        if not name.strip():
            raise Refused(400, "Group name is required")
        if len(name) > _LONGEST_NAME or len(description or "") > _LONGEST_DESCRIPTION:
            raise Refused(400, "Group name or description is too long")
        check_avatar(avatar, self._limits)
        check_settings(settings, self._limits.group_members)


def _read_history(
    connection: sqlite3.Connection,
    *,
    group_id: str,
    user_id: str,
    max_bytes: int,
    limit: int,
    before: int | None,
    after: int | None,
) -> list[Row]:
    """Return up to `limit` rows ascending: the first after `after`, else the last before `before`.

    Pictures make rows of megabytes: a page also ends, never empty, at a size.
    """
    membership = require_membership(connection, group_id, user_id)
    forward = after is not None
    cursor = connection.execute(
        _HISTORY.format(order="ASC" if forward else "DESC"),
        (
            group_id,
            max(membership.joined_at, 0 if after is None else after + 1),
            MAX_SAFE_INTEGER if before is None else before,
            limit,
        ),
    )
    rows: list[Row] = []
    size = 0
    for row in cursor:
        size += len(row["content"]) + len(row["imageData"] or "")
        if rows and size > max_bytes:
            break
        rows.append(_history_row(row))
    return rows if forward else rows[::-1]


def _history_row(row: sqlite3.Row) -> Row:
    values = dict(row)
    if values["metadata"] is not None:
        values["metadata"] = msgspec.Raw(values["metadata"].encode())
    return values


def _group(row: sqlite3.Row) -> Row:
    return {**dict(row), "settings": msgspec.Raw(row["settings"].encode())}


def _settings_text(settings: GroupSettings) -> str:
    return msgspec.json.encode(settings).decode()


def _or_none(value: str | UnsetType | None) -> str | None:
    return None if value is UNSET else value
