"""The plugin itself, and what its handlers are given; the handlers are in the files beside it."""

from __future__ import annotations

import logging

from chatbot.plugins.builtin.broadcast.announcer import Announcer, When
from chatbot.plugins.builtin.broadcast.audiences import Audiences
from chatbot.plugins.builtin.broadcast.config import BroadcastConfig
from chatbot.plugins.builtin.broadcast.courier import Courier
from chatbot.plugins.builtin.broadcast.ledger import Ledger
from chatbot.plugins.builtin.broadcast.times import EXPECTED, parse_when
from chatbot.plugins.context import Bot
from chatbot.plugins.control import Broadcaster
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.services import Scheduler, Store

plugin = Plugin(
    "broadcast", description="Announcements to many people, each encrypted", config=BroadcastConfig
)


@plugin.provider(Ledger)
def provide_ledger(store: Store) -> Ledger:
    """For one handler's call."""
    return Ledger(store)


@plugin.provider(Audiences)
def provide_audiences(bot: Bot, store: Store, config: BroadcastConfig) -> Audiences:
    """For one handler's call."""
    return Audiences(bot, store, config)


@plugin.provider(Announcer)
def provide_announcer(
    bot: Bot, store: Store, config: BroadcastConfig, scheduler: Scheduler
) -> Announcer:
    """For one handler's call."""
    return Announcer(bot, Ledger(store), Audiences(bot, store, config), scheduler)


@plugin.provider(Broadcaster)
def provide_broadcaster(
    bot: Bot, store: Store, config: BroadcastConfig, scheduler: Scheduler
) -> Broadcaster:
    """What `Bot.broadcast` of every plugin comes to."""
    return provide_announcer(bot, store, config, scheduler)


@plugin.provider(Courier)
def provide_courier(
    bot: Bot, store: Store, config: BroadcastConfig, scheduler: Scheduler, logger: logging.Logger
) -> Courier:
    """For one batch."""
    return Courier(bot, Ledger(store), Audiences(bot, store, config), scheduler, config, logger)


@plugin.converter(When, expected=EXPECTED)
def read_when(text: str, bot: Bot) -> When:
    """Read when something is to be announced."""
    return parse_when(text, bot.now())
