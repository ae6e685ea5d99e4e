"""What a middleware takes part in: every message in, every message out.

An inbound middleware wraps the handling of one message, an outbound one the sending of one. Each
calls the next with what it was given, or not, and then nothing further in happens:

    @plugin.middleware("inbound")
    async def quiet_hours(ctx: Context, call_next: InboundNext) -> None:
        if ctx.bot.now().hour >= 6:
            await call_next(ctx)

    @plugin.middleware("outbound")
    async def signed(out: Outgoing, call_next: OutboundNext) -> Message | None:
        return await call_next(out.with_text(f"{out.reply.text} - the bot"))
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from chatbot.client.models import Message
from chatbot.plugins.context import Context
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Reply

Direction: TypeAlias = Literal["inbound", "outbound"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Outgoing:
    """One message on its way out.

    Attributes:
        plugin: whose handler or job sends it.
        cause: the message it answers, None for what nobody asked for.
    """

    chat: Chat
    reply: Reply
    plugin: str
    cause: Context | None = field(default=None, repr=False)

    def with_text(self, text: str) -> Outgoing:
        """The same with another text."""
        return replace(self, reply=replace(self.reply, text=text))


InboundNext: TypeAlias = Callable[[Context], Awaitable[None]]
Inbound: TypeAlias = Callable[[Context, InboundNext], Awaitable[None]]

OutboundNext: TypeAlias = Callable[[Outgoing], Awaitable[Message | None]]
"""Returns what was sent, None where a middleware further in held it back."""

Outbound: TypeAlias = Callable[[Outgoing, OutboundNext], Awaitable[Message | None]]
