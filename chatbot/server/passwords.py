"""Passwords: argon2id, on threads of their own and never more than a few at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Final, TypeVar

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from chatbot.server.errors import Refused

_THREADS: Final = 2
_WAITING: Final = 64

T = TypeVar("T")


class Passwords:
    """Hashes and verifies.

    Args:
        hasher: argon2's cost; the default is RFC 9106's low-memory choice (64 MiB, 3 passes).
    """

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._executor = ThreadPoolExecutor(_THREADS, thread_name_prefix="backend-argon2")
        self._waiting = 0

    async def hash(self, password: str) -> str:
        """Return the hash to store: argon2's own text form, with salt and parameters.

        Raises:
            Refused: 503, too many wait already.
        """
        return await self._run(partial(self._hasher.hash, password))

    async def verify(self, stored: str, password: str) -> bool:
        """Whether `password` is the one that `stored` was made of.

        Raises:
            Refused: 503, too many wait already.
        """
        return await self._run(partial(self._matches, stored, password))

    def close(self) -> None:
        """Give the threads back; work that has not begun is dropped."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _matches(self, stored: str, password: str) -> bool:
        try:
            return self._hasher.verify(stored, password)
        except (VerificationError, InvalidHashError):
            return False

    async def _run(self, work: Callable[[], T]) -> T:
        if self._waiting >= _WAITING:
            raise Refused(503, "The server is busy. Try again later")
        self._waiting += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._executor, work)
        finally:
            self._waiting -= 1
