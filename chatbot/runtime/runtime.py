"""One bot, put together: an account, its plugins, and all that brings messages to them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from chatbot.client.account import Account
from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import StorageError, UsernameExistsError
from chatbot.client.messaging.inbox import Inbox
from chatbot.client.models import User
from chatbot.client.options import ClientOptions
from chatbot.client.storage.message_storage import InboxEntry
from chatbot.client.storage.paths import AccountIndex
from chatbot.plugins.errors import Problem
from chatbot.plugins.loader import Loader
from chatbot.runtime.access import Appointments, Permissions
from chatbot.runtime.admission import TELLING, Admission
from chatbot.runtime.clock import Clock, SystemClock
from chatbot.runtime.dialogs import Dialogs
from chatbot.runtime.groups import GroupBook
from chatbot.runtime.handling import Handling, HandlingOptions
from chatbot.runtime.journal import Journal
from chatbot.runtime.lifecycle import Lifecycle
from chatbot.runtime.limits import Cooldowns, TokenBuckets
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.onions import build_generation
from chatbot.runtime.people import People
from chatbot.runtime.posting import Post
from chatbot.runtime.speech import Outlet
from chatbot.runtime.table import Table
from chatbot.runtime.threads import THREADS, Threads
from chatbot.runtime.triggers import check_schedules
from chatbot.runtime.world import World

DRAIN_SECONDS: Final = 3.0
"""How long a stop waits for handlers that run."""

BUILT_IN: Final = ("chatbot.plugins.builtin.help", "chatbot.plugins.builtin.ping")
"""Loaded whatever is listed, before what is listed."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class BotOptions:
    """What one bot is told.

    Attributes:
        name: the user name of its account.
        registers: make the account where it does not exist.
        storage_password: opens the account's files; None for the account's own.
        plugins: what is listed; the built-in ones load without.
        sections: `[plugins.NAME]` by name.
        base: the folder that relative paths of plugins count from.
    """

    name: str
    password: str = field(repr=False)
    server_url: str
    storage_path: Path
    storage_password: str | None = field(default=None, repr=False)
    registers: bool = False
    plugins: Sequence[str] = ()
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    base: Path = field(default_factory=Path.cwd)
    appointments: Appointments = field(default_factory=Appointments)
    timezone: tzinfo = UTC
    handling: HandlingOptions = field(default_factory=HandlingOptions)
    client: ClientOptions = field(default_factory=ClientOptions)
    threads: int = THREADS


class PluginsError(Exception):
    """None of the listed plugins can be used.

    Attributes:
        problems: everything that is wrong with them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)) or "no listed plugin can be used")
        self.problems = tuple(problems)


class BotRuntime:
    """A bot that runs between `start` and `stop`, or as an async context manager.

    Attributes:
        failed: gets the error that ended the bot from within: its disk failed.
    """

    def __init__(self, options: BotOptions, *, clock: Clock | None = None) -> None:
        self._options = options
        self._clock = clock or SystemClock()
        self._client = WhatsAppClient(
            options.server_url,
            options.storage_path,
            auto_connect=False,
            storage_password=options.storage_password,
            options=options.client,
            consumer=self._arrived,
            clock=self._clock.now,
        )
        self._parts: _Parts | None = None
        self.metrics = Metrics()
        self.failed: asyncio.Future[Exception] | None = None

    async def start(self) -> None:
        """Log in, start the plugins, connect, and handle what waits.

        Raises:
            PluginsError: plugins are listed, and none of them can be used.
            WhatsAppClientError: logging in, the files, or the connection.
        """
        self.failed = asyncio.get_running_loop().create_future()
        try:
            await self._enter()
            self._parts = parts = await self._assemble()
            await parts.lifecycle.start([*BUILT_IN, *self._options.plugins])
            self._check_plugins(parts.lifecycle)
            await self._client.connect()
            parts.inbox.start()
        except BaseException:
            await self.stop()
            raise

    async def stop(self) -> None:
        """Let handlers end, stop the plugins, disconnect. What is left goes on next time."""
        parts, self._parts = self._parts, None
        if parts is not None:
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    await parts.handling.drain()
            except TimeoutError:
                logger.warning("handlers still run; their messages are handled again next time")
            await parts.handling.close()
            await parts.inbox.close()
            await parts.lifecycle.stop()
            parts.threads.close()
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

    # ------------------------------------------------------------ putting it together

    async def _enter(self) -> None:
        options = self._options
        known = AccountIndex(options.storage_path).find(options.server_url, options.name)
        if options.registers and known is None:
            try:
                await self._client.register(options.name, options.password)
            except UsernameExistsError:
                pass  # not the first start: log in
            else:
                return
        await self._client.login(options.name, options.password)

    async def _assemble(self) -> _Parts:
        options, clock = self._options, self._clock
        account: Account = self._client._account  # noqa: SLF001 - the runtime is its engine room
        messenger, database = account.messenger, account.database
        post = Post(messenger, self.metrics, images=options.client.images)
        journal = Journal(
            database, messenger.vault, post=post.post, ids=messenger.ids, clock=clock.now
        )
        await journal.open()
        permissions = Permissions(database, options.appointments, clock.now)
        await permissions.open()
        outlet = Outlet(post)
        world = World(
            account=account,
            journal=journal,
            outlet=outlet,
            people=People(account),
            groups=GroupBook(account.rest, clock=clock.now),
            metrics=self.metrics,
            clock=clock,
            timezone=options.timezone,
            generation=build_generation(Table(), outlet.core),
        )
        threads = Threads(options.threads)
        cooldowns = Cooldowns(clock.now)
        admission = Admission(
            permissions, cooldowns, TokenBuckets(TELLING, clock.now), world.groups, self.metrics
        )
        dialogs = Dialogs(world, self._in_turn)
        handling = Handling(
            world,
            dialogs=dialogs,
            permissions=permissions,
            admission=admission,
            threads=threads,
            options=options.handling,
            authenticated=lambda: self._client.authenticated_sockets,
            again=self._again,
        )
        loader = Loader(
            base=options.base,
            sections=options.sections,
            check=lambda compiled: check_schedules(compiled, options.timezone, world.now()),
        )
        database.on_commit.append(self.metrics.committed)
        database.on_failure.append(self._disk_failed)
        return _Parts(
            lifecycle=Lifecycle(world, loader, threads),
            handling=handling,
            inbox=Inbox(messenger.messages, handling.handle),
            threads=threads,
        )

    def _check_plugins(self, lifecycle: Lifecycle) -> None:
        if self._options.plugins and not lifecycle.any_of(self._options.plugins):
            raise PluginsError(lifecycle.problems)

    def _arrived(self, entry: InboxEntry) -> None:
        if self._parts is not None:
            self._parts.inbox.arrived(entry)

    def _again(self, seq: int) -> None:
        """Bring an entry that failed into its lane once more."""

    def _in_turn(self, conversation: str, work: Callable[[], Awaitable[None]]) -> None:
        if self._parts is not None:
            self._parts.inbox.in_turn(conversation, work)

    def _disk_failed(self, error: StorageError) -> None:
        if self.failed is not None and not self.failed.done():
            self.failed.set_result(error)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Parts:
    lifecycle: Lifecycle
    handling: Handling
    inbox: Inbox
    threads: Threads
