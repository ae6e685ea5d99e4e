"""Privileged group commands: run once their writer has confirmed them 1:1, encrypted.

Anybody on the backend's side can forge a group message. So whoever a command seems to come from is
asked in the encrypted chat, and `/yes` with the code from there lets it run in the group's turn.
"""

from __future__ import annotations

import asyncio
import secrets
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from chatbot.client.storage.message_storage import InboxEntry, MessageStorage
from chatbot.plugins.endpoints import CommandEndpoint
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Reply
from chatbot.plugins.text import quoted, sanitise
from chatbot.runtime.clock import Timer
from chatbot.runtime.context import MessageContext
from chatbot.runtime.dialogs import InTurn
from chatbot.runtime.journal import Steps
from chatbot.runtime.world import World

YES: Final = "yes"
NO: Final = "no"

PATIENCE: Final = 5 * 60_000
"""How long (ms) somebody has to confirm."""

MAX_WAITING: Final = 5
"""Unconfirmed commands of one user: whoever forges more of them does not flood the real one."""

_CODES: Final = 10_000
_STEP: Final = "confirmed"


@dataclass(slots=True, eq=False)
class Confirmation:
    """A command that waits for its writer's word."""

    ctx: MessageContext
    steps: Steps
    code: str
    word: asyncio.Future[bool]
    timer: Timer | None = None


class Confirmations:
    """Every unconfirmed command of one bot.

    Args:
        in_turn: does something in a conversation's turn.
        code: makes a new code.
    """

    def __init__(
        self,
        world: World,
        in_turn: InTurn,
        *,
        code: Callable[[], str] = lambda: f"{secrets.randbelow(_CODES):04}",
    ) -> None:
        self._world = world
        self._in_turn = in_turn
        self._code = code
        self._waiting: dict[tuple[str, str], Confirmation] = {}

    def __len__(self) -> int:
        """How many wait."""
        return len(self._waiting)

    async def ask(self, endpoint: CommandEndpoint, ctx: MessageContext) -> bool:
        """Ask whoever the message says it is from; whether they confirm it in time."""
        steps = Steps(self._world.journal, ctx.incoming.run, f"{endpoint.key}:confirm")
        settled = steps.recorded(_STEP, 0, bool)
        if settled is not None:
            return settled
        if sum(user == ctx.user.id for user, _ in self._waiting) >= MAX_WAITING:
            return False
        code, asked_at = await self._ask(steps, ctx)
        confirmation = Confirmation(ctx, steps, code, asyncio.get_running_loop().create_future())
        self._waiting[ctx.user.id, code] = confirmation
        confirmation.timer = self._world.clock.call_after(
            asked_at, PATIENCE, lambda: self._expire(confirmation)
        )
        try:
            return await ctx.incoming.activity.pause(confirmation.word)
        finally:
            self._drop(confirmation)

    async def _ask(self, steps: Steps, ctx: MessageContext) -> tuple[str, int]:
        """Send the question, unless an earlier try has; the code, and when it was sent (ms)."""
        code, now = self._new_code(ctx.user.id), self._world.clock.now()
        prefix, post = ctx.prefix, self._world.outlet.post
        where = "" if ctx.group is None else f" in {sanitise(ctx.group.name)}"
        text = (
            f"Did you write {quoted(ctx.message.content, 200)}{where}?"
            f" {prefix}{YES} {code} lets me do it, {prefix}{NO} {code} does not."
        )
        question = await post.compose(
            Chat(ctx.user.id, "direct"), Reply(text), steps.message_id("question", 0)
        )
        asked = await steps.once("question", 0, lambda _: [code, now], list[str | int], [question])
        return str(asked[0]), int(asked[1])

    def _new_code(self, user: str) -> str:
        while (user, code := self._code()) in self._waiting:
            pass
        return code

    # ------------------------------------------------------------ the word

    def waits_for(self, user: str, code: str) -> bool:
        """Whether a command of this user waits under that code."""
        return (user, code) in self._waiting

    async def deliver(self, entry: InboxEntry, code: str, *, word: bool) -> None:
        """Somebody has answered; the command goes on in its group's turn."""
        confirmation = self._waiting[entry.message.from_user, code]
        await self._settle(confirmation, entry, word=word)

    def _expire(self, confirmation: Confirmation) -> None:
        self._in_turn(
            confirmation.ctx.chat.id, lambda: self._settle(confirmation, None, word=False)
        )

    async def _settle(
        self, confirmation: Confirmation, entry: InboxEntry | None, *, word: bool
    ) -> None:
        if confirmation.word.done():
            return
        self._drop(confirmation)

        def act(connection: sqlite3.Connection) -> bool:
            if entry is not None:
                MessageStorage.done(entry.seq)(connection)
            return word

        await confirmation.steps.once(_STEP, 0, act, bool)
        activity = confirmation.ctx.incoming.activity
        if entry is None:
            confirmation.word.set_result(word)
            await activity.go()
        else:
            self._in_turn(confirmation.ctx.chat.id, lambda: self._go_on(confirmation, word=word))

    async def _go_on(self, confirmation: Confirmation, *, word: bool) -> None:
        confirmation.word.set_result(word)
        await confirmation.ctx.incoming.activity.go()

    def _drop(self, confirmation: Confirmation) -> None:
        if confirmation.timer is not None:
            confirmation.timer.cancel()
        self._waiting.pop((confirmation.ctx.user.id, confirmation.code), None)
