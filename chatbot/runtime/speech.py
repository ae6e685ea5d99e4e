"""How plugins speak: through the outbound middleware, each message a step of its run."""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Final

from chatbot.client.exceptions import ValidationError
from chatbot.client.models import Message
from chatbot.plugins.context import Context
from chatbot.plugins.onion import Outgoing
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Content, Reply, as_reply
from chatbot.runtime.journal import Work
from chatbot.runtime.posting import Post


@dataclass(slots=True)
class _Saying:
    """A message on its way through the onion: what its core must know, and what came of it."""

    message_id: str
    said: list[Message] = field(default_factory=list)


_saying: Final = ContextVar[_Saying]("saying")


class Outlet:
    """What plugins say goes out through here, through the outbound middleware.

    Attributes:
        post: makes and commits messages.
        onion: around `core`; it is the present generation's.
    """

    def __init__(self, post: Post) -> None:
        self.post = post
        self.onion: Callable[[Outgoing], Awaitable[Message | None]] = self.core

    async def core(self, out: Outgoing) -> Message | None:
        """The inside of every onion: make the message, once however often it is called."""
        saying = _saying.get()
        if not saying.said:
            saying.said.append(await self.post.compose(_address(out), out.reply, saying.message_id))
        return saying.said[0]

    async def say(
        self,
        work: Work,
        kind: str,
        outgoing: Outgoing,
        *,
        at_end: bool = False,
        key: str | None = None,
    ) -> Message:
        """Send a message as a step of `work`, at once or with the handler's end.

        Args:
            key: makes its id, so that no other run sends it again; a step that is known by its
                place in the run otherwise.

        Returns:
            What was sent; where a middleware held it back, what would have been.
        """
        n = work.claim(kind)
        message_id = work.message_id(kind, n) if key is None else self.post.keyed_id(outgoing, key)
        saying = _Saying(message_id)
        if key is not None or work.has(kind, n):
            sent = await self.post.sent(message_id)
            if sent is not None or key is None:
                return sent or await self._compose(outgoing, saying)
        token = _saying.set(saying)
        try:
            await self.onion(outgoing)
        finally:
            _saying.reset(token)
        if at_end:
            await work.later(saying.said)
        elif key is None:
            await work.once(kind, n, _nothing, type(None), saying.said)
        else:
            await self.post.post(saying.said, _nothing)  # its id says that it was sent
        return saying.said[0] if saying.said else await self._compose(outgoing, saying)

    async def _compose(self, outgoing: Outgoing, saying: _Saying) -> Message:
        return await self.post.compose(_address(outgoing), outgoing.reply, saying.message_id)


@dataclass(frozen=True, slots=True)
class Speech:
    """One plugin's voice in one run.

    Attributes:
        cause: the message that is answered, where there is one.
    """

    outlet: Outlet
    work: Work
    plugin: str
    cause: Context | None = None

    async def say(
        self,
        kind: str,
        chat: Chat,
        content: Content,
        *,
        at_end: bool = False,
        key: str | None = None,
    ) -> Message:
        """Write into a chat.

        Raises:
            ValidationError: it is empty, too long, or cannot be sent.
        """
        reply = as_reply(content)
        if reply is None:
            raise ValidationError("there is nothing to send: the text is empty")
        return await self.reply(kind, chat, reply, at_end=at_end, key=key)

    async def reply(
        self,
        kind: str,
        chat: Chat,
        reply: Reply,
        *,
        at_end: bool = False,
        key: str | None = None,
    ) -> Message:
        """The same with what `as_reply` gave."""
        outgoing = Outgoing(chat=chat, reply=reply, plugin=self.plugin, cause=self.cause)
        return await self.outlet.say(self.work, kind, outgoing, at_end=at_end, key=key)


def _address(out: Outgoing) -> Chat:
    if out.reply.private and out.cause is not None:
        return Chat(out.cause.user.id, "direct")
    return out.chat


def _nothing(_connection: sqlite3.Connection) -> None:
    """Nothing but the message."""
