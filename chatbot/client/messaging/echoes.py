"""How far the backend has got with what we sent: an echo that is late is not yet missing.

The real backend relays about a hundred messages a second (PROTOCOL.md 3). Behind a burst, looking
for every echo that has not come in five seconds (4.2.7) would only add to its work, and what is
not in the history yet would be sent twice. So an echo counts as missing when none at all has come
for five seconds, or when that of something sent five seconds later has.
"""

from __future__ import annotations

from typing import Final

ECHO_TIMEOUT: Final = 5_000
"""After that (ms) a missing echo is looked up in the history (4.2.7)."""


class Echoes:
    """What is known of all echoes on our socket. Times are ms since the epoch."""

    __slots__ = ("_came_at", "_reached")

    def __init__(self) -> None:
        self._came_at = 0
        self._reached = 0

    def came(self, now: int, sent_at: int = 0) -> None:
        """An echo has come.

        Args:
            now: when.
            sent_at: when what it answers was sent, where that is known.
        """
        self._came_at = now
        self._reached = max(self._reached, sent_at)

    def due_at(self, sent_at: int, now: int) -> int:
        """When the echo of what was sent then counts as missing, as far as is known now."""
        passed_over = self._reached >= sent_at + ECHO_TIMEOUT
        if passed_over or self._came_at > now:  # the clock was set back
            return sent_at + ECHO_TIMEOUT
        return max(sent_at, self._came_at) + ECHO_TIMEOUT
