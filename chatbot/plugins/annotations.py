"""From a parameter's annotation to the converter that reads it."""

from __future__ import annotations

import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from enum import Enum
from types import MappingProxyType
from typing import Annotated, Any, Final, Literal, NewType, TypeGuard, Union, get_args, get_origin

from chatbot.client.models import User
from chatbot.plugins.context import Context
from chatbot.plugins.conversion import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    TEXT,
    URL,
    Converter,
    choice,
    options_text,
)
from chatbot.plugins.durations import format_duration, milliseconds
from chatbot.plugins.errors import DeclarationError, UnknownTypeError, UsageError
from chatbot.plugins.markers import Range, UrlMarker
from chatbot.plugins.moments import DATE, DATETIME, DURATION, TIME
from chatbot.plugins.people import Member

NOTHING: Final = type(None)
_NUMBERS: Final = frozenset({int, float})


async def _find_user(text: str, ctx: Context) -> User:
    if (user := await ctx.bot.find_user(text)) is None:
        raise ValueError("no such user")
    return user


async def _find_member(text: str, ctx: Context) -> Member:
    if ctx.group is None:
        raise UsageError("a member can only be named in a group")
    if (member := await ctx.group.find_member(text)) is None:
        raise ValueError("no such member")
    return member


BUILT_IN: Final[Mapping[object, Converter]] = MappingProxyType(
    {
        str: TEXT,
        int: INTEGER,
        float: NUMBER,
        bool: BOOLEAN,
        timedelta: DURATION,
        datetime: DATETIME,
        date: DATE,
        time: TIME,
        User: Converter("a user such as @name", _find_user, suspends=True),
        Member: Converter("a member of this group such as @name", _find_member, suspends=True),
    }
)


def unalias(hint: Any) -> Any:
    """What a `NewType` or a `type X = ...` statement stands for."""
    while isinstance(hint, NewType) or type(hint).__name__ == "TypeAliasType":
        hint = hint.__supertype__ if isinstance(hint, NewType) else hint.__value__
    return hint


@dataclass(frozen=True, slots=True)
class Hint:
    """An annotation taken apart.

    Attributes:
        core: the type itself.
        optional: whether None was among its alternatives.
        marks: what stood beside it in `Annotated`.
    """

    core: Any
    optional: bool = False
    marks: tuple[Any, ...] = ()


def take_apart(hint: Any) -> Hint:
    """Separate `Annotated`, `| None` and aliases, in whatever order they were put on."""
    hint = unalias(hint)
    if get_origin(hint) is Annotated:
        inner = take_apart(hint.__origin__)
        return Hint(inner.core, inner.optional, (*inner.marks, *hint.__metadata__))
    kept = tuple(member for member in get_args(hint) if member is not NOTHING)
    if not is_union(hint) or not kept or len(kept) == len(get_args(hint)):
        return Hint(hint)
    inner = take_apart(Union[kept])  # noqa: UP007 - of a tuple that is only known now
    return Hint(inner.core, optional=True, marks=inner.marks)


def is_union(hint: Any) -> bool:
    """Whether it is `A | B` in either spelling."""
    return get_origin(hint) in {Union, types.UnionType}


def type_name(hint: Any) -> str:
    """As an author would write it."""
    if isinstance(hint, type) and get_origin(hint) is None:
        return hint.__name__
    return str(hint).replace("typing.", "")


def converter_for(hint: Any, custom: Mapping[object, Converter]) -> Converter:
    """The converter that reads `hint`.

    Args:
        hint: a resolved annotation.
        custom: converters of plugins by type; they win over the built-in ones.

    Raises:
        UnknownTypeError: there is none.
        DeclarationError: a `Range` that does not fit.
    """
    taken = take_apart(hint)
    converter = _plain_converter(taken.core, custom)
    for mark in taken.marks:
        if isinstance(mark, UrlMarker):
            converter = URL
        elif isinstance(mark, Range):
            converter = bounded(converter, taken.core, mark)
    return converter


def _plain_converter(hint: Any, custom: Mapping[object, Converter]) -> Converter:
    if (known := _known(hint, custom)) is not None:
        return known
    if is_union(hint):
        return _union(get_args(hint), custom)
    if get_origin(hint) is Literal:
        return choice({str(value): value for value in get_args(hint)})
    if _is_enum(hint):
        return _enum(hint)
    raise UnknownTypeError(f"nothing gives or reads {type_name(hint)}")


def _known(hint: Any, custom: Mapping[object, Converter]) -> Converter | None:
    try:
        return custom.get(hint) or BUILT_IN.get(hint)
    except TypeError:  # an unhashable annotation
        return None


def _union(hints: Iterable[Any], custom: Mapping[object, Converter]) -> Converter:
    members = tuple(converter_for(hint, custom) for hint in hints)

    async def convert(text: str, ctx: Context) -> Any:
        for member in members:
            try:
                return await member.read(text, ctx)
            except ValueError:
                continue
        raise ValueError("none of them")

    expected = " or ".join(dict.fromkeys(member.expected for member in members))
    return Converter(expected, convert, suspends=True)


def _is_enum(hint: Any) -> TypeGuard[type[Enum]]:
    return isinstance(hint, type) and issubclass(hint, Enum)


def _enum(hint: type[Enum]) -> Converter:
    names = {name.lower().replace("_", "-"): member for name, member in hint.__members__.items()}
    if not names:
        raise DeclarationError(f"{hint.__qualname__} has no members")
    values = {member.value: member for member in hint if isinstance(member.value, str)}
    spelled = choice(values | names)
    return Converter(options_text(tuple(names)), spelled.convert, choices=tuple(names))


def bounded(converter: Converter, base: Any, limits: Range) -> Converter:
    """`converter` for the values within `limits`.

    Raises:
        DeclarationError: bounds of another type, or none that anything lies between.
    """
    if base is timedelta:
        return _bounded_duration(converter, limits)
    if base in _NUMBERS or base is str or is_union(base):
        _check_numbers(base, limits)
    of, unit, size = (" of", " characters", len) if base is str else ("", "", _itself)
    low, high = limits.minimum, limits.maximum
    words = _between(low, high, converter.expected, unit, of)
    return converter.narrowed(words, _within(low, high, size))


def _bounded_duration(converter: Converter, limits: Range) -> Converter:
    try:
        low, high = (
            None if bound is None else milliseconds(bound)
            for bound in (limits.minimum, limits.maximum)
        )
    except (ValueError, TypeError):
        raise DeclarationError(f"{limits} does not bound a duration") from None
    shown = [None if bound is None else format_duration(bound) for bound in (low, high)]
    words = _between(shown[0], shown[1], converter.expected, "")
    return converter.narrowed(
        words, _within(low, high, lambda value: value // timedelta(milliseconds=1))
    )


def _check_numbers(base: Any, limits: Range) -> None:
    bounds = [bound for bound in (limits.minimum, limits.maximum) if bound is not None]
    comparable = set(get_args(base)) <= _NUMBERS
    if (
        not comparable
        or not all(isinstance(bound, int | float) for bound in bounds)
        or sorted(bounds) != bounds
    ):
        raise DeclarationError(f"{limits} does not bound {type_name(base)}")


def _between(low: Any, high: Any, expected: str, unit: str, of: str = "") -> str:
    if low is None or high is None:
        bound = f"at most {high}" if low is None else f"at least {low}"
        return expected if low is high else f"{expected}{of or ','} {bound}{unit}"
    return f"{expected}{of or ' from'} {low} to {high}{unit}"


def _within(low: Any, high: Any, size: Any) -> Any:
    def check(value: Any) -> bool:
        measured = size(value)
        return (low is None or measured >= low) and (high is None or measured <= high)

    return check


def _itself(value: Any) -> Any:
    return value
