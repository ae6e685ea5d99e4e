"""What a message must be like: small conditions, joined with `&`, `|` and `~`.

    @plugin.filter(filters.group & filters.regex(r"#(?P<number>[0-9]+)") & ~filters.media())
    async def issue(ctx: Context, number: int) -> str: ...

The named groups of a regular expression become parameters of the handler, read as a command's
arguments are. A filter only declares; it is compiled once, when its plugin is loaded.

Filters choose handlers. They are **not permission checks**: a sender's name is anybody's word on a
message that is not encrypted. `role`, `encrypted` and `verified` ask what the message proves.
"""

from __future__ import annotations

import operator
import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from functools import reduce
from typing import Final, TypeAlias

from chatbot.plugins.access import ROLES, ChatKind, Role, RoleName
from chatbot.plugins.context import Context
from chatbot.plugins.errors import DeclarationError

REGEX_INPUT: Final = 2_000
"""How many characters of a message a regular expression is shown.

A bound on honest patterns. A pattern that backtracks exponentially (`(a+)+$`) hangs on thirty:
do not write one.
"""

_ANYWHERE: Final[frozenset[ChatKind]] = frozenset({"direct", "group"})

Captures: TypeAlias = dict[str, str | None]
Check: TypeAlias = Callable[[Context, Captures], bool]
"""A compiled filter: whether the message matches; named groups are put into the captures."""


class Filter(ABC):
    """A condition on a message."""

    __slots__ = ()

    @abstractmethod
    def compile(self) -> Check:
        """The check to run for each message.

        Raises:
            DeclarationError: a bad pattern, an unknown role or chat kind.
        """

    def captures(self) -> frozenset[str]:
        """The named groups it may put into the captures."""
        return frozenset()

    def certain(self) -> frozenset[str]:
        """Those of them that are there whenever it matches (if perhaps as None)."""
        return frozenset()

    def places(self) -> frozenset[ChatKind]:
        """The kinds of chat in which it can hold."""
        return _ANYWHERE

    def __and__(self, other: Filter) -> Filter:
        return _And(self, other)

    def __or__(self, other: Filter) -> Filter:
        return _Or(self, other)

    def __invert__(self) -> Filter:
        return _Not(self)


@dataclass(frozen=True, slots=True)
class _And(Filter):
    left: Filter
    right: Filter

    def compile(self) -> Check:
        left, right = self.left.compile(), self.right.compile()
        return lambda ctx, captures: left(ctx, captures) and right(ctx, captures)

    def captures(self) -> frozenset[str]:
        return self.left.captures() | self.right.captures()

    def certain(self) -> frozenset[str]:
        return self.left.certain() | self.right.certain()

    def places(self) -> frozenset[ChatKind]:
        return self.left.places() & self.right.places()


@dataclass(frozen=True, slots=True)
class _Or(Filter):
    left: Filter
    right: Filter

    def compile(self) -> Check:
        left, right = _isolated(self.left.compile()), _isolated(self.right.compile())
        return lambda ctx, captures: left(ctx, captures) or right(ctx, captures)

    def captures(self) -> frozenset[str]:
        return self.left.captures() | self.right.captures()

    def certain(self) -> frozenset[str]:
        return self.left.certain() & self.right.certain()

    def places(self) -> frozenset[ChatKind]:
        return self.left.places() | self.right.places()


@dataclass(frozen=True, slots=True)
class _Not(Filter):
    inner: Filter

    def compile(self) -> Check:
        inner = self.inner.compile()
        return lambda ctx, _captures: not inner(ctx, {})

    def places(self) -> frozenset[ChatKind]:
        return _ANYWHERE - self.inner.places() if isinstance(self.inner, _Chats) else _ANYWHERE


@dataclass(frozen=True, slots=True)
class _Predicate(Filter):
    holds: Callable[[Context], bool]

    def compile(self) -> Check:
        holds = self.holds
        return lambda ctx, _captures: bool(holds(ctx))


@dataclass(frozen=True, slots=True)
class _Regex(Filter):
    pattern: str
    flags: int = 0

    def compile(self) -> Check:
        search = self._compiled().search

        def check(ctx: Context, captures: Captures) -> bool:
            found = search(ctx.message.content[:REGEX_INPUT])
            if found is not None:
                captures.update(found.groupdict())
            return found is not None

        return check

    def captures(self) -> frozenset[str]:
        return frozenset(self._compiled().groupindex)

    def certain(self) -> frozenset[str]:
        return self.captures()

    def _compiled(self) -> re.Pattern[str]:
        try:
            return re.compile(self.pattern, self.flags)
        except re.error as error:
            raise DeclarationError(f"bad regular expression {self.pattern!r}: {error}") from error


@dataclass(frozen=True, slots=True)
class _Role(Filter):
    name: str

    def compile(self) -> Check:
        if self.name not in ROLES:
            raise DeclarationError(f"unknown role {self.name!r}; roles are {', '.join(ROLES)}")
        least: Role = ROLES[self.name]
        return lambda ctx, _captures: ctx.role >= least


@dataclass(frozen=True, slots=True)
class _Chats(Filter):
    kind: ChatKind

    def compile(self) -> Check:
        if self.kind not in _ANYWHERE:
            raise DeclarationError(f'unknown kind of chat {self.kind!r}: "direct" or "group"')
        kind = self.kind
        return lambda ctx, _captures: ctx.chat.kind == kind

    def places(self) -> frozenset[ChatKind]:
        return frozenset({self.kind})


def predicate(holds: Callable[[Context], bool]) -> Filter:
    """Any condition of your own: a quick function without side effects."""
    return _Predicate(holds)


def regex(pattern: str, flags: int | re.RegexFlag = 0) -> Filter:
    """The pattern is found somewhere in the first `REGEX_INPUT` characters of the text."""
    return _Regex(pattern, int(flags))


def text(
    *, equals: str | None = None, contains: str | None = None, starts: str | None = None
) -> Filter:
    """The text is, holds or starts with this, whatever the case of its letters."""
    whole, part, start = (
        None if wanted is None else wanted.casefold() for wanted in (equals, contains, starts)
    )

    def holds(ctx: Context) -> bool:
        found = ctx.message.content.strip().casefold()
        return (
            (whole is None or found == whole)
            and (part is None or part in found)
            and (start is None or found.startswith(start))
        )

    return _Predicate(holds)


def chats(kind: ChatKind) -> Filter:
    """Written 1:1, or in a group."""
    return _Chats(kind)


def sender(*names_or_ids: str) -> Filter:
    """Written by one of these usernames or user ids, or by somebody who claims to be."""
    wanted = frozenset(name.removeprefix("@") for name in names_or_ids)
    return _Predicate(lambda ctx: ctx.user.id in wanted or ctx.user.username in wanted)


def role(least: RoleName) -> Filter:
    """The message proves that its writer has at least this role."""
    return _Role(least)


def media(*kinds: str) -> Filter:
    """It carries one of these kinds of media ("image"), or any at all."""
    wanted = frozenset(kinds)
    return _Predicate(
        lambda ctx: ctx.message.type in wanted if wanted else ctx.message.type != "text"
    )


direct: Final[Filter] = _Chats("direct")
"""Written 1:1."""

group: Final[Filter] = _Chats("group")
"""Written in a group."""

encrypted: Final[Filter] = _Predicate(lambda ctx: ctx.message.is_encrypted)
"""It came end-to-end encrypted."""

verified: Final[Filter] = _Predicate(lambda ctx: ctx.is_verified)
"""It came encrypted from an identity whose fingerprint was verified."""


def _isolated(check: Check) -> Check:
    """What an alternative captured before it failed does not leak into the next one."""

    def checked(ctx: Context, captures: Captures) -> bool:
        found: Captures = {}
        if matched := check(ctx, found):
            captures.update(found)
        return matched

    return checked


def every(*conditions: Filter) -> Filter:
    """All of them; with none, any message."""
    return reduce(operator.and_, conditions) if conditions else _Predicate(lambda _ctx: True)
