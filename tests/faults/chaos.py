"""Everything breaks at once, for a while, and then it is counted: `python -m faults.chaos`.

Twenty people, half of them with a browser, say thousands of numbered things to a bot that is killed
again and again, behind a bad network, on a backend with the faults of the real one that is
restarted now and then. Then the weather clears, and everything that was promised must hold.
"""

from __future__ import annotations

import argparse
import asyncio
import logging
import sqlite3
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import Any, Final

import msgspec
from doubles.faulty_backend import FaultyServer
from doubles.raw_client import raw_backend

from chatbot.server.limits import Limits
from faults import tally
from faults.killer import HUNG, Body, Killer
from faults.mortal_bot import Order
from faults.proxy import FaultyProxy
from faults.report import Report, Tally, judge, newest
from faults.talk import Talk
from faults.tide import Tide
from faults.voices import Voice, browser_voice, client_voice
from faults.weather import CALM, STORM

_ROOMY: Final = Limits(frames_per_second=1000, frame_burst=5000)

_BOT: Final = "bot"

_PATIENCE: Final = 60.0
"""Seconds until somebody who asked the bot how things are gives up."""

_SOON: Final = 5.0
"""Seconds until somebody asks again."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scale:
    """How much of everything.

    Attributes:
        clients: people with our own client.
        browsers: people with a browser.
        messages: numbered ones, of all people together.
        dialogs: of each person.
        kills: of the bot.
        restarts: of the backend.
        lifetime: the bot's longest life (seconds).
        settling: seconds that everything may take to come right in the end.
    """

    clients: int = 10
    browsers: int = 10
    messages: int = 10_000
    dialogs: int = 5
    kills: int = 200
    restarts: int = 20
    lifetime: float = 6.0
    settling: float = 180.0


class Chaos:
    """One run.

    Args:
        folder: for all files; the bot's log stays in it.
    """

    def __init__(self, scale: Scale, seed: int, folder: Path) -> None:
        self._scale = scale
        self._seed = seed
        self._folder = folder
        self._random = Random(f"{seed} backend")
        self._tide = Tide()
        self._troubles: Counter[str] = Counter()
        self._server = FaultyServer(folder / "backend.db", limits=_ROOMY)

    async def run(self) -> Report:
        """Let everything break, then count."""
        started = time.monotonic()
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(self._server)
            proxy = FaultyProxy(self._server.url, seed=self._seed)
            await stack.enter_async_context(proxy)
            order = self._order(proxy.url)
            killer = Killer(
                order,
                self._log,
                seed=self._seed,
                lifetime=self._scale.lifetime,
                on_death=self._died,
            )
            bot_id = await self._first_life(order)
            talks = [await self._talk(voice, bot_id) for voice in await self._gather(stack)]
            stack.push_async_callback(_cancel, [asyncio.create_task(t.hear()) for t in talks])
            talking = asyncio.gather(*(talk.talk() for talk in talks))
            stack.push_async_callback(_cancel, [talking])
            proxy.weather = STORM
            await self._storm(killer)
            proxy.weather = CALM
            async with self._living(order):
                await talking
                tallies = await self._settle(talks)
            seconds = time.monotonic() - started
            return self._report(killer, proxy, talks, bot_id, tallies, seconds)

    # ------------------------------------------------------------ who is there

    @property
    def _log(self) -> Path:
        return self._folder / "bot.log"

    @property
    def _notes(self) -> Path:
        return self._folder / "undecryptable"

    def _order(self, url: str) -> Order:
        return Order(
            server_url=url,
            storage_path=str(self._folder / "bot"),
            plugin=str(tally.__file__),
            undecryptable=str(self._notes),
            name=_BOT,
        )

    async def _first_life(self, order: Order) -> str:
        """Let the bot make its account; its user id."""
        async with self._living(order):
            pass
        with closing(sqlite3.connect(self._folder / "backend.db")) as database:
            row = database.execute("SELECT id FROM users WHERE username = ?", (_BOT,)).fetchone()
        return str(row[0])

    async def _gather(self, stack: AsyncExitStack) -> list[Voice]:
        url, storage = self._server.url, self._folder / "people"
        backend = await stack.enter_async_context(raw_backend(url))
        clients: list[Voice] = [
            await stack.enter_async_context(client_voice(url, storage, f"client{n}"))
            for n in range(self._scale.clients)
        ]
        browsers = [
            await stack.enter_async_context(browser_voice(backend, f"browser{n}"))
            for n in range(self._scale.browsers)
        ]
        return [*clients, *browsers]

    async def _talk(self, voice: Voice, bot_id: str) -> Talk:
        scale = self._scale
        numbers = scale.messages // (scale.clients + scale.browsers)
        return Talk(
            voice,
            bot_id,
            self._tide,
            numbers=numbers,
            dialogs=scale.dialogs,
            spread=scale.lifetime * scale.kills / numbers,
            seed=self._seed,
        )

    @asynccontextmanager
    async def _living(self, order: Order) -> AsyncIterator[Body]:
        """A bot that lives for as long as it is needed."""
        body = Body(order, self._log)
        try:
            while not await body.start():
                await body.ended()
            yield body
            await body.stop()
        finally:
            await body.kill()

    # ------------------------------------------------------------ what breaks

    async def _storm(self, killer: Killer) -> None:
        trouble = asyncio.create_task(self._make_trouble())
        try:
            await killer.kill(self._scale.kills)
            await trouble
        finally:
            await _cancel([trouble])

    async def _died(self, times: int) -> None:
        await self._tide.rise(times / self._scale.kills)

    async def _make_trouble(self) -> None:
        """Restart the backend so many times, and between that be a bad one in other ways."""
        for restart in range(self._scale.restarts):
            share = (restart + self._random.random()) / self._scale.restarts
            await self._tide.reaches(share * 0.98)
            await self._misbehave()
            await self._restart()

    async def _restart(self) -> None:
        await self._server.stop()
        await asyncio.sleep(self._random.uniform(0, 1))
        await self._server.start()
        self._troubles["restarted"] += 1

    async def _misbehave(self) -> None:
        trouble = self._random.choice(("lost sockets", "errors", "hangs"))
        match trouble:
            case "lost sockets":
                self._server.drop_sockets()
            case "errors":
                self._server.fail_next(self._random.randint(1, 8))
            case "hangs":
                self._server.hang()
                await asyncio.sleep(self._random.uniform(0, 3))
                self._server.release()
        self._troubles[trouble] += 1

    # ------------------------------------------------------------ what comes of it

    async def _settle(self, talks: list[Talk]) -> list[Tally | None]:
        """Wait until everything has come right, and ask the bot what it has counted."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._scale.settling
        await asyncio.gather(*(talk.all_answered(deadline) for talk in talks))
        while True:
            tallies = await asyncio.gather(*(talk.ask_for_tally(_PATIENCE) for talk in talks))
            known = [tally for tally in tallies if tally is not None]
            settled = len(known) == len(talks) and not all(tally.open for tally in known)
            if settled or loop.time() > deadline:
                return list(tallies)
            await asyncio.sleep(_SOON)  # a dialog is open until nobody has answered for a minute

    def _report(
        self,
        killer: Killer,
        proxy: FaultyProxy,
        talks: list[Talk],
        bot_id: str,
        tallies: list[Tally | None],
        seconds: float,
    ) -> Report:
        witnesses = [
            talk.evidence(self._stored(talk.voice.id, bot_id), tally)
            for talk, tally in zip(talks, tallies, strict=True)
        ]
        faults, found = judge(witnesses)
        faults["starts that hang"] = killer.deaths[HUNG]
        last = newest(witnesses)
        return Report(
            seed=self._seed,
            seconds=round(seconds, 1),
            scale=asdict(self._scale),
            faults=faults,
            found=found,
            messages=last.total,
            dialogs={"begun": last.begun, "finished": last.finished, "told": last.told},
            deaths=killer.deaths,
            backend=self._troubles,
            harmed=proxy.harmed,
            other=sum((talk.other for talk in talks), Counter()),
            undecryptable=_lines(self._notes),
            unread=sum(len(w.unanswered()) for w in witnesses if w.is_browser),
        )

    def _stored(self, sender: str, bot_id: str) -> list[str]:
        """The ids of somebody's messages to the bot, as they reached the backend."""
        query = "SELECT id FROM messages WHERE from_user = ? AND to_user = ? ORDER BY seq"
        with closing(sqlite3.connect(self._folder / "backend.db")) as database:
            return [message_id for (message_id,) in database.execute(query, (sender, bot_id))]


async def _cancel(tasks: Sequence[asyncio.Future[Any]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _lines(file: Path) -> int:
    return len(file.read_text().splitlines()) if file.exists() else 0


def main() -> int:
    """Run it as the command line says; 0 if nothing is wrong."""
    parser = argparse.ArgumentParser(prog="faults.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=None, help="default: another one every time")
    parser.add_argument("--json", type=Path, default=Path("chaos.json"), help="the report's file")
    parser.add_argument("--scale", type=float, default=1.0, help="of messages, kills and restarts")
    given = parser.parse_args()
    seed = given.seed if given.seed is not None else Random().randrange(1 << 30)
    logging.basicConfig(level=logging.ERROR)
    folder = Path(tempfile.mkdtemp(prefix="chaos-"))
    sys.stdout.write(f"seed {seed}, files in {folder}\n")
    whole = Scale()
    scale = Scale(
        messages=round(whole.messages * given.scale),
        kills=round(whole.kills * given.scale),
        restarts=round(whole.restarts * given.scale),
    )
    report = asyncio.run(Chaos(scale, seed, folder).run())
    given.json.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    sys.stdout.write(f"{report}\n")
    return 0 if report.passed else 1


if __name__ == "__main__":
    sys.exit(main())
