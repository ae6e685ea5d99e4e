"""The onions: layers around the handling of a message, composed once, called many times."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Sequence
from typing import TypeAlias, TypeVar

from chatbot.plugins.endpoints import MiddlewareEntry
from chatbot.plugins.onion import Direction

T = TypeVar("T")
R = TypeVar("R")
Next: TypeAlias = Callable[[T], Awaitable[R]]
Layer: TypeAlias = Callable[[T, Next[T, R]], Awaitable[R]]


def compose(layers: Sequence[Layer[T, R]], core: Next[T, R]) -> Next[T, R]:
    """One function that goes through all `layers`, the first being the outermost, to `core`."""
    for layer in reversed(layers):
        core = _around(layer, core)
    return core


def ordered(
    entries: Iterable[MiddlewareEntry], direction: Direction
) -> tuple[MiddlewareEntry, ...]:
    """Those of one direction from the outermost in; those of one order as they come."""
    chosen = (entry for entry in entries if entry.direction == direction)
    return tuple(sorted(chosen, key=lambda entry: entry.order))


def bound(
    entries: Iterable[MiddlewareEntry], bind: Callable[[T, MiddlewareEntry], T]
) -> tuple[Layer[T, R], ...]:
    """The layers of plugins' middleware, each called with what `bind` makes of the value for it.

    So a middleware's context has its own plugin's store and logger.
    """
    return tuple(_bound(entry, bind) for entry in entries)


def _around(layer: Layer[T, R], inner: Next[T, R]) -> Next[T, R]:
    def call(value: T) -> Awaitable[R]:
        return layer(value, inner)

    return call


def _bound(entry: MiddlewareEntry, bind: Callable[[T, MiddlewareEntry], T]) -> Layer[T, R]:
    function = entry.function

    def layer(value: T, call_next: Next[T, R]) -> Awaitable[R]:
        result: Awaitable[R] = function(bind(value, entry), call_next)
        return result

    return layer
