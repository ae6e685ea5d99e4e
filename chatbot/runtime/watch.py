"""Time limits for what handles messages: one timer of the event loop serves all of them.

A message has two limits, of half a minute each, and nearly none is ever reached. `asyncio.timeout`
would leave a timer for each in the event loop's heap until its half minute is over.
"""

from __future__ import annotations

import asyncio
from types import TracebackType


class Watch:
    """Ends what runs for too long."""

    __slots__ = ("_limits", "_timer")

    def __init__(self) -> None:
        self._limits: set[Limit] = set()
        self._timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Look no more."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def begin(self, limit: Limit) -> None:
        """Watch it from now on."""
        self._limits.add(limit)
        if self._timer is None or limit.ends_at < self._timer.when():
            self._look_at(limit.ends_at)

    def end(self, limit: Limit) -> None:
        """Watch it no more."""
        self._limits.discard(limit)

    def _look_at(self, when: float) -> None:
        self.close()
        self._timer = asyncio.get_running_loop().call_at(when, self._look)

    def _look(self) -> None:
        self._timer = None
        now = asyncio.get_running_loop().time()
        for limit in [limit for limit in self._limits if limit.ends_at <= now]:
            self._limits.discard(limit)
            limit.expire()
        if self._limits:
            self._look_at(min(limit.ends_at for limit in self._limits))


class Limit:
    """Lets its body run for so long, like `asyncio.timeout`. A context manager, used once.

    It can be halted and go on, so a limit around it, or a pause within it, need not count.

    Args:
        seconds: how long, what it was halted for not counted.
        outer: the limit around it, which is halted meanwhile.

    Attributes:
        ends_at: the event loop's time at which it is over, unless it is halted.
    """

    __slots__ = ("_cancelling", "_expired", "_left", "_outer", "_task", "_watch", "ends_at")

    def __init__(self, watch: Watch, seconds: float, outer: Limit | None) -> None:
        self._watch = watch
        self._left = seconds
        self._outer = outer
        self._task: asyncio.Task[object] | None = None
        self._cancelling = 0
        self._expired = False
        self.ends_at = 0.0

    def __enter__(self) -> None:
        """Begin.

        Raises:
            RuntimeError: there is no task that could be cancelled.
        """
        self._task = asyncio.current_task()
        if self._task is None:
            raise RuntimeError("only a task can be limited")
        self._cancelling = self._task.cancelling()
        if self._outer is not None:
            self._outer.halt()
        self.go_on()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """End.

        Raises:
            TimeoutError: it took longer, and was cancelled.
        """
        self.halt()
        if self._outer is not None:
            self._outer.go_on()
        if self._expired and self._task is not None:
            ours = self._task.uncancel() <= self._cancelling
            if ours and kind is asyncio.CancelledError:
                raise TimeoutError from error

    def halt(self) -> None:
        """Stop counting."""
        self._watch.end(self)
        self._left = self.ends_at - asyncio.get_running_loop().time()

    def go_on(self) -> None:
        """Count on."""
        self.ends_at = asyncio.get_running_loop().time() + self._left
        if not self._expired:
            self._watch.begin(self)

    def expire(self) -> None:
        """The time is over."""
        self._expired = True
        if self._task is not None:
            self._task.cancel()
