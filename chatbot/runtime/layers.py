"""The inbound middleware that every bot has, outside of what plugins declare."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from typing import Final, cast

from chatbot.plugins.context import Context
from chatbot.plugins.durations import Rate, format_duration
from chatbot.plugins.onion import InboundNext
from chatbot.runtime.context import MessageContext
from chatbot.runtime.limits import TokenBuckets
from chatbot.runtime.metrics import Metrics
from chatbot.runtime.routing import Route

TELLING: Final = Rate(1, 5_000)
"""How often somebody is told to be slower."""

logger = logging.getLogger(__name__)


async def logged(ctx: Context, call_next: InboundNext) -> None:
    """Log that a message was handled: how long it took, and never what it said."""
    if not logger.isEnabledFor(logging.DEBUG):
        await call_next(ctx)
        return
    started = time.perf_counter()
    try:
        await call_next(ctx)
    finally:
        routed = cast("MessageContext", ctx).incoming.routed
        what = " ".join(routed.node.path) if isinstance(routed, Route) else "no command"
        ms = (time.perf_counter() - started) * 1000
        logger.debug("a message (%s, %s) took %.1f ms", ctx.chat.kind, what, ms)


class RateLimit:
    """Passes over the messages of a user, and of a chat, that come too fast.

    Args:
        user: how many messages of one user are handled, None for all.
        chat: how many of one chat.
        clock: ms since the epoch.
    """

    def __init__(
        self, user: Rate | None, chat: Rate | None, metrics: Metrics, clock: Callable[[], int]
    ) -> None:
        self._user = None if user is None else TokenBuckets(user, clock)
        self._chat = None if chat is None else TokenBuckets(chat, clock)
        self._told = TokenBuckets(TELLING, clock)
        self._metrics = metrics

    async def __call__(self, ctx: Context, call_next: InboundNext) -> None:
        """Let a message through, or answer that it came too fast; not too often either."""
        wait = 0 if cast("MessageContext", ctx).incoming.tried else self._wait(ctx)
        if not wait:
            await call_next(ctx)
            return
        self._metrics.refused["rate"] += 1
        if ctx.chat.kind == "direct" and not self._told.take(ctx.user.id):
            pause = format_duration(max(1000, round(wait, -3)))
            await ctx.reply(f"Too fast: I passed over a message of yours. Wait {pause}.")

    def _wait(self, ctx: Context) -> int:
        of_user = self._user.take(ctx.user.id) if self._user is not None else 0
        return of_user or (self._chat.take(ctx.chat.id) if self._chat is not None else 0)
