"""Who is online, in memory: one socket for each user, the newest."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from chatbot.server.sockets import REPLACED, Connection
from chatbot.server.users import User
from chatbot.wire import encode_frame


class Presence:
    """The sockets that have said who they are."""

    def __init__(self) -> None:
        self._online: dict[str, Connection] = {}

    def join(self, user: User, connection: Connection) -> None:
        """Make `connection` the user's socket, tell it who is online and the others of it.

        The others are told on a second login too: a browser that was reset announces itself so.
        """
        older = self._online.get(user.id)
        connection.user = user
        self._online[user.id] = connection
        if older is not None:
            older.close(REPLACED, "Replaced by a newer connection")
        everybody = [_entry(other.user) for other in self._online.values() if other.user]
        connection.send(encode_frame("online", {"users": everybody}))
        self._announce(user, connection, online=True)

    def leave(self, connection: Connection) -> bool:
        """Forget `connection`; whether its user thereby went offline."""
        user = connection.user
        if user is None or self._online.get(user.id) is not connection:
            return False
        del self._online[user.id]
        self._announce(user, connection, online=False)
        return True

    def get(self, user_id: str) -> Connection | None:
        """Return the socket of a user who is online."""
        return self._online.get(user_id)

    def send(self, user_id: str, frame: bytes) -> bool:
        """Send to a user; whether there was a socket to send it to."""
        connection = self._online.get(user_id)
        return connection is not None and connection.send(frame)

    def send_all(self, user_ids: Iterable[str], frame: bytes) -> None:
        """Send to those of the users who are online."""
        for user_id in user_ids:
            self.send(user_id, frame)

    def _announce(self, user: User, connection: Connection, *, online: bool) -> None:
        frame = encode_frame("online", {**_entry(user), "online": online})
        for other in list(self._online.values()):
            if other is not connection:
                other.send(frame)


def _entry(user: User) -> dict[str, Any]:
    return {"userId": user.id, "username": user.username, "online": True}
