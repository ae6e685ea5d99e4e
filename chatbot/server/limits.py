"""How much of everything one caller may have, and who tried too many passwords."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final, TypeAlias

from chatbot.server.errors import Refused

Clock: TypeAlias = Callable[[], int]
"""Returns the time in ms since the epoch."""

_MIB: Final = 1024 * 1024


def system_time() -> int:
    """Return the time in ms since the epoch."""
    return time.time_ns() // 1_000_000


class SteadyClock:
    """A clock that never goes back, so that histories stay in the order they were written in."""

    __slots__ = ("_last", "_source")

    def __init__(self, source: Clock) -> None:
        self._source = source
        self._last = 0

    def __call__(self) -> int:
        """Return the time in ms since the epoch, at least what was returned before."""
        self._last = max(self._last, self._source())
        return self._last


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The bounds of the backend; what is over them is refused, and frames are slowed down.

    Attributes:
        connections: TCP connections at one time, sockets included.
        first_request_seconds: for a new connection to say what it wants.
        auth_seconds: for a socket to send its `auth` frame.
        body_seconds: for a call's body to arrive.
        frame_bytes: of one frame, either way.
        body_bytes: of a call's body, except for the two that carry messages or keys.
        content_bytes: of a message's content (UTF-8): an encrypted 5 MiB picture fits.
        avatar_bytes: of a user's or group's picture.
        frames_per_second: from one socket; beyond, its reader slows down and nothing is lost.
        frame_burst: how many may come at once.
        pending_frames: waiting to be sent to one socket; beyond, it is closed as too slow.
        pending_bytes: the same in bytes.
        unstored_frames: of one socket waiting for the disk; beyond, its reader waits.
        unstored_bytes: the same in bytes.
        login_failures: wrong passwords for one username from one address in `login_window_ms`.
        tracked_logins: usernames and addresses remembered for that.
        prekeys_per_user: unused one-time prekeys of one account.
        group_members: of one group, whatever its settings say.
        group_invites: of one group at one time.
        group_page_bytes: of a page of a group's history, unless a single row is larger.
    """

    connections: int = 4096
    first_request_seconds: float = 15.0
    auth_seconds: float = 10.0
    body_seconds: float = 60.0
    frame_bytes: int = 12 * _MIB
    body_bytes: int = 256 * 1024
    content_bytes: int = 10 * _MIB
    avatar_bytes: int = 64 * 1024
    frames_per_second: float = 1000.0
    frame_burst: int = 1000
    pending_frames: int = 8192
    pending_bytes: int = 32 * _MIB
    unstored_frames: int = 512
    unstored_bytes: int = 4 * _MIB
    login_failures: int = 10
    login_window_ms: int = 5 * 60 * 1000
    tracked_logins: int = 10_000
    prekeys_per_user: int = 1000
    group_members: int = 1024
    group_invites: int = 100
    group_page_bytes: int = 64 * _MIB


class FailedLogins:
    """Counts wrong passwords per username and address, in bounded memory."""

    def __init__(self, limits: Limits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._attempts: OrderedDict[tuple[str, str], tuple[int, int]] = OrderedDict()

    def attempt(self, username: str, address: str) -> None:
        """Count an attempt as failed until `succeeded`, so that parallel ones count as well.

        Raises:
            Refused: 429, there were too many within the window.
        """
        key = (username, address)
        now = self._clock()
        count, since = self._attempts.pop(key, (0, now))
        if now - since >= self._limits.login_window_ms:
            count, since = 0, now
        self._attempts[key] = (count + 1, since)
        while len(self._attempts) > self._limits.tracked_logins:
            self._attempts.popitem(last=False)
        if count >= self._limits.login_failures:
            seconds = -(-(since + self._limits.login_window_ms - now) // 1000)
            raise Refused(
                429,
                f"Too many failed logins. Try again in {seconds} seconds",
                headers={"Retry-After": str(seconds)},
            )

    def succeeded(self, username: str, address: str) -> None:
        """Forget the failures: the password was right."""
        self._attempts.pop((username, address), None)


class FrameRate:
    """Says how long the reader of one socket waits before its next frame."""

    __slots__ = ("_due", "_interval", "_slack")

    def __init__(self, limits: Limits) -> None:
        self._interval = 1.0 / limits.frames_per_second
        self._slack = self._interval * limits.frame_burst
        self._due = 0.0

    def delay(self, now: float) -> float:
        """Count one frame at `now` (seconds, any origin) and return the seconds to wait."""
        self._due = max(self._due, now - self._slack) + self._interval
        return max(0.0, self._due - now)
