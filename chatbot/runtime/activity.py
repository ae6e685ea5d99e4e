"""A message's handling as a task that its lane waits for, and that can let the lane go on."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

from chatbot.runtime.watch import Limit, Watch

T = TypeVar("T")


class Activity:
    """Work in a task of its own. Whoever calls `go` waits until it ends or pauses.

    Args:
        work: called with the activity; it must deal with its own errors.
        watch: ends what runs for too long.

    Attributes:
        task: what does the work, once it has begun.
        paused: whether it waits for an answer.
    """

    __slots__ = ("_limit", "_resting", "_watch", "_work", "paused", "task")

    def __init__(self, work: Callable[[Activity], Coroutine[Any, Any, None]], watch: Watch) -> None:
        self._work = work
        self._watch = watch
        self.task: asyncio.Task[None] | None = None
        self._resting = asyncio.Event()
        self._limit: Limit | None = None
        self.paused = False

    async def go(self) -> None:
        """Begin, or go on behind a pause; returns when it has ended or pauses again."""
        self._resting.clear()
        if self.task is None:
            self.task = asyncio.create_task(self._work(self), name="handler")
            self.task.add_done_callback(lambda _: self._resting.set())
        if not self.task.done():
            await self._resting.wait()

    async def rest(self) -> None:
        """Wait until it ends or pauses."""
        await self._resting.wait()

    async def pause(self, answer: asyncio.Future[T]) -> T:
        """Let the lane go on until `answer` is there; no time limit counts the waiting.

        Whoever gives the answer calls `go`, so that what follows has its place in the lane.
        """
        if self._limit is not None:
            self._limit.halt()
        self.paused = True
        self._resting.set()
        try:
            return await answer
        finally:
            self.paused = False
            if self._limit is not None:
                self._limit.go_on()

    @contextmanager
    def limited(self, ms: int) -> Iterator[None]:
        """Let the body run so long (ms), pauses not counted; outer limits do not count it.

        Raises:
            TimeoutError: it took longer, and was cancelled.
        """
        outer = self._limit
        self._limit = Limit(self._watch, ms / 1000, outer)
        try:
            with self._limit:
                yield
        finally:
            self._limit = outer

    def cancel(self) -> None:
        """Stop it where it is."""
        if self.task is not None:
            self.task.cancel()
