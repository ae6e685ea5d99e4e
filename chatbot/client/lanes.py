"""Strictly in order within a conversation, concurrently across conversations, and bounded."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

logger = logging.getLogger(__name__)

Work = Callable[[], Awaitable[None]]

CONCURRENCY: Final = 64
"""Lanes that work at the same time; the others wait their turn."""


class Lanes:
    """Runs work by key: one at a time per key, first come first served, never in the caller.

    Args:
        concurrency: how many keys are worked on at once.
    """

    def __init__(self, concurrency: int = CONCURRENCY) -> None:
        self._concurrency = concurrency
        self._waiting: dict[str, deque[Work]] = {}
        self._ready: deque[str] = deque()
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many lanes have work."""
        return len(self._waiting)

    def submit(self, key: str, work: Work) -> None:
        """Put work at the end of its lane. What it raises is logged and stops nobody else."""
        lane = self._waiting.get(key)
        if lane is not None:
            lane.append(work)
            return
        self._waiting[key] = deque((work,))
        self._ready.append(key)
        if len(self._tasks) < self._concurrency:
            task = asyncio.create_task(self._run(), name="lane")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def close(self) -> None:
        """Stop at once; what was running is cancelled, what waited is dropped."""
        self._waiting.clear()
        self._ready.clear()
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self) -> None:
        while self._ready:
            key = self._ready.popleft()
            await self._step(key)

    async def _step(self, key: str) -> None:
        """Do one piece of a lane's work, then let the other lanes have theirs."""
        lane = self._waiting[key]
        try:
            await lane.popleft()()
        except Exception:
            logger.exception("a handler failed")
        if lane:
            self._ready.append(key)
        elif self._waiting.get(key) is lane:
            del self._waiting[key]
