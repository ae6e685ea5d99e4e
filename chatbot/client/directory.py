"""Who is who: user ids and names, from a cached GET /api/users."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from chatbot.client import from_wire
from chatbot.client.exceptions import SessionNotFoundError
from chatbot.client.models import User
from chatbot.client.transport.rest_client import RestClient

MAX_AGE: Final = 60_000
"""How old (ms) the list may be before a name that is not in it is looked up again."""


class Directory:
    """Finds users by id or exact name. The backend has no call for a single user."""

    def __init__(self, rest: RestClient, *, clock: Callable[[], int]) -> None:
        self._rest = rest
        self._clock = clock
        self._by_id: dict[str, User] = {}
        self._by_name: dict[str, User] = {}
        self._loaded_at = 0
        self._loading = asyncio.Lock()

    async def users(self) -> list[User]:
        """Everybody, fresh from the backend."""
        await self._load(self._clock())
        return list(self._by_id.values())

    def cached(self, id_or_name: str) -> User | None:
        """A user by id or exact name, if known without asking."""
        return self._by_id.get(id_or_name) or self._by_name.get(id_or_name)

    async def find(self, id_or_name: str) -> User | None:
        """A user by id, or else by exact name; None if there is none."""
        asked_at = self._clock()
        if found := self.cached(id_or_name):
            return found
        if 0 <= asked_at - self._loaded_at < MAX_AGE:
            await self._load(self._loaded_at + 1)
        else:
            await self._load(asked_at)
        return self.cached(id_or_name)

    async def resolve(self, id_or_name: str) -> User:
        """Like `find`.

        Raises:
            SessionNotFoundError: there is no such user.
        """
        user = await self.find(id_or_name)
        if user is None:
            raise SessionNotFoundError(
                f"there is no user {id_or_name!r}: give a user id or exact username"
            )
        return user

    async def _load(self, not_before: int) -> None:
        """Load the list, once for all who wait, unless it is as new as `not_before` (ms)."""
        async with self._loading:
            if self._loaded_at >= not_before:
                return
            users = [from_wire.user(row) for row in await self._rest.users()]
            self._by_id = {user.id: user for user in users}
            self._by_name = {user.username: user for user in users}
            self._loaded_at = self._clock()
