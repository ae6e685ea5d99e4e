"""Who there is (GET /api/users), through a cached directory."""

from __future__ import annotations

from chatbot.client.exceptions import ValidationError
from chatbot.client.models import User

from .base import Api


class UsersApi(Api):
    """Everybody on the backend."""

    async def list_users(self) -> list[User]:
        """Everybody, fresh from the backend.

        Raises:
            ConnectionError: the backend cannot be reached.
        """
        return await self._account.directory.users()

    async def find_user(self, name: str) -> User | None:
        """The user with this id or exact username, None if there is none.

        One that is known already is not asked for again.

        Raises:
            ConnectionError: the backend cannot be reached.
        """
        return await self._account.directory.find(name)

    async def get_user(self, user_id: str) -> User:
        """A user by id. The backend has no call for one, so it is looked for in the list of all.

        Raises:
            ValidationError: there is no such user.
            ConnectionError: the backend cannot be reached.
        """
        user = await self._account.directory.find(user_id)
        if user is None or user.id != user_id:
            raise ValidationError(f"there is no user with the id {user_id!r}")
        return user
