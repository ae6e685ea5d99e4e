"""Messages that somebody waits for: answers to questions, and words on commands."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from types import MappingProxyType
from typing import Final

from chatbot.client.storage.message_storage import InboxEntry, MessageStorage
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Reply
from chatbot.runtime.arrivals import Arrivals
from chatbot.runtime.confirmations import NO, YES, Confirmations
from chatbot.runtime.dialogs import CANCEL, Dialog, Dialogs
from chatbot.runtime.routing import Route, Unknown
from chatbot.runtime.world import World

RECOVERY_SECONDS: Final = 10.0
"""How long an answer waits for the handlers that a restart has interrupted."""

_IDLE: Final = MappingProxyType(
    {
        CANCEL: "There is nothing to cancel.",
        YES: "Nothing waits for that word.",
        NO: "Nothing waits for that word.",
    }
)

_WORD: Final = re.compile(rf"({YES}|{NO})\s+([0-9]{{4}})\s*", re.IGNORECASE | re.ASCII)


class Recovery:
    """Which runs a restart has interrupted, until each of them has got as far as it was.

    A word on a command comes in another conversation than the command, so that after a restart it
    may come first.
    """

    def __init__(self) -> None:
        self._left: set[str] = set()
        self._done = asyncio.Event()
        self._done.set()

    def begin(self, runs: Iterable[str]) -> None:
        """These have been interrupted."""
        self._left.update(run for run in runs if run.startswith("m:"))
        if self._left:
            self._done.clear()

    def reached(self, run: str) -> None:
        """This one has ended, or waits for somebody again."""
        self._left.discard(run)
        if not self._left:
            self._done.set()

    async def wait(self) -> None:
        """Wait for all of them, but not for ever."""
        try:
            async with asyncio.timeout(RECOVERY_SECONDS):
                await self._done.wait()
        except TimeoutError:
            self._left.clear()
            self._done.set()


class Awaited:
    """Brings messages to the handlers that wait for them."""

    def __init__(
        self,
        world: World,
        arrivals: Arrivals,
        dialogs: Dialogs,
        confirmations: Confirmations,
        recovery: Recovery,
    ) -> None:
        self._world = world
        self._arrivals = arrivals
        self._dialogs = dialogs
        self._confirmations = confirmations
        self._recovery = recovery

    async def take(self, entry: InboxEntry) -> bool:
        """Give a message to whoever waits for it; False where nobody does."""
        if entry.kind == "direct" and await self._confirms(entry):
            return True
        dialog = self._dialogs.of(entry)
        if dialog is not None and await self._answers(dialog, entry):
            return True
        return entry.kind == "direct" and await self._is_idle_word(entry)

    async def _is_idle_word(self, entry: InboxEntry) -> bool:
        """Whether it was one of the runtime's own words, and nobody waits for it: says so."""
        invocation = self._arrivals.invocation(entry)
        routed = self._world.table.commands.route(entry.message.content, invocation)
        text = _IDLE.get(routed.name.casefold()) if isinstance(routed, Unknown) else None
        if text is None:
            return False
        journal, outlet = self._world.journal, self._world.outlet
        message_id = journal.new_message_id(entry.message.from_user, entry.message.id, "idle")
        chat = Chat(entry.conversation, entry.kind)
        message = await outlet.post.compose(chat, Reply(text), message_id)
        await journal.post([message], MessageStorage.done(entry.seq))
        return True

    async def _answers(self, dialog: Dialog, entry: InboxEntry) -> bool:
        """Whether a message answers the question; commands do not."""
        invocation = self._arrivals.invocation(entry)
        routed = self._world.table.commands.route(entry.message.content, invocation)
        facts = await self._arrivals.facts(entry)
        if isinstance(routed, Route) or not self._dialogs.accepts(dialog, facts):
            return False
        if isinstance(routed, Unknown) and routed.name.casefold() == CANCEL:
            await self._dialogs.cancel(dialog, entry)
        else:
            await self._dialogs.deliver(dialog, entry)
        return True

    async def _confirms(self, entry: InboxEntry) -> bool:
        """Whether a message is its writer's word on a command of theirs."""
        body = self._arrivals.invocation(entry).body(entry.message.content)
        found = _WORD.fullmatch(body) if body is not None else None
        if found is None:
            return False
        user, code = entry.message.from_user, found[2]
        if not self._confirmations.waits_for(user, code):
            await self._recovery.wait()
        facts = await self._arrivals.facts(entry)
        if not self._confirmations.waits_for(user, code) or not facts.pinned:
            return False
        await self._confirmations.deliver(entry, code, word=found[1].casefold() == YES)
        return True
