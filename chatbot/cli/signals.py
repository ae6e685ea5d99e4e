"""Stopping in order: what Ctrl-C and service managers send, on every platform."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Final, TypeVar

T = TypeVar("T")

_NAMES: Final = ("SIGINT", "SIGTERM", "SIGBREAK")  # the last one is Windows' Ctrl-Break


@contextmanager
def stop_requested() -> Iterator[asyncio.Event]:
    """Yield an event that the first signal to stop sets. The second one ends the process at once.

    Handlers of `signal` and not of the loop, which Windows does not have.
    """
    event = asyncio.Event()
    loop = asyncio.get_running_loop()
    numbers = [getattr(signal, name) for name in _NAMES if hasattr(signal, name)]

    def stop(_number: int, _frame: FrameType | None) -> None:
        restore()
        loop.call_soon_threadsafe(event.set)

    previous = {number: signal.signal(number, stop) for number in numbers}

    def restore() -> None:
        for number, handler in previous.items():
            signal.signal(number, handler)

    try:
        yield event
    finally:
        restore()


async def until_stopped(stop: asyncio.Event, work: Coroutine[Any, Any, T]) -> T | None:
    """Do the work; where it is asked to stop first, break the work off and return None."""
    working = asyncio.create_task(work)
    stopping = asyncio.create_task(stop.wait())
    try:
        await asyncio.wait({working, stopping}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        stopping.cancel()
        working.cancel()
        await asyncio.wait({working})
    return None if working.cancelled() else working.result()
