"""What handlers, whatever they handle, have in common when they are compiled."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final

from chatbot.plugins.access import Rule
from chatbot.plugins.durations import Cooldown, Limit, milliseconds, parse_limit
from chatbot.plugins.endpoints import Handler, HandlerKind
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.injection import check_given, plan_call, split
from chatbot.plugins.parameters import Parameter, read_signature
from chatbot.plugins.providers import Types
from chatbot.plugins.source import underlying

_NAME: Final = re.compile(r"[^\W_][\w-]{0,31}")


def check_name(name: str) -> None:
    """Make sure that people can type it.

    Raises:
        DeclarationError: not 1 to 32 letters, digits, `-` and `_`, or it starts with one of the
            last two.
    """
    if _NAME.fullmatch(name) is None:
        raise DeclarationError(
            f"the name {name!r} is not of 1 to 32 letters, digits, '-' and '_', a letter or digit "
            "first"
        )


def label(function: Callable[..., Any]) -> str:
    """How errors call a handler: `roll()`."""
    return f"{getattr(underlying(function), '__qualname__', 'handler')}()"


def kind_of(function: Callable[..., Any]) -> HandlerKind:
    """Whether it awaits, blocks, or answers bit by bit.

    Raises:
        DeclarationError: a generator that is not async.
    """
    plain = underlying(function)
    if inspect.isasyncgenfunction(plain):
        return "stream"
    if inspect.iscoroutinefunction(plain):
        return "async"
    if inspect.isgeneratorfunction(plain):
        raise DeclarationError("a generator must be async: async def")
    return "sync"


def analyse(
    function: Callable[..., Any], types: Types, *, on_messages: bool, in_groups: bool = False
) -> tuple[Handler, tuple[Parameter, ...]]:
    """The handler, and those of its parameters that are not given.

    Args:
        function: the author's.
        types: what it may ask for.
        on_messages: whether it is called for messages.
        in_groups: whether it is called for group messages only.

    Raises:
        DeclarationError: one argument of the error for each parameter that cannot be filled.
    """
    parameters = read_signature(function)
    given, left = split(parameters, types)
    check_given(given, on_messages=on_messages, in_groups=in_groups)
    return Handler(plan_call(function, parameters, given), kind_of(function)), left


def duration(what: str, value: str | timedelta | None) -> int | None:
    """Milliseconds of an author's duration.

    Raises:
        DeclarationError: not one.
    """
    try:
        return None if value is None else milliseconds(value)
    except ValueError as error:
        raise DeclarationError(f"{what}={value!r}: {error}") from None


def limit(cooldown: str | Cooldown | None) -> Limit | None:
    """An author's cooldown.

    Raises:
        DeclarationError: not one.
    """
    try:
        return parse_limit(cooldown)
    except ValueError as error:
        raise DeclarationError(f"cooldown={cooldown!r}: {error}") from None


def one_of(what: str, value: str, allowed: Mapping[str, Any] | tuple[str, ...]) -> None:
    """Make sure of a value that the type checker of an author may not have seen.

    Raises:
        DeclarationError: it is none of them.
    """
    if value not in allowed:
        raise DeclarationError(f"{what}={value!r} is none of {', '.join(allowed)}")


def summary_of(function: Callable[..., Any], description: str | None) -> str:
    """What help says: the description given, or the docstring."""
    if description is not None:
        return description
    return inspect.getdoc(underlying(function)) or ""


def plain_rule(plugin: str, function: Callable[..., Any]) -> Rule:
    """The rule of a handler that asks nothing: only denials can name it."""
    name = getattr(underlying(function), "__name__", "handler")
    return Rule(permission=f"{plugin}.{name}")
