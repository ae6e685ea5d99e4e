"""Blocking handlers: in threads of their own, as many as are wished for."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from chatbot.plugins.endpoints import InThread

THREADS: Final = 8


class StillRunningError(Exception):
    """An earlier call of a blocking handler ran out of time, and has not come back since."""


class Threads:
    """A bounded pool of threads.

    A thread cannot be stopped. A handler whose call ran out of time is not called again before
    that call has come back, so that it cannot use up the pool.
    """

    def __init__(self, size: int = THREADS) -> None:
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="handler")
        self._lost: dict[str, set[Future[Any]]] = {}

    @property
    def lost(self) -> int:
        """Calls that ran out of time and go on all the same."""
        return sum(map(len, self._lost.values()))

    def runner(self, key: str) -> InThread:
        """What runs the blocking calls of the handler `key`."""

        def run(call: Callable[[], Any]) -> Awaitable[Any]:
            return self._run(key, call)

        return run

    async def _run(self, key: str, call: Callable[[], Any]) -> Any:
        if key in self._lost:
            raise StillRunningError(f"an earlier call of {key} still runs")
        future = self._pool.submit(call)
        try:
            return await asyncio.wrap_future(future)
        except asyncio.CancelledError:
            if not future.cancel() and not future.done():
                self._lose(key, future)
            raise

    def _lose(self, key: str, future: Future[Any]) -> None:
        loop = asyncio.get_running_loop()
        self._lost.setdefault(key, set()).add(future)

        def returned(_: Future[Any]) -> None:
            if not loop.is_closed():
                loop.call_soon_threadsafe(self._found, key, future)

        future.add_done_callback(returned)

    def _found(self, key: str, future: Future[Any]) -> None:
        lost = self._lost.get(key, set())
        lost.discard(future)
        if not lost:
            self._lost.pop(key, None)

    def close(self) -> None:
        """Begin no more; what runs goes on, and holds nobody up."""
        self._pool.shutdown(wait=False, cancel_futures=True)
