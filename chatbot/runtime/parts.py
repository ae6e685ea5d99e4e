"""What a bot is made of, behind its account: put together in one place."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from typing import Any, Final

from chatbot.client.account import Account
from chatbot.client.messaging.inbox import Inbox
from chatbot.client.storage.message_storage import InboxEntry
from chatbot.plugins.hooks import Hooks
from chatbot.plugins.loader import Loader
from chatbot.runtime.access import Permissions
from chatbot.runtime.admission import Admission
from chatbot.runtime.arrivals import Arrivals
from chatbot.runtime.awaited import Awaited, Recovery
from chatbot.runtime.clock import Clock
from chatbot.runtime.confirmations import Confirmations
from chatbot.runtime.dialogs import Dialogs
from chatbot.runtime.files import PluginFiles
from chatbot.runtime.groups import GroupBook
from chatbot.runtime.handling import Handling
from chatbot.runtime.job_storage import JobStorage
from chatbot.runtime.jobs import Jobs
from chatbot.runtime.journal import Journal
from chatbot.runtime.layers import TELLING, RateLimit, logged
from chatbot.runtime.lifecycle import Lifecycle
from chatbot.runtime.limits import Cooldowns, TokenBuckets
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.observers import Observers
from chatbot.runtime.onions import build_generation
from chatbot.runtime.options import BotOptions
from chatbot.runtime.people import People
from chatbot.runtime.posting import Post
from chatbot.runtime.retention import Retention
from chatbot.runtime.scheduling import PluginScheduler
from chatbot.runtime.speech import Outlet
from chatbot.runtime.table import Table
from chatbot.runtime.threads import Threads
from chatbot.runtime.world import World

DRAIN_SECONDS: Final = 3.0
"""How long a stop or a reload waits for handlers that run."""

logger = logging.getLogger(__name__)


class Parts:
    """Everything of one bot that needs its account.

    Attributes:
        world: what handlers reach.
        inbox: where messages come from.
        started_at: ms.
    """

    def __init__(
        self,
        options: BotOptions,
        account: Account,
        loader: Loader,
        *,
        clock: Clock,
        metrics: Metrics,
        authenticated: Callable[[], bool],
    ) -> None:
        messenger, database = account.messenger, account.database
        outlet = Outlet(Post(messenger, metrics, images=options.client.images))
        self.started_at: Final = clock.now()
        self.threads = Threads(options.threads)
        self.world = World(
            account=account,
            journal=Journal(
                database,
                messenger.vault,
                post=outlet.post.post,
                ids=messenger.ids,
                clock=clock.now,
            ),
            outlet=outlet,
            people=People(account),
            groups=GroupBook(account.rest, clock=clock.now),
            files=PluginFiles(account.path / "plugins"),
            metrics=metrics,
            clock=clock,
            timezone=options.timezone,
            generation=build_generation(Table(), outlet.core),
            scheduler=lambda work, plugin: PluginScheduler(self.world, self.jobs, work, plugin),
        )
        self.permissions = Permissions(database, options.appointments, clock.now)
        self.cooldowns = Cooldowns(clock.now)
        self.inbox = Inbox(messenger.messages, self._handle)
        self.dialogs = Dialogs(self.world, self.inbox.in_turn)
        self.confirmations = Confirmations(self.world, self.inbox.in_turn)
        self.recovery = Recovery()
        arrivals = Arrivals(self.world, self.permissions, options.handling, authenticated)
        self.handling = Handling(
            self.world,
            arrivals,
            Awaited(self.world, arrivals, self.dialogs, self.confirmations, self.recovery),
            admission=self._admission(),
            dialogs=self.dialogs,
            confirmations=self.confirmations,
            recovery=self.recovery,
            threads=self.threads,
            options=options.handling,
            in_turn=self.inbox.in_turn,
        )
        storage = JobStorage(database, messenger.vault)
        self.jobs = Jobs(self.world, storage, self.threads, tries=options.handling.tries)
        self.retention = Retention(database, clock, options.keep)
        hooks = Hooks()
        self.observers = Observers(self.world, hooks, self.threads)
        limit = RateLimit(options.user_rate, options.chat_rate, metrics, clock.now)
        self.lifecycle = Lifecycle(
            self.world, loader, hooks, self.threads, self, shipped=(logged, limit)
        )

    async def open(self) -> None:
        """Read what is stored, and start the plugins. Nothing is handled yet."""
        self.recovery.begin(await self.world.journal.open())
        await self.permissions.open()
        await self.lifecycle.start()
        await self.jobs.adopt()

    def begin(self) -> None:
        """Handle messages, and fire jobs."""
        self.inbox.start()
        self.jobs.start()
        self.retention.start()

    async def close(self) -> None:
        """Let handlers and jobs end, but not for long; then stop the plugins."""
        self.handling.stop()
        self.jobs.stop()
        if not await self._drained(self.handling.drain(), self.jobs.drain()):
            logger.warning("handlers still run; what they do is done again after the next start")
        await self.inbox.close()
        await self.handling.close()
        await self.jobs.close()
        await self.retention.close()
        await self.lifecycle.stop()
        self.threads.close()
        await self.world.files.close()

    async def _drained(self, *waits: Any) -> bool:
        try:
            async with asyncio.timeout(DRAIN_SECONDS):
                await asyncio.gather(*waits)
        except TimeoutError:
            return False
        return True

    def _admission(self) -> Admission:
        world = self.world
        return Admission(
            permissions=self.permissions,
            cooldowns=self.cooldowns,
            told=TokenBuckets(TELLING, world.clock.now),
            metrics=world.metrics,
        )

    async def _handle(self, entry: InboxEntry) -> None:
        await self.handling.handle(entry)

    # ------------------------------------------------------------ while plugins change

    async def leaving(self, plugins: Collection[str], but: asyncio.Task[Any] | None) -> None:
        """These plugins are out of the table: end their dialogs, wait for their handlers."""
        await self.dialogs.end_all(plugins, "reloaded")
        if not await self._drained(self.handling.drain(but), self.jobs.drain(plugins)):
            self.handling.begin_anew(but)

    async def changed(self) -> None:
        """The table is another one: take its jobs, forget the cooldowns of what is gone."""
        table = self.world.table
        filters = (*table.before, *table.after)
        self.cooldowns.keep(e.key for e in (*table.commands.endpoints(), *filters))
        await self.jobs.adopt()
