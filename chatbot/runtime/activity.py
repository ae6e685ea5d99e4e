"""A message's handling as a task that its lane waits for, and that can let the lane go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any, TypeVar

T = TypeVar("T")


class Activity:
    """Work in a task of its own. Whoever calls `go` waits until it ends or pauses.

    Args:
        work: called with the activity; it must deal with its own errors.

    Attributes:
        task: what does the work, once it has begun.
        paused: whether it waits for an answer.
    """

    __slots__ = ("_limits", "_resting", "_work", "paused", "task")

    def __init__(self, work: Callable[[Activity], Coroutine[Any, Any, None]]) -> None:
        self._work = work
        self.task: asyncio.Task[None] | None = None
        self._resting = asyncio.Event()
        self._limits: list[asyncio.Timeout] = []
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
        with self._halted():
            self.paused = True
            self._resting.set()
            try:
                return await answer
            finally:
                self.paused = False

    @asynccontextmanager
    async def limited(self, ms: int) -> AsyncIterator[None]:
        """Let the body run so long (ms), pauses not counted; outer limits do not count it.

        Raises:
            TimeoutError: it took longer, and was cancelled.
        """
        with self._halted():
            async with asyncio.timeout(ms / 1000) as limit:
                self._limits.append(limit)
                try:
                    yield
                finally:
                    self._limits.remove(limit)

    def cancel(self) -> None:
        """Stop it where it is."""
        if self.task is not None:
            self.task.cancel()

    @contextmanager
    def _halted(self) -> Iterator[None]:
        """Stop the watches; afterwards they go on where they were."""
        loop = asyncio.get_running_loop()
        left = [
            (limit, when - loop.time())
            for limit in self._limits
            if (when := limit.when()) is not None
        ]
        for limit, _ in left:
            limit.reschedule(None)
        try:
            yield
        finally:
            for limit, seconds in left:
                limit.reschedule(loop.time() + seconds)
