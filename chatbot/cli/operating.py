"""Operations on a config's bot: by the bot itself where it runs, else on its files."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self, TypeVar

from chatbot.cli.passwords import account_password, storage_password
from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import ValidationError
from chatbot.client.models import User
from chatbot.client.options import ClientOptions
from chatbot.client.storage.paths import AccountIndex, directory_name
from chatbot.runtime.control.exchange import running
from chatbot.runtime.control.operations import Operation
from chatbot.runtime.control.target import opened
from chatbot.settings import BotSettings, load_settings

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class StoredBot:
    """A bot that has been started before.

    Attributes:
        user_id: of its account.
        directory: of the account's files.
    """

    settings: BotSettings
    user_id: str
    directory: Path

    @classmethod
    def of(cls, config: Path) -> Self:
        """Find it.

        Raises:
            SettingsError: the configuration cannot be used.
            ValidationError: the bot has not been started yet.
            StorageError: the index of accounts is damaged.
        """
        settings = load_settings(config)
        found = cls.find(settings)
        if found is None:
            raise ValidationError(
                f"{settings.bot.name} has no account in {settings.storage.path} yet. What to do: "
                f"start it once with `chatbot run {config}`, or restore a backup"
            )
        return found

    @classmethod
    def find(cls, settings: BotSettings) -> Self | None:
        """The same for settings that were read; None where it has not been started yet."""
        url = None if settings.server.embedded else settings.server.url
        user_id = AccountIndex(settings.storage.path).find(url, settings.bot.name)
        if user_id is None:
            return None
        return cls(settings, user_id, settings.storage.path / directory_name(user_id))

    def password(self) -> str:
        """What opens its files: from the environment, a file, or the person.

        Raises:
            ValidationError: there is none.
            StorageError: the file with it cannot be read.
        """
        bot, storage = self.settings.bot, self.settings.storage
        given = storage_password(storage.password_file)
        return account_password(bot.name, bot.password_file) if given is None else given

    async def do(self, operation: Operation[T]) -> T:
        """Do something to it, whether it runs or not; raises what the operation does.

        Raises:
            StorageLockedError: another program has the account open.
            WrongPasswordError: it does not run, and the password does not open its files.
        """
        async with running(self.directory) as bot:
            if bot is not None:
                return await bot.do(operation)
        async with self._backend(needed=operation.needs_backend) as url:
            client = WhatsAppClient(
                url,
                self.settings.storage.path,
                auto_connect=False,
                storage_password=self.password(),
                options=ClientOptions(allow_insecure=self.settings.server.allow_insecure),
            )
            user = User(id=self.user_id, username=self.settings.bot.name)
            async with opened(client, user) as target:
                return await operation.run(target)

    @asynccontextmanager
    async def _backend(self, *, needed: bool) -> AsyncIterator[str]:
        """Where its backend is; an embedded one is up for as long as it is needed."""
        server = self.settings.server
        if not server.embedded:
            yield server.url
        elif not needed:
            yield f"http://127.0.0.1:{server.port or 1}"
        else:
            from chatbot.cli.bots import BACKEND_FILE  # noqa: PLC0415 - heavy, and wanted rarely
            from chatbot.server import Server  # noqa: PLC0415 - the same

            async with Server(self.settings.storage.path / BACKEND_FILE, port=0) as backend:
                yield backend.url


def operate(config: Path, operation: Operation[T]) -> T:
    """Do something to the bot of a config.toml; raises like `StoredBot.of` and `do`."""
    return asyncio.run(StoredBot.of(config).do(operation))
