"""What a plugin is once it is compiled: everything ready to be called, nothing left to look up."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

import msgspec

from chatbot.plugins.access import Rule
from chatbot.plugins.arguments import ArgumentParser
from chatbot.plugins.context import CommandInfo, Context
from chatbot.plugins.conversion import Converter
from chatbot.plugins.declarations import HookName, Misfire
from chatbot.plugins.durations import Limit
from chatbot.plugins.errors import UsageError
from chatbot.plugins.filters import Captures, Check
from chatbot.plugins.injection import Plan
from chatbot.plugins.onion import Direction
from chatbot.plugins.parameters import MISSING, Argument, Parameter
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.providers import Types
from chatbot.plugins.source import Source

HandlerKind: TypeAlias = Literal["async", "sync", "stream"]
InThread: TypeAlias = Callable[[Callable[[], Any]], Awaitable[Any]]
"""Runs a blocking call off the event loop."""


class Call(msgspec.Struct, frozen=True, eq=False):
    """A handler together with its arguments.

    Attributes:
        kind: `sync` blocks and belongs in a thread; `stream` is an async generator.
    """

    function: Callable[..., Any]
    positional: list[Any]
    options: dict[str, Any]
    kind: HandlerKind

    def __repr__(self) -> str:
        return f"Call({self.function!r})"  # arguments are what people wrote

    async def run(self, in_thread: InThread) -> Any:
        """Run it. What it returns is an `Answer`, if the author kept to the rules.

        An async iterator has not begun yet: iterating it runs the handler.
        """
        if self.kind == "sync":
            result = await in_thread(partial(self.function, *self.positional, **self.options))
        else:
            result = self.function(*self.positional, **self.options)
        if inspect.isawaitable(result) and not isinstance(result, AsyncIterator):
            return await result
        return result


@dataclass(frozen=True, slots=True)
class Handler:
    """An author's function, and where the values of its parameters come from."""

    plan: Plan
    kind: HandlerKind

    async def bind(self, scope: Any, read: Mapping[str, Any] = MappingProxyType({})) -> Call:
        """The call for one message, job run or event.

        Args:
            scope: what providers are called with.
            read: the values that are not given, by parameter name.
        """
        positional, options = await self.plan.fill(scope, read)
        return Call(self.plan.function, positional, options, self.kind)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Endpoint:
    """Something of a plugin's that can be called.

    Attributes:
        key: names it in journals: unique in the bot, the same after a restart or reload.
        plugin: the plugin's name.
        timeout: how long one call may take, in ms; None for the runtime's own limit.
    """

    key: str
    plugin: str
    source: Source
    handler: Handler = field(repr=False)
    timeout: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommandEndpoint(Endpoint):
    """A command.

    Attributes:
        path: its name, behind those of its groups.
        rule: what it asks of its users, its groups' demands included.
    """

    path: tuple[str, ...]
    aliases: tuple[str, ...]
    rule: Rule
    limit: Limit | None
    parser: ArgumentParser = field(repr=False)
    hidden: bool = False
    description: str = ""

    @property
    def name(self) -> str:
        """With its groups: `tag add`."""
        return " ".join(self.path)

    def usage(self, prefix: str) -> str:
        """How it is typed: `/roll [sides=6] [count=1]`."""
        return f"{prefix}{self.name} {self.parser.usage}".rstrip()

    def info(self) -> CommandInfo:
        """What help shows of it."""
        return CommandInfo(
            name=self.name,
            plugin=self.plugin,
            permission=self.rule.permission,
            usage=self.usage(""),
            summary=self.description.partition("\n")[0],
            description=self.description,
            aliases=self.aliases,
            arguments=self.parser.describe(),
            chats=self.rule.chats,
            role=self.rule.role,
            hidden=self.hidden,
        )

    async def bind(self, text: str, ctx: Context) -> Call:
        """The call for what was typed behind the command's name.

        Raises:
            UsageError: it does not fit the parameters.
        """
        return await self.handler.bind(ctx, await self.parser.parse(text, ctx))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CommandGroupEntry:
    """A name that commands hang below."""

    plugin: str
    source: Source
    path: tuple[str, ...]
    aliases: tuple[str, ...] = ()
    description: str = ""
    hidden: bool = False


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class FilterEndpoint(Endpoint):
    """A handler for messages that a filter lets through.

    Attributes:
        check: the compiled filter.
        stop: whether the message is done with then.
        captured: the parameters that named groups fill.
        rule: denials may name it as they name commands: `plugin.function`.
    """

    check: Check = field(repr=False)
    priority: int
    stop: bool
    rule: Rule
    limit: Limit | None
    captured: tuple[Argument, ...] = ()

    async def bind(self, captures: Captures, ctx: Context) -> Call | None:
        """The call for a message that passed; None where what was captured does not convert."""
        try:
            read = {a.name: await _captured(a, captures.get(a.name), ctx) for a in self.captured}
        except (ValueError, UsageError):
            return None
        return await self.handler.bind(ctx, read)


async def _captured(argument: Argument, text: str | None, ctx: Context) -> Any:
    if text is not None:
        return await argument.converter.read(text, ctx)
    if argument.required:
        raise ValueError("this group took no part in the match")
    return argument.default


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """When a job runs by itself; exactly one of the first three is set.

    Attributes:
        cron: five fields.
        every: ms.
        at: ISO 8601, or a datetime; without a zone in the job's.
        jitter: ms.
        timezone: an IANA name, None for the bot's.
    """

    cron: str | None = None
    every: int | None = None
    at: str | datetime | None = None
    jitter: int = 0
    timezone: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class JobEndpoint(Endpoint):
    """A job.

    Attributes:
        schedule: None for one that only runs when it is scheduled.
        data: its parameters that are filled from the arguments it was scheduled with.
    """

    name: str
    schedule: Schedule | None
    misfire: Misfire
    data: tuple[Parameter, ...] = ()

    def read(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The values of its data parameters: JSON values made what the annotations say.

        Raises:
            TypeError: one is missing, unknown, or not of its parameter's type.
        """
        names = {parameter.name for parameter in self.data}
        if unknown := sorted(arguments.keys() - names):
            raise TypeError(f"job {self.name!r} takes no {', '.join(unknown)}")
        return {p.name: self._value(p, arguments) for p in self.data}

    def _value(self, parameter: Parameter, arguments: Mapping[str, Any]) -> Any:
        if parameter.name not in arguments:
            if parameter.default is MISSING:
                raise TypeError(f"job {self.name!r} needs {parameter.name}")
            return parameter.default
        try:
            return msgspec.convert(arguments[parameter.name], parameter.hint)
        except msgspec.ValidationError as error:
            raise TypeError(f"job {self.name!r}, {parameter.name}: {error}") from None

    async def bind(self, scope: Any, arguments: Mapping[str, Any]) -> Call:
        """The call for one run; raises what `read` raises."""
        return await self.handler.bind(scope, self.read(arguments))


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class HookEndpoint(Endpoint):
    """A `startup`, `shutdown` or event function; the scope of the last has the `event`."""

    hook: HookName
    event: type | None = None


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class MiddlewareEntry:
    """A middleware and its place."""

    plugin: str
    source: Source
    function: Callable[..., Any]
    direction: Direction
    order: int = 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class CompiledPlugin:
    """All of a plugin, compiled.

    Attributes:
        config: the validated model, None where it has none.
        types: all that its handlers may ask for.
        exports: what plugins that require it may ask for too.
    """

    plugin: Plugin
    config: object = field(default=None, repr=False)
    types: Types = field(repr=False)
    exports: Types = field(repr=False)
    commands: tuple[CommandEndpoint, ...] = ()
    groups: tuple[CommandGroupEntry, ...] = ()
    filters: tuple[FilterEndpoint, ...] = ()
    jobs: tuple[JobEndpoint, ...] = ()
    hooks: tuple[HookEndpoint, ...] = ()
    middleware: tuple[MiddlewareEntry, ...] = ()

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.plugin.name

    @property
    def converters(self) -> Mapping[object, Converter]:
        """What reads arguments here, `ctx.ask` included."""
        return self.types.converters
