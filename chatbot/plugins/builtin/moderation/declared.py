"""The plugin itself, and what its handlers are given; the handlers are in the files beside it."""

from __future__ import annotations

import logging
from typing import Final

from chatbot.plugins.builtin.moderation.config import ModerationConfig
from chatbot.plugins.builtin.moderation.warden import Warden
from chatbot.plugins.context import Bot
from chatbot.plugins.control import PermissionControl
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.services import Store

LIMITS: Final = (
    "Messages that were written stay: the backend lets nobody delete those of others, so a filter "
    "can only warn and remove people. Nor does it tell of people who join: I look every half "
    "minute, and welcome or remove them then."
)

plugin = Plugin(
    "moderation",
    description="Warnings, bans and filters for groups where the bot is admin",
    config=ModerationConfig,
)


@plugin.provider(Warden)
def provide_warden(
    bot: Bot,
    store: Store,
    config: ModerationConfig,
    control: PermissionControl,
    logger: logging.Logger,
) -> Warden:
    """Acts for one handler's call."""
    return Warden(bot, store, config, control, logger)
