"""A long talk with a browser over real sockets, each side losing its state at times.

`make talk` has 10,000 messages of it (BROWSER_MESSAGES); BROWSER_SEED is for other mishaps.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time
from base64 import b64encode
from collections import Counter
from dataclasses import dataclass, field

from doubles.browser_on_socket import BrowserOnSocket, browser_on
from doubles.clients import PASSWORD, Clients
from doubles.pictures import PNG
from doubles.raw_client import raw_backend

from chatbot.client.client import WhatsAppClient
from chatbot.client.crypto.key_manager import PrekeyPolicy
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions
from chatbot.server import Server

MESSAGES = int(os.environ.get("BROWSER_MESSAGES", "120"))
SEED = int(os.environ.get("BROWSER_SEED", "1"))
PATIENCE = 20.0
"""Seconds after which what is neither read nor reported counts as lost, and what is not healed as
broken."""

FEW_PREKEYS = ClientOptions(prekeys=PrekeyPolicy(target=8, minimum=2))
"""A browser takes one for every message it sends, so that they soon run dry."""

HEALED_WITHIN = 15
"""Messages in a row, of one direction, that may be unreadable: a browser tells nobody what it could
not read, so that ends when it next says something."""

logger = logging.getLogger(__name__)

DATA_URL = f"data:image/png;base64,{b64encode(PNG).decode()}"


@dataclass
class Tally:
    """What became of the messages of one direction.

    Attributes:
        worst: how many in a row could not be read, at the most.
        healing: seconds from the first of such a row until one could be read.
    """

    read: int = 0
    reported: int = 0
    in_a_row: int = 0
    worst: int = 0
    broken_at: float | None = None
    healing: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.read} read, {self.reported} reported, at most {self.worst} in a row;"
            f" healed in at most {max(self.healing, default=0):.1f} s"
        )

    @property
    def count(self) -> int:
        """How many there were."""
        return self.read + self.reported

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
    """Our client and a browser, one message after the other, or one each way at once.

    Attributes:
        heard: how often our client was given each message of the browser's, by its id.
        reported: how often it said that it could not read one.
        to_us, to_browser: what became of them.
        losses: how often one side lost something.
    """

    def __init__(self, clients: Clients, browser: BrowserOnSocket, seed: int) -> None:
        self._clients = clients
        self._browser = browser
        self._random = random.Random(seed)
        self._outcomes: asyncio.Queue[Message | None] = asyncio.Queue()
        self.to_us, self.to_browser = Tally(), Tally()
        self.heard: Counter[str] = Counter()
        self.reported = 0
        self.losses = 0
        self.client: WhatsAppClient = clients.new(options=FEW_PREKEYS)

    async def start(self) -> None:
        self._listen()
        await self.client.register("ours", PASSWORD)

    def _listen(self) -> None:
        self.client.on_message(self._outcomes.put)

        @self.client.on_undecryptable
        async def report(_peer: str, _reason: str) -> None:
            await self._outcomes.put(None)

    async def step(self) -> None:
        """Lose something, perhaps; then one of both says something, or both at once."""
        await self._mishap()
        both = (self._hear, self._say)
        (who,) = self._random.choices((both[:1], both[1:], both), (9, 9, 2))
        await asyncio.gather(*(speak() for speak in who))

    @property
    def said(self) -> int:
        """How many messages there were."""
        return self.to_us.count + self.to_browser.count

    async def end(self) -> None:
        """Let each say something that the other must be able to read, whatever happened before.

        A browser that cannot read us says nothing of it until it next says something, and we no
        more than once a minute.
        """
        for speak in (self._hear, self._say, self._hear):
            await speak()
        while not self._outcomes.empty():
            self._take(self._outcomes.get_nowait())

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
        self.client = self._clients.new(options=FEW_PREKEYS)
        self._listen()
        await self.client.login("ours", PASSWORD)

    async def _hear(self) -> None:
        me, chance, text = self.client.user_id, self._random.random(), f"to us {self.to_us.count}"
        if chance < 0.05:
            sent = await self._browser.send_image(me, DATA_URL)
        elif chance < 0.1:
            sent = await self._browser.send_clear(me, text)
        else:
            sent = await self._browser.send(me, text)
        self.heard[sent] += 0
        async with asyncio.timeout(PATIENCE):
            while self._take(await self._outcomes.get()) and not self.heard[sent]:
                pass
        self.to_us.note(read=self.heard[sent] > 0)

    def _take(self, outcome: Message | None) -> bool:
        """Count what our client was given; False if it only says that it could not read it."""
        if outcome is None:
            self.reported += 1
            return False
        self.heard[outcome.id] += 1
        return True

    async def _say(self) -> None:
        peer = self._browser.person.id
        if self._random.random() < 0.05:
            sent = await self.client.send_image(peer, PNG)
        else:
            sent = await self.client.send_message(peer, f"from us {self.to_browser.count}")
        text = await self._browser.until_received(sent.id, PATIENCE)
        self.to_browser.note(read=text is not None)


async def test_every_message_is_read_or_reported_and_it_always_heals(
    server: Server, clients: Clients
) -> None:
    async with raw_backend(server.url) as backend, browser_on(backend, "browser") as browser:
        talk = Talk(clients, browser, SEED)
        await talk.start()
        while talk.said < MESSAGES:
            await talk.step()
        await talk.end()
    logger.info("%s losses, %s times without a one-time prekey", talk.losses, browser.ran_dry)
    assert talk.losses
    assert browser.ran_dry
    times = talk.heard.values()
    assert max(times) == 1
    assert sum(not heard for heard in times) <= talk.reported
    both = (talk.to_us, talk.to_browser)
    for direction, tally in zip(("to us", "to the browser"), both, strict=True):
        logger.info("%s: %s", direction, tally)
        assert tally.worst <= HEALED_WITHIN
        assert max(tally.healing, default=0) < PATIENCE
        assert not tally.in_a_row
