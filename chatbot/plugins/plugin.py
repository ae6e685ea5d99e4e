"""Plugin: a name, and what its decorators recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

from chatbot.plugins import filters
from chatbot.plugins.access import Chats, RoleName
from chatbot.plugins.declarations import (
    Access,
    AnyDeclaration,
    CommandDeclaration,
    ConverterDeclaration,
    FilterDeclaration,
    GroupDeclaration,
    HookDeclaration,
    JobDeclaration,
    MiddlewareDeclaration,
    Misfire,
    ProviderDeclaration,
)
from chatbot.plugins.durations import Cooldown
from chatbot.plugins.filters import Filter
from chatbot.plugins.hookspecs import hookimpl
from chatbot.plugins.onion import Direction
from chatbot.plugins.source import Source, call_site, source_of

if TYPE_CHECKING:
    from pydantic import BaseModel

F = TypeVar("F", bound=Callable[..., Any])
Undo: TypeAlias = Callable[[], None]


class Commands:
    """What commands can be declared on: a plugin, and a group of commands."""

    __slots__ = ("_declarations", "_path")

    def __init__(self, declarations: list[AnyDeclaration], path: tuple[str, ...]) -> None:
        self._declarations = declarations
        self._path = path

    def command(
        self,
        name: str | None = None,
        *,
        aliases: Sequence[str] = (),
        description: str | None = None,
        cooldown: str | Cooldown | None = None,
        chats: Chats = "any",
        role: RoleName = "member",
        permission: str | None = None,
        privileged: bool | None = None,
        verified: bool = False,
        timeout: str | timedelta | None = None,
        hidden: bool = False,
    ) -> Callable[[F], F]:
        """Declare a command. Its parameters are its arguments, its docstring is its help.

        Args:
            name: what is typed behind the prefix; the function's name unless it is given, without
                the underscore that keeps `list_` from hiding what Python calls `list`.
            aliases: other names for it.
            description: instead of the docstring.
            cooldown: how often: "5/10s" for each user, or a `Cooldown`.
            chats: where.
            role: the least role that may use it without a grant.
            permission: what grants and denials call it; `plugin.name` unless it is given.
            privileged: who wrote must be proven, by an encrypted message from a pinned identity
                (in groups by a confirmation); true for every role above member unless it is given.
            verified: besides, the sender's fingerprint must have been verified.
            timeout: how long one call may take, waiting for answers not counted.
            hidden: not shown in help.
        """

        def declare(function: F) -> F:
            declared = name if name is not None else _name_of(function)
            self._declarations.append(
                CommandDeclaration(
                    function=function,
                    source=source_of(function),
                    path=(*self._path, declared),
                    aliases=tuple(aliases),
                    description=description,
                    access=Access(chats=chats, role=role, privileged=privileged, verified=verified),
                    permission=permission,
                    cooldown=cooldown,
                    timeout=timeout,
                    hidden=hidden,
                )
            )
            return function

        return declare

    def group(
        self,
        name: str,
        *,
        aliases: Sequence[str] = (),
        description: str | None = None,
        chats: Chats = "any",
        role: RoleName = "member",
        privileged: bool | None = None,
        verified: bool = False,
        hidden: bool = False,
    ) -> CommandGroup:
        """Declare a name for commands below it.

            @plugin.group("tag")
            async def tag(ctx: Context) -> str: ...         # what /tag alone does

            @tag.command("add")
            async def add(ctx: Context, name: str, text: Rest) -> str: ...

        Without a function, `tag = plugin.group("tag")`, the name alone lists what is below it.
        What a group asks of its users, all commands below it ask too.
        """
        path = (*self._path, name)
        self._declarations.append(
            GroupDeclaration(
                path=path,
                source=call_site(),
                aliases=tuple(aliases),
                description=description,
                access=Access(chats=chats, role=role, privileged=privileged, verified=verified),
                hidden=hidden,
            )
        )
        return CommandGroup(self._declarations, path)


class CommandGroup(Commands):
    """Commands below a common name."""

    __slots__ = ()

    def __call__(self, function: Callable[..., Any]) -> CommandGroup:
        """Declare `function` as what the group's name alone does."""
        self._declarations.append(
            CommandDeclaration(function=function, source=source_of(function), path=self._path)
        )
        return self


class Plugin(Commands):
    """A plugin. Making one and decorating functions does nothing but record.

    Attributes:
        name: of letters, digits, `-` and `_`; its section in the configuration.
        config: the pydantic model of `[plugins.NAME]`; an instance is given to whoever asks.
        requires: plugins whose providers and converters it uses; they start before it.
        migrations: SQL scripts that make its own SQLite file, each run once, in order.
        source: where it was made.
    """

    __slots__ = ("config", "description", "migrations", "name", "requires", "source", "version")

    def __init__(
        self,
        name: str,
        *,
        description: str = "",
        version: str = "",
        config: type[BaseModel] | None = None,
        requires: Sequence[str] = (),
        migrations: Sequence[str] = (),
    ) -> None:
        super().__init__([], ())
        self.name = name
        self.description = description
        self.version = version
        self.config = config
        self.requires = tuple(requires)
        self.migrations = tuple(migrations)
        self.source: Source = call_site()

    def __repr__(self) -> str:
        return f"Plugin({self.name!r})"

    @property
    def declarations(self) -> tuple[AnyDeclaration, ...]:
        """What was declared so far, in order."""
        return tuple(self._declarations)

    @hookimpl
    def chatbot_declare(self) -> Plugin:
        """Offer itself: a `Plugin` is a pluggy plugin too."""
        return self

    def add(self, declaration: AnyDeclaration) -> Undo:
        """Record a declaration made by hand; calling what is returned takes it out again."""
        self._declarations.append(declaration)
        return lambda: self._declarations.remove(declaration)

    def filter(
        self,
        condition: Filter | None = None,
        *,
        regex: str | None = None,
        text: str | None = None,
        chats: Chats = "any",
        priority: int = 0,
        stop: bool = True,
        cooldown: str | Cooldown | None = None,
        timeout: str | timedelta | None = None,
    ) -> Callable[[F], F]:
        r"""Declare a handler for messages that are like this; all conditions must hold.

        Filters are asked from the highest priority to the lowest, those of one priority in the
        order of declaration. Commands have priority 0 and come before filters of the same: a
        message that is a command is only seen by filters of a higher one.

        Args:
            condition: any combination of `chatbot.filters`.
            regex: found somewhere in the text; named groups become parameters.
            text: the whole text, whatever the case of its letters.
            chats: where.
            priority: see above.
            stop: whether the message is done with then; otherwise the next one is asked too.
            cooldown: how often: "5/10s" for each user; beyond it the handler is silently skipped.
            timeout: how long one call may take, waiting for answers not counted.
        """
        conditions = [
            *([condition] if condition is not None else []),
            *([filters.chats(chats)] if chats != "any" else []),
            *([filters.text(equals=text)] if text is not None else []),
            *([filters.regex(regex)] if regex is not None else []),
        ]

        def declare(function: F) -> F:
            self._declarations.append(
                FilterDeclaration(
                    function=function,
                    source=source_of(function),
                    condition=filters.every(*conditions),
                    priority=priority,
                    stop=stop,
                    cooldown=cooldown,
                    timeout=timeout,
                )
            )
            return function

        return declare

    def job(
        self,
        name: str | None = None,
        *,
        cron: str | None = None,
        every: str | timedelta | None = None,
        at: str | datetime | None = None,
        jitter: str | timedelta | None = None,
        misfire: Misfire = "run-once",
        timezone: str | None = None,
        timeout: str | timedelta | None = None,
    ) -> Callable[[F], F]:
        """Declare a job. It never overlaps itself, and a restart keeps its next run.

        With none of `cron`, `every` and `at` it only runs when `Scheduler.schedule` names it;
        then its parameters that are not injected are filled from the arguments given there.

        Args:
            name: the function's name unless it is given, as with commands.
            cron: five fields as crontab has them; names of days and months may be used.
            every: so often: "10m".
            at: once: "2026-03-01 09:00", or a datetime.
            jitter: run up to so much later, by chance.
            misfire: what becomes of runs missed while the bot was down: none, one for all of
                them, or each of them (up to a limit).
            timezone: an IANA name, instead of the bot's.
            timeout: how long one run may take.
        """

        def declare(function: F) -> F:
            self._declarations.append(
                JobDeclaration(
                    function=function,
                    source=source_of(function),
                    name=name if name is not None else _name_of(function),
                    cron=cron,
                    every=every,
                    at=at,
                    jitter=jitter,
                    misfire=misfire,
                    timezone=timezone,
                    timeout=timeout,
                )
            )
            return function

        return declare

    def middleware(self, direction: Direction, *, order: int = 0) -> Callable[[F], F]:
        """Declare a middleware around every message, in or out (see `chatbot.plugins.onion`).

        Args:
            direction: messages in, or messages out.
            order: lower is further out; those of one order in the order of loading.
        """

        def declare(function: F) -> F:
            source = source_of(function)
            self._declarations.append(
                MiddlewareDeclaration(
                    function=function, source=source, direction=direction, order=order
                )
            )
            return function

        return declare

    def provider(self, kind: object) -> Callable[[F], F]:
        """Declare that the function makes what parameters annotated `kind` are given.

        It is called for each handler call, sync or async, with whatever it asks for by type.
        Plugins that require this one may ask for `kind` too.
        """

        def declare(function: F) -> F:
            source = source_of(function)
            self._declarations.append(
                ProviderDeclaration(function=function, source=source, kind=kind)
            )
            return function

        return declare

    def converter(self, kind: object, *, expected: str | None = None) -> Callable[[F], F]:
        """Declare that the function reads arguments annotated `kind`.

        Its first parameter is the text; others are given by type. It raises ValueError for text
        that is not a `kind`, or `UsageError` to say why in its own words.

        Args:
            kind: the type.
            expected: what to type, in words that fit behind "expected"; its name unless given.
        """

        def declare(function: F) -> F:
            source = source_of(function)
            self._declarations.append(
                ConverterDeclaration(function=function, source=source, kind=kind, expected=expected)
            )
            return function

        return declare

    def on(self, event: type) -> Callable[[F], F]:
        """Declare an observer of one of `chatbot.events`; it may ask for the event by type."""

        def declare(function: F) -> F:
            source = source_of(function)
            self._declarations.append(
                HookDeclaration(function=function, source=source, hook="event", event=event)
            )
            return function

        return declare

    def startup(self, function: F) -> F:
        """Declare what runs before the first message; where it raises, the plugin is left out."""
        self._declarations.append(
            HookDeclaration(function=function, source=source_of(function), hook="startup")
        )
        return function

    def shutdown(self, function: F) -> F:
        """Declare what runs behind the last message, if the start succeeded."""
        self._declarations.append(
            HookDeclaration(function=function, source=source_of(function), hook="shutdown")
        )
        return function


def _name_of(function: Callable[..., Any]) -> str:
    name = getattr(function, "__name__", "")
    return name.rstrip("_") if name.isidentifier() else ""
