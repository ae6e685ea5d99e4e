"""A long talk with a browser over real sockets, each side losing its state at times.

`BROWSER_MESSAGES=10000` makes it longer; with `-o faulthandler_timeout=0`, for it takes minutes.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from base64 import b64encode
from dataclasses import dataclass, field

from doubles.browser_on_socket import BrowserOnSocket, browser_on
from doubles.clients import PASSWORD, Clients
from doubles.pictures import PNG
from doubles.raw_client import raw_backend

from chatbot.client.client import WhatsAppClient
from chatbot.client.models import Message
from chatbot.server import Server

MESSAGES = int(os.environ.get("BROWSER_MESSAGES", "120"))
PATIENCE = 20.0
"""Seconds after which what is neither read nor reported counts as lost."""

HEALED_WITHIN = 15
"""Messages in a row, of one direction, that may be unreadable: a browser tells nobody what it could
not read, so that ends when it next says something."""

logger = logging.getLogger(__name__)

DATA_URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


@dataclass
class Tally:
    """What became of the messages of one direction."""

    read: int = 0
    reported: int = 0
    in_a_row: int = 0
    worst: int = 0
    broken_at: float | None = None
    healing: list[float] = field(default_factory=list)

    def note(self, *, read: bool) -> None:
        if read:
            self.read += 1
            self.in_a_row = 0
            if self.broken_at is not None:
                self.healing.append(time.monotonic() - self.broken_at)
                self.broken_at = None
        else:
            self.reported += 1
            self.in_a_row += 1
            self.worst = max(self.worst, self.in_a_row)
            self.broken_at = self.broken_at or time.monotonic()


class Talk:
    """Our client and a browser, one message after the other."""

    def __init__(self, clients: Clients, browser: BrowserOnSocket, seed: int) -> None:
        self._clients = clients
        self._browser = browser
        self._random = random.Random(seed)
        self._outcomes: asyncio.Queue[Message | None] = asyncio.Queue()
        self.to_us, self.to_browser = Tally(), Tally()
        self.losses = 0
        self.client: WhatsAppClient = clients.new()

    async def start(self) -> None:
        self._listen()
        await self.client.register("ours", PASSWORD)

    def _listen(self) -> None:
        self.client.on_message(self._outcomes.put)

        @self.client.on_undecryptable
        async def report(_peer: str, _reason: str) -> None:
            await self._outcomes.put(None)

    async def step(self, number: int) -> None:
        """Lose something, perhaps; then one of both says something."""
        await self._mishap()
        await self._random.choice((self._hear, self._say))(number)

    async def _mishap(self) -> None:
        chance = self._random.random()
        if chance < 0.02:
            self._browser.browser.forget_sessions()
        elif chance < 0.03:
            self._browser.browser.reset()
            await self._browser.publish(one_time=5)
        elif chance < 0.035:
            self._browser.browser.rotate()
            await self._browser.publish()
        elif chance < 0.045:
            await self._lose_our_disk()
        else:
            return
        self.losses += 1

    async def _lose_our_disk(self) -> None:
        await self.client.logout(clear_storage=True)
        self.client = self._clients.new()
        self._listen()
        await self.client.login("ours", PASSWORD)

    async def _hear(self, number: int) -> None:
        me, chance, wanted = (
            self.client.user_id,
            self._random.random(),
            f"from the browser {number}",
        )
        if chance < 0.05:
            wanted = await self._browser.send_image(me, DATA_URL)
        elif chance < 0.1:
            wanted = await self._browser.send_clear(me, wanted)
        else:
            wanted = await self._browser.send(me, wanted)
        async with asyncio.timeout(PATIENCE):
            while (message := await self._outcomes.get()) is not None and message.id != wanted:
                pass
        self.to_us.note(read=message is not None)

    async def _say(self, number: int) -> None:
        peer = self._browser.person.id
        if self._random.random() < 0.05:
            sent = await self.client.send_image(peer, PNG)
        else:
            sent = await self.client.send_message(peer, f"from us {number}")
        text = await self._browser.until_received(sent.id, PATIENCE)
        self.to_browser.note(read=text is not None)


async def test_every_message_is_read_or_reported_and_it_always_heals(
    server: Server, clients: Clients
) -> None:
    async with raw_backend(server.url) as backend, browser_on(backend, "browser") as browser:
        talk = Talk(clients, browser, seed=7)
        await talk.start()
        for number in range(MESSAGES):
            await talk.step(number)
    logger.info(
        "%s losses; to us: %s; to the browser: %s", talk.losses, talk.to_us, talk.to_browser
    )
    both = (talk.to_us, talk.to_browser)
    assert sum(tally.read + tally.reported for tally in both) == MESSAGES
    assert max(tally.worst for tally in both) <= HEALED_WITHIN
    assert talk.losses
