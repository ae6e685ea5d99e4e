"""What all plugins of one bot have in common, and what a handler runs with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, tzinfo

from chatbot.client.account import Account
from chatbot.plugins.services import Scheduler
from chatbot.runtime.clock import Clock
from chatbot.runtime.files import PluginFiles
from chatbot.runtime.generation import Generation
from chatbot.runtime.groups import GroupBook
from chatbot.runtime.journal import Journal, Work
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.people import People
from chatbot.runtime.speech import Outlet
from chatbot.runtime.table import Table


@dataclass(slots=True, kw_only=True)
class World:
    """One bot's parts that handlers reach.

    Attributes:
        generation: the present plugins; a reload puts other ones here.
        scheduler: makes the scheduler of a plugin, for what a handler does.
    """

    account: Account
    journal: Journal
    outlet: Outlet
    people: People
    groups: GroupBook
    files: PluginFiles
    metrics: Metrics
    clock: Clock
    timezone: tzinfo
    generation: Generation
    scheduler: Callable[[Work, str], Scheduler]

    @property
    def table(self) -> Table:
        """All that the present plugins declare."""
        return self.generation.table

    def now(self) -> datetime:
        """Aware, in the bot's zone."""
        return datetime.fromtimestamp(self.clock.now() / 1000, self.timezone)
