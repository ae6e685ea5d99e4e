"""What decorators record: plain facts, checked and compiled when the plugin is loaded.

Nothing here is looked into while a plugin's module is imported, so that all that is wrong with it
can be told at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal, TypeAlias

from chatbot.plugins.durations import Cooldown
from chatbot.plugins.filters import Filter
from chatbot.plugins.source import Source

Misfire: TypeAlias = Literal["skip", "run-once", "run-all"]
"""What becomes of runs that were missed while the bot was down."""

HookName: TypeAlias = Literal["startup", "shutdown", "event"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Declaration:
    """A function of the author's, and where it is declared."""

    function: Callable[..., Any]
    source: Source


@dataclass(frozen=True, slots=True, kw_only=True)
class Access:
    """What a command asks of its users, as it was written; commands below a group add to it."""

    chats: str = "any"
    role: str = "member"
    privileged: bool | None = None
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class GroupDeclaration:
    """`@plugin.group`: a name that commands hang below."""

    path: tuple[str, ...]
    source: Source
    aliases: tuple[str, ...] = ()
    description: str | None = None
    access: Access = Access()
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandDeclaration(Declaration):
    """`@plugin.command`, `@group.command`; with a group's own path, what its name alone does."""

    path: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    description: str | None = None
    access: Access = Access()
    permission: str | None = None
    cooldown: str | Cooldown | None = None
    timeout: str | timedelta | None = None
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class FilterDeclaration(Declaration):
    """`@plugin.filter`."""

    condition: Filter
    priority: int = 0
    stop: bool = True
    cooldown: str | Cooldown | None = None
    timeout: str | timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class JobDeclaration(Declaration):
    """`@plugin.job`. Without a time of its own it only runs when it is scheduled."""

    name: str
    cron: str | None = None
    every: str | timedelta | None = None
    at: str | datetime | None = None
    jitter: str | timedelta | None = None
    misfire: str = "run-once"
    timezone: str | None = None
    timeout: str | timedelta | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MiddlewareDeclaration(Declaration):
    """`@plugin.middleware`."""

    direction: str
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class ProviderDeclaration(Declaration):
    """`@plugin.provider`."""

    kind: object


@dataclass(frozen=True, slots=True, kw_only=True)
class ConverterDeclaration(Declaration):
    """`@plugin.converter`."""

    kind: object
    expected: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HookDeclaration(Declaration):
    """`@plugin.startup`, `@plugin.shutdown`, `@plugin.on(Event)`."""

    hook: HookName
    event: type | None = None


AnyDeclaration: TypeAlias = Declaration | GroupDeclaration
