"""Work that nobody waits for: kept alive while it runs, reported where it fails, ended with all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Iterator
from typing import Any

from chatbot.client.exceptions import WhatsAppClientError

logger = logging.getLogger(__name__)


class BackgroundTasks:
    """The tasks of one part of the client.

    Args:
        name: what they are for; in the log, and as the tasks' name.
    """

    def __init__(self, name: str) -> None:
        self._name = name
        self._tasks: set[asyncio.Task[None]] = set()

    def __iter__(self) -> Iterator[asyncio.Task[None]]:
        """Those that run now."""
        return iter(tuple(self._tasks))

    def spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """Have something done."""
        task = asyncio.create_task(work, name=self._name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(self.report)
        return task

    def report(self, done: asyncio.Future[Any]) -> None:
        """Log how something failed: what can happen to anybody, and what is a fault of ours."""
        if done.cancelled() or (error := done.exception()) is None:
            return
        if isinstance(error, WhatsAppClientError):
            logger.warning("%s: %s", self._name, error)
        else:
            logger.error("%s failed", self._name, exc_info=error)

    async def close(self) -> None:
        """End whatever runs."""
        running = tuple(self._tasks)
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
