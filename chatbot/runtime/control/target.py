"""What operations are done to: an account that is open, with a bot around it or without."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatbot.client.account import Account
from chatbot.client.client import WhatsAppClient
from chatbot.client.models import User
from chatbot.runtime.schema import COMPONENT, MIGRATIONS

if TYPE_CHECKING:
    from chatbot.runtime.parts import Parts


@dataclass(frozen=True, slots=True)
class Target:
    """An open account.

    Attributes:
        client: has it open.
        parts: the bot's; None where only the files are open.
    """

    client: WhatsAppClient
    parts: Parts | None = None

    @property
    def account(self) -> Account:
        """The account itself."""
        return self.client._account  # noqa: SLF001 - the runtime is built around it


@asynccontextmanager
async def opened(client: WhatsAppClient, user: User) -> AsyncIterator[Target]:
    """Open a bot's files while it does not run; nothing is connected.

    Args:
        client: new, with a `storage_password`.
        user: the bot's account.

    Raises:
        WrongPasswordError: the password does not open the files.
        StorageLockedError: a process has them open.
        StorageError: they are damaged or not writable.
    """
    await client.open(user)
    try:
        target = Target(client)
        await target.account.database.migrate(COMPONENT, MIGRATIONS)
        yield target
    finally:
        await client.logout()
