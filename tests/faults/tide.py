"""How far a run has come, for those who are to keep pace with it."""

from __future__ import annotations

import asyncio


class Tide:
    """A share of a whole that only rises, from 0 to 1."""

    def __init__(self) -> None:
        self._share = 0.0
        self._risen = asyncio.Condition()

    async def rise(self, share: float) -> None:
        """It has come so far."""
        async with self._risen:
            self._share = max(self._share, share)
            self._risen.notify_all()

    async def reaches(self, share: float) -> None:
        """Wait until it has come so far."""
        async with self._risen:
            await self._risen.wait_for(lambda: self._share >= share)
