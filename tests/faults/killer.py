"""Kills a bot again and again, at instants and in ways that a seed decides, and starts it again."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from typing import Final

import msgspec

import chatbot
from faults.mortal_bot import READY, Order

_SOURCE: Final = Path(chatbot.__file__).parents[1]
_TESTS: Final = Path(__file__).parents[1]

_START_SECONDS: Final = 120.0
"""A bot that is neither ready nor dead by then hangs: longer than calls to a backend that hangs."""

_ITSELF: Final = "by itself"
HUNG: Final = "hung"

_RETRY_SECONDS: Final = 0.2
"""How long a service manager waits until it starts again what ended by itself."""


class HangingError(Exception):
    """A bot neither gets ready nor ends."""


class Body:
    """A bot's process.

    Args:
        order: what it is to be.
        log: gets what it logs.
    """

    def __init__(self, order: Order, log: Path) -> None:
        self._order = order
        self._log = log
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> bool:
        """Start it, and wait until it is ready; False if it ended before.

        Raises:
            HangingError: it did neither.
        """
        with self._log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "faults.mortal_bot",
                env={**os.environ, "PYTHONPATH": os.pathsep.join((str(_SOURCE), str(_TESTS)))},
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=log,
            )
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(msgspec.json.encode(self._order))
        process.stdin.close()
        try:
            async with asyncio.timeout(_START_SECONDS):
                line = await process.stdout.readline()
        except TimeoutError:
            self.signal(signal.SIGQUIT)  # its log tells why
            await self.ended(1)
            await self.kill()
            raise HangingError(f"the bot is not ready after {_START_SECONDS:.0f} s") from None
        return line.decode().strip() == READY

    async def ended(self, seconds: float | None = None) -> bool:
        """Whether it ends by itself, in the given time."""
        assert self._process is not None
        try:
            async with asyncio.timeout(seconds):
                await self._process.wait()
        except TimeoutError:
            return False
        return True

    @property
    def was_killed(self) -> bool:
        """Whether SIGKILL ended it."""
        return self._process is not None and self._process.returncode == -signal.SIGKILL

    async def kill(self) -> None:
        """SIGKILL it, if it lives."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()

    async def stop(self, seconds: float = 15) -> None:
        """Stop it as a service manager would: SIGTERM, and SIGKILL where that does not help."""
        assert self._process is not None
        self._process.terminate()
        if not await self.ended(seconds):
            await self.kill()
            raise HangingError("the bot does not stop")

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal."""
        assert self._process is not None
        self._process.send_signal(number)


class Killer:
    """Gives a bot many lives.

    Args:
        order: what it is; how it dies is decided here.
        log: gets what all of them log.
        seed: decides how each life ends.
        lifetime: the longest life (seconds) after a start.
        on_death: called after each of them with how many SIGKILLs there were.

    Attributes:
        deaths: how many lives ended in each way.
    """

    def __init__(
        self,
        order: Order,
        log: Path,
        *,
        seed: int,
        lifetime: float,
        on_death: Callable[[int], Awaitable[None]],
    ) -> None:
        self._order = order
        self._log = log
        self._lifetime = lifetime
        self._on_death = on_death
        self._random = Random(f"{seed} killer")
        self.deaths: Counter[str] = Counter()

    @property
    def killed(self) -> int:
        """How many lives a SIGKILL has ended."""
        return sum(count for way, count in self.deaths.items() if way not in {_ITSELF, HUNG})

    async def kill(self, times: int) -> None:
        """Let it live and die until it has been killed so many times."""
        while self.killed < times:
            way, order = self._fate()
            body = Body(order, self._log)
            try:
                await self._live(body)
            except HangingError:
                way = HUNG
            finally:
                await body.kill()
            self.deaths[way if body.was_killed else _ITSELF] += 1
            await self._on_death(self.killed)

    async def _live(self, body: Body) -> None:
        if self._random.random() < 0.1:  # even while it starts
            asyncio.get_running_loop().call_later(
                self._random.uniform(0, 2), asyncio.ensure_future, body.kill()
            )
        if not await body.start():
            await body.ended()
            await asyncio.sleep(_RETRY_SECONDS)
        elif not await body.ended(self._random.uniform(0, self._lifetime)):
            await body.kill()

    def _fate(self) -> tuple[str, Order]:
        """How the next life ends, unless time ends it first."""
        random = self._random
        order = msgspec.structs.replace(
            self._order,
            seed=random.randrange(1 << 30),
            loses_cache=random.random() < 0.5,
            jumps=random.choice((0, 0, 90_000, 3_600_000, 86_400_000)),
        )
        cut = "power cut" if order.loses_cache else "killed"
        match random.randrange(4):
            case 0:
                instant = round(2 ** random.uniform(0, 11))
                return f"{cut} in a write", msgspec.structs.replace(order, dies_at_write=instant)
            case 1:
                frame, after = round(2 ** random.uniform(0, 7)), random.random() < 0.5
                order = msgspec.structs.replace(order, dies_at_frame=frame, after_frame=after)
                return f"{cut} at a frame", order
            case _:
                return f"{cut} at any time", order
