"""Who is online and who is typing, as far as the backend tells; nothing of it is stored."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from chatbot.client.exceptions import ConnectionError
from chatbot.wire import GroupTypingFrame, TypingFrame

from .ports import Link

TYPING_TIMEOUT: Final = 5.0
"""Seconds after which somebody who said no more is not typing any more (FR-RT-02)."""

logger = logging.getLogger(__name__)


class Presence:
    """The presence map: user id -> online. Empty while we are not connected ourselves.

    Args:
        on_change: told (user_id, online) of every change.
    """

    def __init__(self, on_change: Callable[[str, bool], None]) -> None:
        self._on_change = on_change
        self._online: dict[str, bool] = {}

    @property
    def users(self) -> Mapping[str, bool]:
        """A live, read-only view of the map."""
        return MappingProxyType(self._online)

    def is_online(self, user_id: str) -> bool:
        """Whether somebody is known to be online."""
        return self._online.get(user_id, False)

    def update(self, user_id: str, *, online: bool) -> None:
        """The backend said so."""
        if self._online.get(user_id, False) != online:
            self._online[user_id] = online
            self._on_change(user_id, online)

    def clear(self) -> None:
        """We are offline: nobody's presence is known."""
        self._online.clear()


class TypingTimers:
    """Ends what nobody ended: a typing state lasts 5 s unless it is renewed.

    Args:
        on_timeout: told the key whose time is over.
    """

    def __init__(self, on_timeout: Callable[[str], None]) -> None:
        self._on_timeout = on_timeout
        self._timers: dict[str, asyncio.TimerHandle] = {}

    def set(self, key: str, *, typing: bool) -> bool:
        """Start, renew or end; returns whether that changed the state."""
        timer = self._timers.pop(key, None)
        if timer is not None:
            timer.cancel()
        if typing:
            self._timers[key] = asyncio.get_running_loop().call_later(
                TYPING_TIMEOUT, self._expire, key
            )
        return typing != (timer is not None)

    def clear(self) -> None:
        """Forget all without telling anybody."""
        for timer in self._timers.values():
            timer.cancel()
        self._timers.clear()

    def _expire(self, key: str) -> None:
        del self._timers[key]
        self._on_timeout(key)


class OwnTyping:
    """Tells others that we are typing, and that we have stopped where nobody else does."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._timers = TypingTimers(self._ended)

    def tell(self, to: str, *, typing: bool, group_id: str | None = None) -> None:
        """Tell a peer, or a group where one is given; call again within 5 s to go on.

        Raises:
            ConnectionError: not connected.
        """
        key = f"\x00{to}" if group_id is None else f"{group_id}\x00"
        self._send(key, typing=typing)
        self._timers.set(key, typing=typing)

    def clear(self) -> None:
        """Forget all without telling anybody."""
        self._timers.clear()

    def _send(self, key: str, *, typing: bool) -> None:
        group_id, _, to = key.rpartition("\x00")
        if group_id:
            frame = GroupTypingFrame(group_id=group_id, typing=typing)
            self._link.send_nowait("group_typing", frame)
        else:
            self._link.send_nowait("typing", TypingFrame(to=to, typing=typing))

    def _ended(self, key: str) -> None:
        try:
            self._send(key, typing=False)
        except ConnectionError:
            logger.debug("the connection was gone before the end of typing could be told")
