"""Where in an author's files something was declared."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from types import CodeType
from typing import Any


@dataclass(frozen=True, slots=True)
class Source:
    """A file and the line in it, counted from 1; line 0 where only the file is known."""

    file: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


def underlying(function: Callable[..., Any]) -> Callable[..., Any]:
    """The plain function or method behind partials, `functools.wraps` and callable objects."""
    while isinstance(function, functools.partial):
        function = function.func
    function = inspect.unwrap(function)
    if inspect.isroutine(function):
        return function
    call: Callable[..., Any] = type(function).__call__
    return call


def source_of(function: Callable[..., Any]) -> Source:
    """Where `function` is written; its first decorator's line, if it has any."""
    code = getattr(underlying(function), "__code__", None)
    if isinstance(code, CodeType):
        return Source(code.co_filename, code.co_firstlineno)
    return Source(getattr(function, "__module__", None) or "?")


def call_site(depth: int = 1) -> Source:
    """Where the caller was called from; `depth` callers further up for deeper helpers."""
    frame = inspect.currentframe()
    for _ in range(depth + 1):
        frame = frame.f_back if frame is not None else None
    return Source(frame.f_code.co_filename, frame.f_lineno) if frame is not None else Source("?")
