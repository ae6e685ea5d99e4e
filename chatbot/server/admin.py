"""What administrators may do to accounts (PROTOCOL.md 2)."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web

from chatbot.server.authentication import Guard, UserHandler
from chatbot.server.errors import Refused
from chatbot.server.http import SUCCESS, json_response, read_pages, stream_array
from chatbot.server.presence import Presence
from chatbot.server.resources import Resources
from chatbot.server.users import User, disabled_sender, require_user
from chatbot.wire import RoleBody, UserPermissionsBody, UserStatusBody

_ROLES: Final = frozenset({"user", "admin"})

_LIST: Final = (
    "SELECT seq, 0, id, username, avatar, last_seen AS lastSeen, role, is_active,"
    " can_send_images, created_at FROM users WHERE (seq, 0) > (?, ?) ORDER BY seq"
)


class Admin:
    """The calls under /api/admin."""

    def __init__(self, resources: Resources, presence: Presence) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._clock = resources.clock
        self._presence = presence

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        user = "/api/admin/users/{id}"

        def admin(handler: UserHandler) -> Callable[[web.Request], Any]:
            return guard.user(_admins_only(handler))

        return [
            web.get("/api/admin/users", admin(self._list), allow_head=False),
            web.put(f"{user}/status", admin(self._set_status)),
            web.put(f"{user}/permissions", admin(self._set_permissions)),
            web.put(f"{user}/role", admin(self._set_role)),
        ]

    async def _list(self, request: web.Request, _admin: User) -> web.StreamResponse:
        return await stream_array(request, read_pages(self._database, _LIST, (), (0, 0)))

    async def _set_status(self, request: web.Request, admin: User) -> web.StreamResponse:
        body = await self._bodies.read(request, UserStatusBody)
        user_id = request.match_info["id"]
        active = bool(body.is_active)
        await self._change(
            user_id,
            "is_active = ?, disabled_at = ?, disabled_by = ?",
            (active, None if active else self._clock(), None if active else admin.id),
        )
        if not active and (connection := self._presence.get(user_id)) is not None:
            connection.refuse(disabled_sender())
        return json_response(SUCCESS)

    async def _set_permissions(self, request: web.Request, _admin: User) -> web.StreamResponse:
        body = await self._bodies.read(request, UserPermissionsBody)
        allowed = bool(body.can_send_images)
        await self._change(request.match_info["id"], "can_send_images = ?", (allowed,))
        return json_response(SUCCESS)

    async def _set_role(self, request: web.Request, _admin: User) -> web.StreamResponse:
        body = await self._bodies.read(request, RoleBody)
        if body.role not in _ROLES:
            raise Refused(400, "Role must be user or admin")
        await self._change(request.match_info["id"], "role = ?", (body.role,))
        return json_response(SUCCESS)

    async def _change(self, user_id: str, columns: str, values: tuple[Any, ...]) -> None:
        def unit(connection: sqlite3.Connection) -> None:
            require_user(connection, user_id)
            connection.execute(
                f"UPDATE users SET {columns} WHERE id = ?",  # noqa: S608 - constants above
                (*values, user_id),
            )

        await self._database.write(unit)


def _admins_only(handler: UserHandler) -> UserHandler:
    async def checked(request: web.Request, user: User) -> web.StreamResponse:
        if user.role != "admin":
            raise Refused(403, "Admin access required")
        return await handler(request, user)

    return checked
