"""Chat bots, and a client, for an end-to-end encrypted messenger.

Everything a plugin or a program needs is a name of this package. Nothing is imported before its
name is used: `import chatbot` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from chatbot.version import __version__

if TYPE_CHECKING:
    from chatbot.client.client import WhatsAppClient
    from chatbot.client.models import Image, Message, User
    from chatbot.plugins import events, filters
    from chatbot.plugins.access import Decision, Grant, Role, RoleName
    from chatbot.plugins.context import Bot, CommandInfo, Context, Group
    from chatbot.plugins.control import ControlError, PermissionControl, PluginControl, Status
    from chatbot.plugins.durations import Cooldown
    from chatbot.plugins.errors import DialogEnded, UsageError
    from chatbot.plugins.filters import Filter
    from chatbot.plugins.hookspecs import hookimpl
    from chatbot.plugins.markers import Range, Rest, Url
    from chatbot.plugins.onion import InboundNext, OutboundNext, Outgoing
    from chatbot.plugins.people import Chat, Member
    from chatbot.plugins.plugin import CommandGroup, Plugin
    from chatbot.plugins.replies import Answer, Content, Reply
    from chatbot.plugins.services import ScheduledJob, Scheduler, Sql, Store

__all__ = [
    "Answer",
    "Bot",
    "Chat",
    "CommandGroup",
    "CommandInfo",
    "Content",
    "Context",
    "ControlError",
    "Cooldown",
    "Decision",
    "DialogEnded",
    "Filter",
    "Grant",
    "Group",
    "Image",
    "InboundNext",
    "Member",
    "Message",
    "OutboundNext",
    "Outgoing",
    "PermissionControl",
    "Plugin",
    "PluginControl",
    "Range",
    "Reply",
    "Rest",
    "Role",
    "RoleName",
    "ScheduledJob",
    "Scheduler",
    "Sql",
    "Status",
    "Store",
    "Url",
    "UsageError",
    "User",
    "WhatsAppClient",
    "__version__",
    "events",
    "filters",
    "hookimpl",
]

_HOMES: Final = MappingProxyType(
    {
        "chatbot.client.client": ("WhatsAppClient",),
        "chatbot.client.models": ("Image", "Message", "User"),
        "chatbot.plugins": ("events", "filters"),
        "chatbot.plugins.access": ("Decision", "Grant", "Role", "RoleName"),
        "chatbot.plugins.context": ("Bot", "CommandInfo", "Context", "Group"),
        "chatbot.plugins.control": (
            "ControlError",
            "PermissionControl",
            "PluginControl",
            "Status",
        ),
        "chatbot.plugins.durations": ("Cooldown",),
        "chatbot.plugins.errors": ("DialogEnded", "UsageError"),
        "chatbot.plugins.filters": ("Filter",),
        "chatbot.plugins.hookspecs": ("hookimpl",),
        "chatbot.plugins.markers": ("Range", "Rest", "Url"),
        "chatbot.plugins.onion": ("InboundNext", "OutboundNext", "Outgoing"),
        "chatbot.plugins.people": ("Chat", "Member"),
        "chatbot.plugins.plugin": ("CommandGroup", "Plugin"),
        "chatbot.plugins.replies": ("Answer", "Content", "Reply"),
        "chatbot.plugins.services": ("ScheduledJob", "Scheduler", "Sql", "Store"),
    }
)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    for home, names in _HOMES.items():
        if name in names:
            value = globals()[name] = _fetch(home, name)
            return value
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    """The public names, whether imported yet or not."""
    return __all__


def _fetch(home: str, name: str) -> object:
    module = import_module(home)
    if hasattr(module, name):
        return getattr(module, name)
    return import_module(f"{home}.{name}")
