"""Registering, logging in, and the list of everybody (PROTOCOL.md 2).

Nobody becomes an administrator by registering, first or not: on a backend that strangers reach,
that would be a race. Whoever runs the backend names one, see `Server.make_admin`.
"""

from __future__ import annotations

import sqlite3
import uuid
from functools import partial
from typing import Any, Final

from aiohttp import web

from chatbot.server.errors import Refused, ServerError
from chatbot.server.http import Row, json_response, read_pages, stream_array
from chatbot.server.limits import FailedLogins, Limits
from chatbot.server.passwords import Passwords
from chatbot.server.resources import Resources
from chatbot.server.tokens import Tokens
from chatbot.wire import Credentials

_SHORTEST_NAME: Final = 3
_LONGEST_NAME: Final = 100
_SHORTEST_PASSWORD: Final = 6
_LONGEST_PASSWORD: Final = 1024


class Accounts:
    """The three open calls."""

    def __init__(self, resources: Resources, passwords: Passwords, tokens: Tokens) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._limits = resources.limits
        self._clock = resources.clock
        self._passwords = passwords
        self._tokens = tokens
        self._failures = FailedLogins(resources.limits, resources.clock)

    def routes(self) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        return [
            web.post("/api/auth/register", self._register),
            web.post("/api/auth/login", self._login),
            web.get("/api/users", self._list, allow_head=False),
        ]

    async def _register(self, request: web.Request) -> web.StreamResponse:
        credentials = await self._bodies.read(request, Credentials)
        _check_credentials(credentials, self._limits)
        user = {
            "id": str(uuid.uuid4()),
            "username": credentials.username,
            "password_hash": await self._passwords.hash(credentials.password),
            "avatar": credentials.avatar,
            "now": self._clock(),
        }
        row = await self._database.write(partial(_insert_user, user=user))
        return json_response(self._account(row), 201)

    async def _login(self, request: web.Request) -> web.StreamResponse:
        credentials = await self._bodies.read(request, Credentials)
        if not credentials.username or not credentials.password:
            raise Refused(400, "Username and password are required")
        row = await self._authenticate(credentials, request.remote or "")
        if not row["is_active"]:
            raise Refused(403, "Your account has been disabled")
        await self._database.write(partial(touch_last_seen, user_id=row["id"], now=self._clock()))
        return json_response(self._account(row))

    async def _authenticate(self, credentials: Credentials, address: str) -> sqlite3.Row:
        if len(credentials.username) > _LONGEST_NAME:
            raise _wrong_credentials()
        # Names are public (the list of users), so an unknown one need not take as long.
        row = await self._database.read(partial(_find_account, username=credentials.username))
        self._failures.attempt(credentials.username, address)
        if row is None or not await self._passwords.verify(
            row["password_hash"], credentials.password[: _LONGEST_PASSWORD + 1]
        ):
            raise _wrong_credentials()
        self._failures.succeeded(credentials.username, address)
        return row

    async def _list(self, request: web.Request) -> web.StreamResponse:
        pages = read_pages(
            self._database,
            "SELECT seq, 0, id, username, avatar, last_seen AS lastSeen FROM users"
            " WHERE (seq, 0) > (?, ?) ORDER BY seq",
            (),
            (0, 0),
        )
        return await stream_array(request, pages)

    def _account(self, row: sqlite3.Row) -> Row:
        account: dict[str, Any] = {
            "id": row["id"],
            "username": row["username"],
            "avatar": row["avatar"],
            "lastSeen": row["last_seen"],
            "role": row["role"],
            "is_active": row["is_active"],
            "can_send_images": row["can_send_images"],
            "created_at": row["created_at"],
            "token": self._tokens.issue(row["id"]),
        }
        return account


def promote(connection: sqlite3.Connection, username: str) -> None:
    """Give an existing account the role of an administrator.

    Raises:
        ServerError: nobody has that name.
    """
    changed = connection.execute(
        "UPDATE users SET role = 'admin' WHERE username = ?", (username,)
    ).rowcount
    if not changed:
        raise ServerError(
            f"There is no account named {username!r} to make an administrator."
            " Register it first: a name that is free now could be taken by anybody."
        )


def touch_last_seen(connection: sqlite3.Connection, user_id: str, now: int) -> None:
    """Note that the user was here."""
    connection.execute("UPDATE users SET last_seen = ? WHERE id = ?", (now, user_id))


def _wrong_credentials() -> Refused:
    return Refused(401, "Invalid username or password")


def _check_credentials(credentials: Credentials, limits: Limits) -> None:
    username, password = credentials.username, credentials.password
    if not username or not password:
        raise Refused(400, "Username and password are required")
    if len(username) < _SHORTEST_NAME:
        raise Refused(400, f"Username must be at least {_SHORTEST_NAME} characters")
    if len(username) > _LONGEST_NAME:
        raise Refused(400, f"Username must be at most {_LONGEST_NAME} characters")
    if not username.isprintable() or username != username.strip():
        raise Refused(400, "Username must be printable and not begin or end with a space")
    if len(password) < _SHORTEST_PASSWORD:
        raise Refused(400, f"Password must be at least {_SHORTEST_PASSWORD} characters")
    if len(password) > _LONGEST_PASSWORD:
        raise Refused(400, f"Password must be at most {_LONGEST_PASSWORD} characters")
    check_avatar(credentials.avatar, limits)


def check_avatar(avatar: str | None, limits: Limits) -> None:
    """Raise 400 for a picture that is too large to be sent to everybody."""
    if avatar is not None and len(avatar.encode()) > limits.avatar_bytes:
        raise Refused(400, f"Avatar must be at most {limits.avatar_bytes} bytes")


def _find_account(connection: sqlite3.Connection, username: str) -> sqlite3.Row | None:
    cursor = connection.execute("SELECT * FROM users WHERE username = ?", (username,))
    row: sqlite3.Row | None = cursor.fetchone()
    return row


def _insert_user(connection: sqlite3.Connection, user: dict[str, Any]) -> sqlite3.Row:
    try:
        connection.execute(
            "INSERT INTO users (id, username, password_hash, avatar, created_at, last_seen)"
            " VALUES (:id, :username, :password_hash, :avatar, :now, :now)",
            user,
        )
    except sqlite3.IntegrityError:
        raise Refused(409, "Username already taken") from None
    row = _find_account(connection, user["username"])
    assert row is not None  # noqa: S101 - inserted just above
    return row
