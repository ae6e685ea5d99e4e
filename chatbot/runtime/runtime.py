"""One running bot."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from types import TracebackType
from typing import Self

from chatbot.client.account import Account
from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import StorageError
from chatbot.client.models import User
from chatbot.client.storage.message_storage import InboxEntry
from chatbot.client.storage.paths import AccountIndex
from chatbot.plugins.errors import Problem
from chatbot.runtime.clock import Clock, SystemClock
from chatbot.runtime.control.target import Target
from chatbot.runtime.controls import Controls, make_loader
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.monitoring.gauges import Gauges, read_gauges
from chatbot.runtime.options import BotOptions, PluginsError
from chatbot.runtime.parts import Parts
from chatbot.runtime.reloading import watch

__all__ = ["BotOptions", "BotRuntime", "PluginsError"]


class BotRuntime:
    """A bot that runs between `start` and `stop`, or as an async context manager.

    Attributes:
        metrics: what it counts.
        failed: gets the error that ends the bot from within: its disk failed.
    """

    failed: asyncio.Future[Exception]

    def __init__(self, options: BotOptions, *, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._controls = Controls()
        self._loader = make_loader(
            options.base, options.sections, options.timezone, self._controls, self._clock.now
        )
        self._client = self._make_client(options.server_url)
        self._parts: Parts | None = None
        self._loaded = False
        self._healthy = True
        self.metrics = Metrics()

    def load(self) -> None:
        """Import the plugins; `start` does it where it was not done.

        Raises:
            PluginsError: plugins are listed, and none of them can be used.
        """
        self._loaded = True
        assembly = self._loader.load(self._options.all_plugins)
        usable = {assembled.found.listed for assembled in assembly.plugins}
        if self._options.plugins and usable.isdisjoint(self._options.plugins):
            raise PluginsError(assembly.problems)

    async def start(self, server_url: str | None = None) -> None:
        """Log in, start the plugins, connect, and handle what waits.

        Args:
            server_url: where the backend is, if that was not known before.

        Raises:
            PluginsError: plugins are listed, and none of them can be used.
            WhatsAppClientError: logging in, the files, or the connection.
        """
        self.failed = asyncio.get_running_loop().create_future()
        if not self._loaded:
            self.load()
        if server_url is not None:
            self._client = self._make_client(server_url)
        try:
            await self._enter()
            self._parts = parts = self._assemble()
            await parts.open()
            self._check_plugins(parts)
            await self._client.connect()
            parts.begin()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let handlers end, stop the plugins, disconnect. What is left goes on next time."""
        parts, self._parts = self._parts, None
        if parts is not None:
            await parts.close()
        await self._client.logout()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.stop()

    # ------------------------------------------------------------ what it is

    @property
    def client(self) -> WhatsAppClient:
        """The account's client."""
        return self._client

    @property
    def user(self) -> User:
        """Its account."""
        return self._client.user

    @property
    def fingerprint(self) -> str:
        """What people compare to be sure whom they write to: 60 characters."""
        return self._client.get_fingerprint()

    @property
    def problems(self) -> Sequence[Problem]:
        """Why plugins were left out."""
        return () if self._parts is None else self._parts.lifecycle.problems

    @property
    def healthy(self) -> bool:
        """Whether it can go on: its disk has not failed."""
        return self._healthy

    @property
    def target(self) -> Target:
        """What operators act on, while it runs."""
        return Target(self._client, self._parts)

    async def gauges(self) -> Gauges | None:
        """How it is now; None while it is starting or stopping.

        Raises:
            StorageError: its files cannot be read.
        """
        return None if self._parts is None else await read_gauges(self._parts)

    async def reload(self, plugin: str) -> None:
        """Import a plugin's code afresh and swap it in.

        Raises:
            ControlError: the new one cannot be used; the old one still is.
        """
        if self._parts is not None:
            await self._parts.lifecycle.reload(plugin)

    async def watch(self) -> None:
        """Reload plugins whenever their code changes, until cancelled.

        Raises:
            ModuleNotFoundError: watchfiles is not installed.
        """
        if self._parts is not None:
            await watch(self._parts.lifecycle, self._loader)

    async def trust(self, peer: str) -> None:
        """Give somebody's changed identity the privileges of the old one.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        await self._client.trust(peer)
        await self._look_again(peer)

    async def verify(self, peer: str, fingerprint: str, *, verified: bool = True) -> bool:
        """Note that somebody's fingerprint was compared, or take that back; whether it is theirs.

        Raises:
            ValidationError: it is no fingerprint.
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        is_theirs = await self._client.verify_fingerprint(peer, fingerprint, verified)
        await self._look_again(peer)
        return is_theirs

    async def _look_again(self, peer: str) -> None:
        user = await self._client.find_user(peer)
        if self._parts is not None and user is not None:
            self._parts.world.people.forget(user.id)

    # ------------------------------------------------------------ putting it together

    def _check_plugins(self, parts: Parts) -> None:
        listed = self._options.plugins
        if listed and not parts.lifecycle.any_of(listed):
            raise PluginsError(parts.lifecycle.problems)

    def _make_client(self, server_url: str) -> WhatsAppClient:
        options = self._options
        return WhatsAppClient(
            server_url,
            options.storage_path,
            auto_connect=False,
            storage_password=options.storage_password,
            options=options.client,
            consumer=self._arrived,
            clock=self._clock.now,
        )

    async def _enter(self) -> None:
        options = self._options
        known = AccountIndex(options.storage_path).find(self._client.server_url, options.name)
        first = options.registers and known is None
        enter = self._client.register_or_login if first else self._client.login
        await enter(options.name, options.password)

    def _assemble(self) -> Parts:
        account: Account = self._client._account  # noqa: SLF001 - the bot is built around it
        parts = Parts(
            self._options,
            account,
            self._loader,
            clock=self._clock,
            metrics=self.metrics,
            authenticated=lambda: self._client.authenticated_sockets,
        )
        self._controls.attach(parts)
        parts.observers.attach(self._client)
        account.database.on_commit.append(self.metrics.committed)
        account.database.on_failure.append(self._disk_failed)
        return parts

    def _arrived(self, entry: InboxEntry) -> None:
        if self._parts is not None:
            self._parts.inbox.arrived(entry)

    def _disk_failed(self, error: StorageError) -> None:
        self._healthy = False
        if not self.failed.done():
            self.failed.set_result(error)
