"""A bot as its config.toml describes it, its own backend included."""

from __future__ import annotations

from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Final, Self

from chatbot.cli.passwords import (
    account_password,
    generate_password_file,
    read_password_file,
    storage_password,
)
from chatbot.client.options import ClientOptions
from chatbot.client.storage.retention import DAY
from chatbot.plugins.durations import parse_rate
from chatbot.runtime.access import Appointments
from chatbot.runtime.arrivals import HandlingOptions
from chatbot.runtime.control.exchange import ControlServer
from chatbot.runtime.options import BotOptions
from chatbot.runtime.runtime import BotRuntime
from chatbot.settings import BotSettings, HttpSection

if TYPE_CHECKING:  # each is imported by the bots that have one: an idle bot should be small
    from chatbot.runtime.monitoring.endpoint import MonitoringEndpoint
    from chatbot.server import Server

BACKEND_FILE: Final = "backend.db"
"""The embedded backend's database, under `[storage] path`."""

TOKEN_FILE: Final = "http.token"  # noqa: S105 - the name of a file
"""Holds the HTTP endpoint's token, under `[storage] path`."""


@dataclass(frozen=True, slots=True)
class BotConfig:
    """A config.toml that was read, and the passwords for it."""

    file: Path
    settings: BotSettings
    password: str = field(repr=False)
    storage_password: str | None = field(default=None, repr=False)

    @classmethod
    def of(cls, file: Path, settings: BotSettings) -> Self:
        """Find the passwords; a bot that registers itself gets one, in its `password_file`.

        Raises:
            ValidationError: there is no password.
            StorageError: the file cannot be read or made.
        """
        password_file = settings.bot.password_file
        if password_file is not None and settings.registers:
            generate_password_file(password_file)
        password = account_password(settings.bot.name, password_file)
        return cls(file, settings, password, storage_password(settings.storage.password_file))

    def options(self) -> BotOptions:
        """What the bot is told; where an embedded backend is shows when it listens."""
        bot, server, limits = self.settings.bot, self.settings.server, self.settings.limits
        messages, crypto = self.settings.messages, self.settings.crypto
        keep_days = self.settings.storage.keep_days
        return BotOptions(
            name=bot.name,
            password=self.password,
            storage_password=self.storage_password,
            server_url=server.url,
            storage_path=self.settings.storage.path,
            registers=self.settings.registers,
            plugins=self.settings.plugins.load,
            sections=self.settings.plugins.tables,
            base=self.file.absolute().parent,
            appointments=Appointments(
                owners=bot.owners,
                admins=bot.admins,
                moderators=bot.moderators,
                trust_groups=bot.group_commands == "trust",
            ),
            timezone=bot.timezone,
            handling=HandlingOptions(
                prefix=bot.prefix,
                prefixes=bot.prefixes,
                tries=limits.tries,
                timeout=round(limits.handler_seconds * 1000),
            ),
            threads=limits.threads,
            user_rate=None if limits.user is None else parse_rate(limits.user),
            chat_rate=None if limits.chat is None else parse_rate(limits.chat),
            keep=None if keep_days is None else keep_days * DAY,
            client=ClientOptions(
                allow_insecure=server.allow_insecure,
                trusted_server=server.trusted or server.embedded,
                images=messages.images,
                messaging=messages.options(crypto),
                prekeys=crypto.prekeys(),
            ),
        )


class RunningBot:
    """A bot, and its backend where it brings one; both run inside of the context manager.

    Attributes:
        url: where the backend is.
        runtime: the bot.
        endpoint: its HTTP endpoint, where it has one.
    """

    runtime: BotRuntime

    def __init__(self, config: BotConfig) -> None:
        self.config = config
        self.endpoint: MonitoringEndpoint | None = None
        self.url = config.settings.server.url
        self._running = AsyncExitStack()

    async def __aenter__(self) -> Self:
        settings = self.config.settings
        self.runtime = BotRuntime(self.config.options())
        self.runtime.load()  # before anybody can connect: who knows what plugins import
        async with AsyncExitStack() as stack:
            if settings.server.embedded:
                server = self._make_backend()
                await stack.enter_async_context(server)
                self.url = server.url
            if settings.http.port is not None:
                self.endpoint = self._make_endpoint(settings.http, settings.http.port)
                await stack.enter_async_context(self.endpoint)
            stack.push_async_callback(self.runtime.stop)
            await self.runtime.start(self.url)
            await stack.enter_async_context(ControlServer(self.runtime.target))
            self._running = stack.pop_all()
        return self

    def _make_backend(self) -> Server:
        from chatbot.server import Server  # noqa: PLC0415 - see above

        settings = self.config.settings
        return Server(settings.storage.path / BACKEND_FILE, port=settings.server.port)

    def _make_endpoint(self, http: HttpSection, port: int) -> MonitoringEndpoint:
        from chatbot.runtime.monitoring.endpoint import (  # noqa: PLC0415 - see above
            EndpointOptions,
            MonitoringEndpoint,
        )

        file = http.token_file or self.config.settings.storage.path / TOKEN_FILE
        generate_password_file(file)
        options = EndpointOptions(
            host=http.host,
            port=port,
            token=read_password_file(file),
            certificate=http.certificate,
            key=http.key,
        )
        return MonitoringEndpoint(self.runtime, options)

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """Stop it, and its backend; once is enough."""
        await self._running.aclose()
