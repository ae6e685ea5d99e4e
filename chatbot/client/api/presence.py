"""Who is online and who is typing (FR-RT-02, FR-RT-03)."""

from __future__ import annotations

from collections.abc import Mapping

from .base import Api


class PresenceApi(Api):
    """Presence and typing in 1:1 chats."""

    @property
    def presence(self) -> Mapping[str, bool]:
        """User id -> online, as far as the backend told; empty while disconnected."""
        return self._account.messenger.presence.users

    def is_online(self, user_id: str) -> bool:
        """Whether a user is known to be online."""
        return self.presence.get(user_id, False)

    async def send_typing(self, to: str, typing: bool = True) -> None:
        """Tell a peer that we are typing, or have stopped; after 5 s it stops by itself.

        Args:
            to: a user id, or else an exact username.
            typing: call again within 5 s to go on.

        Raises:
            SessionNotFoundError: there is no such user.
            ConnectionError: not connected.
        """
        account = self._account
        account.messenger.typing((await account.directory.resolve(to)).id, typing=typing)
