"""Running a message's handlers: what dispatching asks of the bot (`dispatch.Host`)."""

from __future__ import annotations

import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import AsyncExitStack, aclosing
from dataclasses import dataclass, field
from typing import Final, cast

import msgspec

from chatbot.client.exceptions import StorageError
from chatbot.plugins.context import Context
from chatbot.plugins.endpoints import Call, CommandEndpoint, FilterEndpoint, MiddlewareEntry
from chatbot.plugins.errors import DialogEnded, UsageError
from chatbot.plugins.replies import as_reply
from chatbot.runtime.admission import Admission
from chatbot.runtime.confirmations import Confirmations
from chatbot.runtime.context import Incoming, MessageContext
from chatbot.runtime.dispatch import Target, usage_answer
from chatbot.runtime.journal import Effects, Steps
from chatbot.runtime.speech import Speech
from chatbot.runtime.threads import Threads
from chatbot.runtime.world import World

BOT: Final = "bot"
"""In whose name the runtime itself speaks; no plugin can have a name without a dot before it."""

_ENDINGS: Final = {
    "timeout": "No answer came in time, so this has ended.",
    "cancelled": "Cancelled.",
    "reloaded": "This has ended: the bot was updated meanwhile. Please begin again.",
}

logger = logging.getLogger(__name__)


class OutdatedError(Exception):
    """A plugin was reloaded while a message was on its way to it: the message begins anew."""


class HandlerFailed(Exception):  # noqa: N818 - an outcome, caught where it is expected
    """A handler did not come to its end; the cause is what it raised."""

    def __init__(self, endpoint: str, *, quiet: bool) -> None:
        super().__init__(f"{endpoint} failed")
        self.endpoint = endpoint
        self.quiet = quiet


@dataclass(slots=True, eq=False)
class MessageHost:
    """Runs the handlers of one message.

    Attributes:
        timeout: how long (ms) a handler may take that says nothing of it.
        failed_with: the first handler's failure; the others are run all the same.
    """

    world: World
    incoming: Incoming
    admission: Admission
    confirmations: Confirmations
    threads: Threads
    timeout: int
    failed_with: HandlerFailed | None = None
    _answers: int = 0
    _layers: list[Steps] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.incoming.host = self

    # ------------------------------------------------------------ contexts

    def outermost(self) -> MessageContext:
        """The context that goes into the onion."""
        return self._context(BOT, f"{BOT}:inbound")

    def layer(self, entry: MiddlewareEntry) -> Context:
        """The context of a plugin's middleware."""
        own = self._context(entry.plugin, f"{entry.plugin}:inbound:{entry.source.line}")
        self._layers.append(own.steps)
        return own

    def bind(self, ctx: Context, endpoint: Target) -> Context:
        """The context of a handler."""
        del ctx
        return self._context(endpoint.plugin, endpoint.key)

    def end_layers(self) -> None:
        """All went well: what middleware has left commits with the end of the message."""
        for steps in self._layers:
            steps.end()

    def _context(self, plugin: str, key: str) -> MessageContext:
        steps = Steps(self.world.journal, self.incoming.run, key)
        return MessageContext(self.world, self.incoming, steps, plugin)

    # ------------------------------------------------------------ access

    async def admit(self, endpoint: Target, ctx: Context) -> bool:
        """Whether the writer may use it now; where not, and it is a command, says so.

        Raises:
            OutdatedError: its plugin is not the present one.
        """
        own = self.incoming.generation.table.plugins.get(endpoint.plugin)
        if self.world.table.plugins.get(endpoint.plugin) is not own:
            raise OutdatedError(endpoint.key)
        decision = self.admission.decide(endpoint, self.incoming)
        if decision.outcome == "confirm" and isinstance(endpoint, CommandEndpoint):
            if not await self.confirmations.ask(endpoint, cast("MessageContext", ctx)):
                return False
            self.incoming.facts = msgspec.structs.replace(self.incoming.facts, confirmed=True)
            decision = self.admission.decide(endpoint, self.incoming)
        refusal = self.admission.refusal(endpoint, self.incoming, decision)
        if refusal and isinstance(endpoint, CommandEndpoint):
            await self.answer(ctx, refusal)
        return refusal is None

    def visible(self, endpoint: CommandEndpoint, ctx: Context) -> bool:
        """Whether the writer may know of that command."""
        del ctx
        return self.admission.visible(endpoint, self.incoming)

    # ------------------------------------------------------------ running

    async def run(self, endpoint: Target, ctx: Context, call: Call) -> None:
        """Run a handler; what it answers and keeps waits for the message's end."""
        own = cast("MessageContext", ctx)
        steps = own.steps
        if steps.has_ended:
            return
        await self.world.journal.flush(self.incoming.run)
        started = time.perf_counter()
        try:
            outcome = await self._attempt(endpoint, own, steps, call)
        except StorageError:
            raise
        except Exception as error:  # noqa: BLE001 - an author's code may raise anything
            outcome = "timeout" if isinstance(error, TimeoutError) else "failed"
            self._fail(endpoint, error)
        else:
            steps.end()
        metrics = self.world.metrics
        metrics.outcomes[endpoint.plugin, outcome] += 1
        metrics.handler_seconds.add(time.perf_counter() - started)

    async def _attempt(
        self, endpoint: Target, ctx: MessageContext, steps: Steps, call: Call
    ) -> str:
        limit = endpoint.timeout or self.timeout
        try:
            with self.incoming.activity.limited(limit):
                await self._answer_with(ctx, await call.run(self.threads.runner(endpoint.key)))
        except UsageError as error:
            text, outcome = str(error), "usage"
            if isinstance(endpoint, CommandEndpoint):
                text = usage_answer(error, endpoint, ctx.prefix)
        except DialogEnded as ended:
            text, outcome = _ENDINGS.get(ended.reason, str(ended)), "dialog"
        else:
            return "ok"
        steps.effects = Effects()
        await ctx.speech.say("ending", ctx.chat, text, at_end=True)
        return outcome

    async def _answer_with(self, ctx: MessageContext, answer: object) -> None:
        if not isinstance(answer, AsyncIterator):
            await self._say(ctx, answer, at_end=True)
            return
        async with AsyncExitStack() as stack:
            if isinstance(answer, AsyncGenerator):
                await stack.enter_async_context(aclosing(answer))
            async for item in answer:
                await self._say(ctx, item)

    async def _say(self, ctx: MessageContext, value: object, *, at_end: bool = False) -> None:
        reply = as_reply(value)
        if reply is not None:
            await ctx.speech.reply("reply", ctx.chat, reply, at_end=at_end)

    async def answer(self, ctx: Context, text: str) -> None:
        """Answer in the bot's own name, with the message's end."""
        steps = Steps(self.world.journal, self.incoming.run, f"{BOT}:answer:{self._answers}")
        self._answers += 1
        speech = Speech(self.world.outlet, steps, BOT, ctx)
        await speech.say("answer", ctx.chat, text, at_end=True)
        steps.end()

    # ------------------------------------------------------------ failing

    def failed(self, endpoint: FilterEndpoint, error: Exception) -> None:
        """A filter raised; it counts as one that does not let the message through."""
        logger.error(
            "plugin %s: the condition of %s failed", endpoint.plugin, endpoint.key, exc_info=error
        )

    def _fail(self, endpoint: Target, error: Exception) -> None:
        quiet = isinstance(endpoint, FilterEndpoint) and self.incoming.chat.kind == "group"
        failure = HandlerFailed(endpoint.key, quiet=quiet)
        failure.__cause__ = error
        self.failed_with = self.failed_with or failure
