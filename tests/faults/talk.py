"""A conversation with the bot: numbered messages, now and then a dialog, and what came back."""

from __future__ import annotations

import asyncio
import re
from collections import Counter
from collections.abc import Sequence
from random import Random
from typing import Final

import msgspec

from faults.report import Evidence, Tally
from faults.tide import Tide
from faults.voices import BrowserVoice, Voice

PATIENCE: Final = 75.0
"""Seconds that a person waits for the next question: longer than the bot waits for an answer."""

_REPLY: Final = re.compile(r"re (\d+)")


class Talk:
    """One person's conversation.

    Args:
        tide: how much may have been said by when.
        numbers: how many numbered messages.
        dialogs: how many of them are followed by a dialog.
        spread: the longest silence (seconds) between two messages that may be said.
        seed: of what is said when.

    Attributes:
        other: what else the bot said, by text.
    """

    def __init__(
        self,
        voice: Voice,
        bot_id: str,
        tide: Tide,
        *,
        numbers: int,
        dialogs: int,
        spread: float,
        seed: int,
    ) -> None:
        self.voice = voice
        self.other: Counter[str] = Counter()
        self._bot_id = bot_id
        self._tide = tide
        self._numbers = numbers
        self._spread = spread
        self._random = Random(f"{seed} {voice.name}")
        self._dialogs = frozenset(self._random.sample(range(numbers), dialogs))
        self._ids: dict[str, int] = {}
        self._heard: set[str] = set()
        self._replies: dict[int, set[str]] = {}
        self._forms: asyncio.Queue[str] = asyncio.Queue()
        self._tallies: asyncio.Queue[Tally] = asyncio.Queue()
        self._all_answered = asyncio.Event()

    # ------------------------------------------------------------ talking

    async def talk(self) -> None:
        """Say everything, as the tide allows."""
        for number in range(self._numbers):
            await self._tide.reaches((number + 1) / self._numbers)
            await asyncio.sleep(self._random.uniform(0, self._spread))
            await self._say(number)
            if number in self._dialogs:
                await self._answer_questions(number)

    async def _say(self, number: int) -> None:
        self._ids[await self.voice.write(self._bot_id, f"/n {number}")] = number
        self._all_answered.clear()

    async def _answer_questions(self, number: int) -> None:
        await self.voice.write(self._bot_id, f"/form {number}")
        while True:
            try:
                async with asyncio.timeout(PATIENCE):
                    said = await self._forms.get()
            except TimeoutError:
                return  # the question was lost on the way; the bot tells that nobody answered
            if said == f"form {number}: name?":
                await self.voice.write(self._bot_id, self.voice.name)
            elif said == f"form {number}: age?":
                await self.voice.write(self._bot_id, str(number))
            elif said.startswith(f"form {number}: ") or not said.startswith("form "):
                return

    # ------------------------------------------------------------ hearing

    async def hear(self) -> None:
        """Take in what the bot says, for ever."""
        while True:
            message_id, text = await self.voice.heard.get()
            if message_id in self._heard:
                continue  # browsers show what is sent again, and people do not answer it again
            self._heard.add(message_id)
            if reply := _REPLY.fullmatch(text):
                self._replies.setdefault(int(reply[1]), set()).add(message_id)
                if len(self._replies) == len(self._ids):
                    self._all_answered.set()
            elif text.startswith("{"):
                self._tallies.put_nowait(msgspec.json.decode(text, type=Tally))
            else:
                self._forms.put_nowait(text)
                if not text.startswith("form "):
                    self.other[text] += 1

    async def all_answered(self, deadline: float) -> bool:
        """Whether all that was said is answered by then, by the event loop's clock."""
        try:
            async with asyncio.timeout_at(deadline):
                await self._all_answered.wait()
        except TimeoutError:
            return False
        return True

    async def ask_for_tally(self, seconds: float) -> Tally | None:
        """What the bot has counted, None if it does not answer."""
        await self.voice.write(self._bot_id, "/tally")
        try:
            async with asyncio.timeout(seconds):
                return await self._tallies.get()
        except TimeoutError:
            return None

    def evidence(self, stored: Sequence[str], tally: Tally | None) -> Evidence:
        """What is known in the end.

        Args:
            stored: the ids of this one's messages to the bot in the backend, in its order.
            tally: what the bot said.
        """
        return Evidence(
            peer=self.voice.name,
            reached=[self._ids[message_id] for message_id in stored if message_id in self._ids],
            tally=tally,
            replies={number: sorted(ids) for number, ids in self._replies.items()},
            is_browser=isinstance(self.voice, BrowserVoice),
        )
