"""Where a handler runs: the bot and the plugins' services, for one handler in one run."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from chatbot.plugins.context import Bot
from chatbot.plugins.events import Event
from chatbot.plugins.services import Scheduler, Services, Sql, Store
from chatbot.runtime.bot import RunningBot
from chatbot.runtime.files import PluginSql
from chatbot.runtime.journal import Work
from chatbot.runtime.speech import Speech
from chatbot.runtime.stores import PluginStore
from chatbot.runtime.world import World


@dataclass(frozen=True, slots=True)
class PluginServices:
    """One plugin's services (`Services`), made when they are asked for."""

    world: World
    work: Work
    plugin: str

    @property
    def store(self) -> Store:
        """Its sealed key-value store."""
        return PluginStore(self.world.journal.values, self.work, self.plugin)

    @property
    def sql(self) -> Sql:
        """Its own SQLite file."""
        return PluginSql(self.world.files, self.plugin)

    @property
    def scheduler(self) -> Scheduler:
        """Schedules its jobs."""
        return self.world.scheduler(self.work, self.plugin)

    @property
    def logger(self) -> logging.Logger:
        """Named after it."""
        return logging.getLogger(f"plugin.{self.plugin}")


class RunScope:
    """A handler's surroundings (`Scope`).

    Attributes:
        world: the bot's parts.
        work: what the handler does is done through it.
        plugin: whose handler it is.
    """

    __slots__ = ("plugin", "work", "world")

    def __init__(self, world: World, work: Work, plugin: str) -> None:
        self.world = world
        self.work = work
        self.plugin = plugin

    @property
    def bot(self) -> Bot:
        """The running bot."""
        return RunningBot(self.world, self.speech, self)

    @property
    def speech(self) -> Speech:
        """How it speaks."""
        return Speech(self.world.outlet, self.work, self.plugin)

    def services(self, plugin: str) -> Services:
        """The services of that plugin."""
        return PluginServices(self.world, self.work, plugin)


class EventScope(RunScope):
    """The surroundings of an observer; `event` is what it observes."""

    __slots__ = ("event",)

    def __init__(self, world: World, work: Work, plugin: str, event: Event) -> None:
        super().__init__(world, work, plugin)
        self.event = event
