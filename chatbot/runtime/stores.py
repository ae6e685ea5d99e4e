"""A plugin's store: typed values over the journal."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from typing import Any, Final, TypeVar, overload

import msgspec

from chatbot.runtime.journal import Missing, Work
from chatbot.runtime.values import ValueKey, Values

T = TypeVar("T")
D = TypeVar("D")

MAX_KEY: Final = 512
"""The longest key, in characters."""

MAX_VALUE: Final = 1024 * 1024
"""The largest value, in bytes of JSON."""

_PAGE: Final = 100


class PluginStore:
    """One plugin's values, or one user's in one chat (`Store`).

    Args:
        work: what is set and stepped here belongs to it.
        scope: empty for what the plugin keeps for itself.
    """

    __slots__ = ("_plugin", "_scope", "_values", "_work")

    def __init__(self, values: Values, work: Work, plugin: str, scope: str = "") -> None:
        self._values = values
        self._work = work
        self._plugin = plugin
        self._scope = scope

    @overload
    async def get(self, key: str, kind: type[T]) -> T | None: ...
    @overload
    async def get(self, key: str, kind: type[T], default: D) -> T | D: ...
    async def get(self, key: str, kind: type[Any], default: object = None) -> object:
        """The value as a `kind`, or `default` where there is none."""
        raw = await self._raw(self._key(key))
        return default if raw is None else _decode(raw, kind, key)

    async def set(self, key: str, value: object) -> None:
        """Keep `value`; what this handler has set it also reads."""
        await self._work.put(self._key(key), _encode(value, key))

    async def delete(self, key: str) -> None:
        """Forget it, if it is there."""
        await self._work.put(self._key(key), None)

    async def range(
        self, prefix: str, kind: type[T], *, after: str = "", limit: int | None = None
    ) -> AsyncIterator[tuple[str, T]]:
        """Keys that start with `prefix` and come behind `after`, in order, with their values."""
        given = 0
        while limit is None or given < limit:
            page, last = await self._page(prefix, after)
            for key, raw in page[: None if limit is None else limit - given]:
                given += 1
                yield key, _decode(raw, kind, key)
            if last is None:
                return
            after = last

    async def incr(self, key: str, by: int = 1) -> int:
        """Add to a number (0 where there is none) and return the sum."""
        if type(by) is not int:
            raise TypeError(f"incr({key!r}) adds whole numbers, not {type(by).__name__}")

        def add(raw: bytes | None) -> tuple[bytes, int]:
            total = (0 if raw is None else _decode(raw, int, key)) + by
            return msgspec.json.encode(total), total

        return await self._step("incr", self._key(key), add, int)

    async def compare_and_set(self, key: str, expected: object, value: object) -> bool:
        """Set only where the value is `expected` (None: where there is none); whether it was."""
        wanted = None if expected is None else _plain(_encode(expected, key))
        replacement = None if value is None else _encode(value, key)

        def replace(raw: bytes | None) -> tuple[bytes | None, bool]:
            holds = (None if raw is None else _plain(raw)) == wanted
            return (replacement, True) if holds else (raw, False)

        return await self._step("cas", self._key(key), replace, bool)

    async def _step(self, kind: str, key: ValueKey, change: Any, result: type[T]) -> T:
        """Change a value at once; what was set before in this handler is taken up in it."""
        step = f"{kind} {self._scope}\x1f{key.key}"
        work, n = self._work, self._work.claim(step)
        waiting = work.pending(key)

        def act(connection: sqlite3.Connection) -> T:
            if waiting is not Missing:
                self._values.alter(key, lambda _: (waiting, None))(connection)
            changed: T = self._values.alter(key, change)(connection)
            return changed

        done = await work.once(step, n, act, result)
        work.settled(key)
        return done

    async def _raw(self, key: ValueKey) -> bytes | None:
        waiting = self._work.pending(key)
        return await self._values.get(key) if waiting is Missing else waiting

    async def _page(self, prefix: str, after: str) -> tuple[list[tuple[str, bytes]], str | None]:
        """A stretch of what there is, uncommitted values among it; and where the next begins."""
        start = self._key(after, empty=True)
        stored = await self._values.page(start, prefix=prefix, limit=_PAGE)
        last = stored[-1][0] if len(stored) == _PAGE else None
        merged: dict[str, Any] = dict(stored)
        for key in self._work.pending_keys():
            here = key[:2] == start[:2] and key.key.startswith(prefix)
            if here and key.key > after and (last is None or key.key <= last):
                merged[key.key] = self._work.pending(key)
        return [(key, raw) for key, raw in sorted(merged.items()) if raw is not None], last

    def _key(self, key: str, *, empty: bool = False) -> ValueKey:
        if not isinstance(key, str):
            raise TypeError(f"a store's keys are str, not {type(key).__name__}")
        if len(key) > MAX_KEY or not (key or empty):
            raise TypeError(f"a store's key has 1 to {MAX_KEY} characters, not {len(key)}")
        return ValueKey(self._plugin, self._scope, key)


def _encode(value: object, key: str) -> bytes:
    raw = msgspec.json.encode(value)
    if len(raw) > MAX_VALUE:
        raise TypeError(f"the value of {key!r} has {len(raw):,} bytes; at most {MAX_VALUE:,}")
    return raw


def _decode(raw: bytes, kind: type[T], key: str) -> T:
    try:
        return msgspec.json.decode(raw, type=kind)
    except msgspec.ValidationError as error:
        raise TypeError(f"the value of {key!r}: {error}") from None


def _plain(raw: bytes) -> object:
    value: object = msgspec.json.decode(raw)
    return value
