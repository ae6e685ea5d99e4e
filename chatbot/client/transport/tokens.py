"""The JWT of one account: kept, watched for its end, and fetched again by logging in.

Nothing is verified here; the token is the backend's business. Only its `exp` is read, so that a
call need not fail first.
"""

from __future__ import annotations

import asyncio
import base64
import math
import time
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

from chatbot.client import exceptions

EXPIRY_MARGIN_MS: Final = 60_000
"""A token that ends within this time counts as ended."""


class _Claims(msgspec.Struct):
    exp: float | None = None


def expiry(token: str) -> float:
    """Return when a JWT ends, in ms since the epoch; infinity where it does not say."""
    claims = token.split(".")[1:2] or [""]
    try:
        decoded = base64.urlsafe_b64decode(claims[0] + "==")
        seconds = msgspec.json.decode(decoded, type=_Claims).exp
    except (ValueError, RecursionError):
        return math.inf
    return math.inf if seconds is None else seconds * 1000


def _now() -> int:
    return time.time_ns() // 1_000_000


class TokenSource:
    """Where REST calls and the socket get the token from.

    Args:
        relogin: logs in and returns a new token; None where nobody can.
        clock: ms since the epoch.
    """

    def __init__(
        self,
        relogin: Callable[[], Awaitable[str]] | None = None,
        *,
        clock: Callable[[], int] = _now,
    ) -> None:
        self._relogin = relogin
        self._clock = clock
        self._token = ""
        self._ends = 0.0
        self._renewal: asyncio.Future[str] | None = None

    def set(self, token: str) -> None:
        """Take a token that a login just gave; an empty one forgets.

        Raises:
            BackendError: it cannot go into a header, where it belongs.
        """
        if not token.isascii() or not token.isprintable():
            raise exceptions.BackendError("The backend gave a token that cannot be used")
        self._token = token
        self._ends = expiry(token) if token else 0.0

    async def current(self) -> str:
        """Return a token that has not ended, logging in for one where needed.

        Raises:
            AuthenticationError: there is none, and no way to log in or the login was refused.
            ConnectionError: the backend cannot be reached to log in.
        """
        if self._ends > self._clock() + EXPIRY_MARGIN_MS:
            return self._token
        return await self._renew()

    async def replace(self, refused: str) -> str:
        """Return another token than the one that the backend refused; raises like `current`."""
        if self._token != refused:
            return await self.current()
        return await self._renew()

    async def close(self) -> None:
        """Forget the token and give up a login that is under way."""
        self.set("")
        if (renewal := self._renewal) is not None:
            renewal.cancel()
            await asyncio.wait([renewal])

    async def _renew(self) -> str:
        """Log in, once for all who wait; one of them giving up does not stop it for the others."""
        if self._relogin is None:
            raise exceptions.AuthenticationError("The login has ended or was refused: log in again")
        if self._renewal is None:
            self._renewal = asyncio.ensure_future(self._log_in(self._relogin))
            self._renewal.add_done_callback(self._logged_in)
        renewal = self._renewal
        await asyncio.wait([renewal])
        if renewal.cancelled():
            raise exceptions.ConnectionError("The client was closed while it logged in")
        return renewal.result()

    async def _log_in(self, relogin: Callable[[], Awaitable[str]]) -> str:
        self.set(await relogin())
        if self._ends <= self._clock() + EXPIRY_MARGIN_MS:
            self._ends = math.inf  # fresh and yet ended: our clock is wrong, so wait for a 401
        return self._token

    def _logged_in(self, renewal: asyncio.Future[str]) -> None:
        self._renewal = None
        if not renewal.cancelled():
            renewal.exception()  # nobody may be waiting any more
