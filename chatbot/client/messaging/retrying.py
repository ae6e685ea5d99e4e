"""What has to be read in the end, however long it cannot be."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from chatbot.client.exceptions import WhatsAppClientError

RETRY_INTERVAL: Final = 60.0
"""Seconds until what could not be finished is tried again."""

logger = logging.getLogger(__name__)


async def work_off(
    find: Callable[[], Awaitable[Sequence[str]]],
    read: Callable[[str], Awaitable[bool]],
    attempted: Callable[[], None] = lambda: None,
) -> None:
    """Read all that `find` names; what cannot be read, again in a while.

    Args:
        find: names whom to read; asked again while it fails.
        read: returns False, or raises WhatsAppClientError, if it has to be tried again.
        attempted: called after each round.
    """
    names: Sequence[str] | None = None
    while names is None or names:
        try:
            found = await find() if names is None else names
            names = [name for name in found if not await read(name)]
        except WhatsAppClientError as error:
            logger.warning("what was missed cannot be read now: %s", error)
        attempted()
        if names is None or names:
            await asyncio.sleep(RETRY_INTERVAL)
