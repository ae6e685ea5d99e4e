"""Moderation: warnings, bans, filters and a case log, for groups where the bot is admin.

What it does by itself about a message that anybody could have forged it only proposes, to the
group's moderators, in the encrypted chat. What the backend cannot do, `/moderation` says.
"""

from chatbot.plugins.builtin.moderation import commands, switches, watch
from chatbot.plugins.builtin.moderation.declared import plugin

__all__ = ["commands", "plugin", "switches", "watch"]
