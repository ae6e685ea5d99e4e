"""What administrators may do to accounts (PROTOCOL.md 2)."""

from __future__ import annotations

from typing import Literal

from chatbot.client import from_wire
from chatbot.client.exceptions import ValidationError
from chatbot.client.models import ManagedAccount

from .base import Api


class AdminApi(Api):
    """For accounts with the role `admin`; others get a PermissionDeniedError from each of these."""

    async def list_accounts(self) -> list[ManagedAccount]:
        """Every account, with its role and rights."""
        rows = await self._account.rest.admin_users()
        return [from_wire.managed_account(row) for row in rows]

    async def enable_account(self, user_id: str) -> None:
        """Let somebody log in again.

        Raises:
            ValidationError: there is no such user.
        """
        await self._account.rest.set_user_active(await self._user_id(user_id), active=True)

    async def disable_account(self, user_id: str) -> None:
        """Let somebody neither log in nor send anything any more.

        Raises:
            ValidationError: there is no such user.
        """
        await self._account.rest.set_user_active(await self._user_id(user_id), active=False)

    async def allow_images(self, user_id: str, allowed: bool = True) -> None:
        """Grant or take the right to send images.

        Raises:
            ValidationError: there is no such user.
        """
        await self._account.rest.set_user_images(await self._user_id(user_id), allowed=allowed)

    async def set_account_role(self, user_id: str, role: Literal["admin", "user"]) -> None:
        """Make somebody an administrator, or a plain user again.

        Raises:
            ValidationError: there is no such user, or no such role.
        """
        if role not in {"admin", "user"}:
            raise ValidationError(f"an account's role can be 'admin' or 'user', not {role!r}")
        await self._account.rest.set_user_role(await self._user_id(user_id), role)
