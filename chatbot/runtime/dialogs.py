"""Questions in the middle of handlers, and the messages that answer them.

A handler that asks lets its lane go on; the message that answers is the handler's turn in the lane
again. What was answered is a step of the asking run, committed together with the end of the
answering message: after a crash the handler is run again, finds its answers, and goes on where it
was.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final, Literal, TypeAlias

import msgspec

from chatbot.client.storage.batch import Unit
from chatbot.client.storage.message_storage import InboxEntry, MessageStorage
from chatbot.plugins.arguments import ArgumentParser, compile_answer
from chatbot.plugins.durations import milliseconds
from chatbot.plugins.errors import DialogEnded, UsageError
from chatbot.plugins.replies import Content, Reply
from chatbot.runtime.clock import Timer
from chatbot.runtime.context import MessageContext
from chatbot.runtime.journal import Steps
from chatbot.runtime.permissions import Facts
from chatbot.runtime.world import World

MAX_DIALOGS: Final = 1000
"""Questions that wait at once; past it the one that waits longest ends."""

CANCEL: Final = "cancel"
"""The word that ends a dialog, behind the prefix."""

_ANSWER: Final = "answer"

Ending: TypeAlias = Literal["timeout", "cancelled", "reloaded"]
InTurn: TypeAlias = Callable[[str, Callable[[], Any]], None]
"""Does something in a conversation's turn."""

logger = logging.getLogger(__name__)


class Answered(msgspec.Struct, frozen=True, array_like=True):
    """What came of a question.

    Attributes:
        text: what was answered, None where it ended without.
        ending: why it ended without.
    """

    text: str | None = None
    ending: str = ""


@dataclass(slots=True, eq=False)
class Dialog:
    """A question that waits.

    Attributes:
        n: which of its handler's questions it is.
        answer: gets the answer as the type that was asked for.
    """

    ctx: MessageContext
    steps: Steps
    n: int
    parser: ArgumentParser
    answer: asyncio.Future[Any]
    timer: Timer | None = field(default=None)

    @property
    def key(self) -> tuple[str, str]:
        """Where it is asked, and whom."""
        return self.ctx.chat.id, self.ctx.user.id


class Dialogs:
    """Every question of one bot that waits: at most one for each user in each chat.

    Args:
        in_turn: does something in a conversation's turn.
    """

    def __init__(self, world: World, in_turn: InTurn) -> None:
        self._world = world
        self._in_turn = in_turn
        self._waiting: dict[tuple[str, str], Dialog] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def of(self, entry: InboxEntry) -> Dialog | None:
        """The question that this message may be the answer to."""
        return self._waiting.get((entry.conversation, entry.message.from_user))

    # ------------------------------------------------------------ asking

    async def ask(
        self, ctx: MessageContext, question: Content, kind: Any, wait: str | timedelta
    ) -> Any:
        """Ask, and wait for the answer (`Context.ask`)."""
        steps = ctx.steps
        compiled = ctx.incoming.generation.table.plugins.get(ctx.plugin)
        parser = compile_answer(kind, {} if compiled is None else compiled.converters)
        ms = milliseconds(wait)
        n = steps.claim(_ANSWER)
        answered = steps.recorded(_ANSWER, n, Answered)
        if answered is None:
            await self._make_room(ctx.chat.id, ctx.user.id)
        sent = await ctx.speech.say("question", ctx.chat, question)
        if answered is not None:
            return await _value(answered, parser, ctx)
        dialog = Dialog(ctx, steps, n, parser, asyncio.get_running_loop().create_future())
        self._waiting[dialog.key] = dialog
        dialog.timer = self._world.clock.call_after(
            sent.timestamp, ms, lambda: self._end_soon(dialog, "timeout")
        )
        try:
            return await ctx.incoming.activity.pause(dialog.answer)
        finally:
            self._drop(dialog)

    async def _make_room(self, chat: str, user: str) -> None:
        """A new dialog ends the one before it in the same chat, and too many the oldest."""
        earlier = self._waiting.get((chat, user))
        if earlier is not None:
            await self.end(earlier, "cancelled")
        if len(self._waiting) >= MAX_DIALOGS:
            self._end_soon(next(iter(self._waiting.values())), "timeout")

    def _drop(self, dialog: Dialog) -> None:
        if dialog.timer is not None:
            dialog.timer.cancel()
        if self._waiting.get(dialog.key) is dialog:
            del self._waiting[dialog.key]

    # ------------------------------------------------------------ answering

    def accepts(self, dialog: Dialog, facts: Facts) -> bool:
        """Whether a message proves as much of its writer as the one that began the dialog."""
        asked = dialog.ctx.incoming.facts
        return facts.encrypted >= asked.encrypted and facts.pinned >= asked.pinned

    async def deliver(self, dialog: Dialog, entry: InboxEntry) -> None:
        """Give a message to the handler that asked, and let that go on; or ask again."""
        text = entry.message.content
        done = MessageStorage.done(entry.seq)
        try:
            value = await _value(Answered(text), dialog.parser, dialog.ctx)
        except UsageError as error:
            await self._ask_again(dialog, entry, str(error), done)
        except Exception:
            logger.exception("the answer to a question of %s cannot be read", dialog.ctx.plugin)
            await self._ask_again(dialog, entry, "That could not be read.", done)
        else:
            await self._settle(dialog, Answered(text), done)
            dialog.answer.set_result(value)
            await dialog.ctx.incoming.activity.go()

    async def cancel(self, dialog: Dialog, entry: InboxEntry) -> None:
        """The person who was asked does not want to go on."""
        await self.end(dialog, "cancelled", MessageStorage.done(entry.seq))

    async def end(self, dialog: Dialog, ending: Ending, also: Unit[None] | None = None) -> None:
        """End a dialog without an answer, and let its handler end."""
        if not dialog.answer.done():
            await self._settle(dialog, Answered(ending=ending), also or _nothing)
            dialog.answer.set_exception(DialogEnded(ending))
            await dialog.ctx.incoming.activity.go()

    async def end_all(self, plugins: Collection[str], ending: Ending) -> None:
        """End every dialog of these plugins."""
        for dialog in [d for d in self._waiting.values() if d.ctx.plugin in plugins]:
            await self.end(dialog, ending)

    def _end_soon(self, dialog: Dialog, ending: Ending) -> None:
        self._in_turn(dialog.ctx.chat.id, lambda: self.end(dialog, ending))

    async def _settle(self, dialog: Dialog, answered: Answered, also: Unit[None]) -> None:
        self._drop(dialog)

        def act(connection: sqlite3.Connection) -> Answered:
            also(connection)
            return answered

        await dialog.steps.once(_ANSWER, dialog.n, act, Answered)

    async def _ask_again(
        self, dialog: Dialog, entry: InboxEntry, problem: str, done: Unit[None]
    ) -> None:
        ctx = dialog.ctx
        text = f"{problem}\n({ctx.prefix}{CANCEL} ends this.)"
        message_id = dialog.steps.message_id(f"again {entry.message.id}", dialog.n)
        outlet = self._world.outlet
        message = await outlet.post.compose(ctx.chat, Reply(text), message_id)
        await outlet.post.post([message], done)


async def _value(answered: Answered, parser: ArgumentParser, ctx: MessageContext) -> Any:
    if answered.text is None:
        raise DialogEnded(answered.ending)
    return (await parser.parse(answered.text, ctx))["answer"]


def _nothing(_connection: sqlite3.Connection) -> None:
    """Nothing but the ending."""
