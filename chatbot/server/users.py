"""An account as the rest of the backend meets it."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from chatbot.server.errors import Refused


@dataclass(frozen=True, slots=True)
class User:
    """The acting user of a call or socket, as the database had it then."""

    id: str
    username: str
    role: str
    is_active: bool
    can_send_images: bool


def find_user(connection: sqlite3.Connection, user_id: str) -> User | None:
    """Return the account with that id."""
    row = connection.execute(
        "SELECT id, username, role, is_active, can_send_images FROM users WHERE id = ?",
        (user_id,),
    ).fetchone()
    if row is None:
        return None
    return User(row[0], row[1], row[2], bool(row[3]), bool(row[4]))


def require_user(connection: sqlite3.Connection, user_id: str) -> User:
    """Return the account with that id.

    Raises:
        Refused: 404, there is none.
    """
    user = find_user(connection, user_id)
    if user is None:
        raise Refused(404, "User not found")
    return user


def require_sender(connection: sqlite3.Connection, user_id: str, *, sends_image: bool) -> User:
    """Return the account if it may send this now.

    Raises:
        Refused: it is disabled, or may not send pictures (texts of PROTOCOL.md 3).
    """
    user = require_user(connection, user_id)
    if not user.is_active:
        raise disabled_sender()
    if sends_image and not user.can_send_images:
        raise Refused(403, "You do not have permission to send images.")
    return user


def disabled_sender() -> Refused:
    """The answer to whatever a disabled account does over a socket."""
    return Refused(403, "Your account has been disabled by an administrator.", closes=True)
