"""One message on its way through handlers (`Context`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta
from logging import Logger
from typing import Any, Final, Protocol

from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.models import Message, User
from chatbot.plugins.access import Decision, Role, Rule
from chatbot.plugins.context import CommandInfo, Context, Group
from chatbot.plugins.endpoints import CommandEndpoint, MiddlewareEntry
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Content
from chatbot.plugins.services import Store
from chatbot.runtime.activity import Activity
from chatbot.runtime.dispatch import Host
from chatbot.runtime.generation import Generation
from chatbot.runtime.groups import GroupFacts, RunningGroup
from chatbot.runtime.journal import Run, Steps
from chatbot.runtime.permissions import Facts, Policy, decide, is_proven, proven_role
from chatbot.runtime.routing import Commands, Route, Routed
from chatbot.runtime.scope import RunScope
from chatbot.runtime.speech import Speech
from chatbot.runtime.stores import PluginStore
from chatbot.runtime.world import World

TYPING_AGAIN: Final = 3.0
"""Seconds: whoever sees somebody typing forgets it after 5 s of silence."""


class Layers(Host, Protocol):
    """What the onion asks of the bot: what dispatching does, and contexts for middleware."""

    def layer(self, entry: MiddlewareEntry) -> Context:
        """The context of a plugin's middleware."""


class Asking(Protocol):
    """Who asks people questions in the middle of a handler."""

    async def ask(
        self, ctx: MessageContext, question: Content, kind: Any, wait: str | timedelta
    ) -> Any:
        """See `Context.ask`."""


@dataclass(slots=True, eq=False, kw_only=True)
class Incoming:
    """What all handlers of one message share.

    Attributes:
        generation: the plugins that handle it, whatever is loaded meanwhile.
        facts: what the message proves of its writer.
        policy: the permissions as they were when it came.
        tried: whether an earlier try of it began.
        host: what runs its handlers.
    """

    message: Message
    user: User
    chat: Chat
    group: GroupFacts | None
    facts: Facts
    policy: Policy
    prefix: str
    routed: Routed
    generation: Generation
    run: Run
    tried: bool
    activity: Activity
    asking: Asking
    host: Layers | None = field(default=None, repr=False)


class MessageContext(RunScope):
    """A message, for one plugin's handler."""

    __slots__ = ("_incoming", "steps")

    def __init__(self, world: World, incoming: Incoming, steps: Steps, plugin: str) -> None:
        super().__init__(world, steps, plugin)
        self._incoming = incoming
        self.steps = steps

    @property
    def incoming(self) -> Incoming:
        """What it shares with the message's other handlers."""
        return self._incoming

    @property
    def message(self) -> Message:
        """The message itself."""
        return self._incoming.message

    @property
    def user(self) -> User:
        """Who wrote it."""
        return self._incoming.user

    @property
    def chat(self) -> Chat:
        """Where it was written."""
        return self._incoming.chat

    @property
    def group(self) -> Group | None:
        """The group it was written in, None in 1:1."""
        facts = self._incoming.group
        return None if facts is None else RunningGroup(facts, self.world.groups, self.speech)

    @property
    def role(self) -> Role:
        """What this message proves of its writer."""
        return proven_role(self._incoming.policy, self._incoming.facts)

    @property
    def is_verified(self) -> bool:
        """Whether it came encrypted from an identity whose fingerprint was verified."""
        facts = self._incoming.facts
        return facts.encrypted and facts.pinned and facts.verified and not facts.changed

    @property
    def is_proven(self) -> bool:
        """Whether it proves who wrote it."""
        return is_proven(self._incoming.policy, self._incoming.facts)

    @property
    def prefix(self) -> str:
        """What commands start with here."""
        return self._incoming.prefix

    @property
    def command(self) -> CommandInfo | None:
        """The command it names, None where it names none."""
        routed = self._incoming.routed
        if not isinstance(routed, Route) or routed.node.endpoint is None:
            return None
        return routed.node.endpoint.info()

    @property
    def args(self) -> str:
        """What was typed behind the command's name; the whole text where it names none."""
        routed = self._incoming.routed
        return routed.arguments if isinstance(routed, Route) else self.message.content

    @property
    def store(self) -> Store:
        """The plugin's own store."""
        return PluginStore(self.world.journal.values, self.work, self.plugin)

    @property
    def state(self) -> Store:
        """The same, for this user in this chat only."""
        scope = f"{self.chat.kind}\x1f{self.chat.id}\x1f{self.user.id}"
        return PluginStore(self.world.journal.values, self.work, self.plugin, scope)

    @property
    def logger(self) -> Logger:
        """The plugin's own logger."""
        return self.services(self.plugin).logger

    @property
    def speech(self) -> Speech:
        """How it speaks."""
        return Speech(self.world.outlet, self.work, self.plugin, self)

    async def reply(self, content: Content) -> Message:
        """Answer at once, before the handler ends: a step that a second run does not repeat."""
        return await self.speech.say("reply", self.chat, content)

    def typing(self) -> AbstractAsyncContextManager[None]:
        """Show that an answer is being written."""
        return self._typing()

    async def ask(
        self,
        question: Content,
        kind: Any = str,
        *,
        timeout: str | timedelta = "5m",  # noqa: ASYNC109 - how long a person may take
    ) -> Any:
        """Ask this user in this chat, and wait for the answer."""
        return await self._incoming.asking.ask(self, question, kind, timeout)

    def may(self, command: CommandInfo) -> Decision:
        """Whether this user could run that command here now, and why."""
        found = find_command(self._incoming.generation.table.commands, command.name)
        rule = (
            found.rule
            if found is not None
            else Rule(permission=command.permission, chats=command.chats, role=command.role)
        )
        return decide(self._incoming.policy, rule, self._incoming.facts)

    @asynccontextmanager
    async def _typing(self) -> AsyncIterator[None]:
        telling = asyncio.create_task(self._keep_typing(), name="typing")
        try:
            yield
        finally:
            telling.cancel()
            await asyncio.wait({telling})
            self._tell_typing(typing=False)

    async def _keep_typing(self) -> None:
        while True:
            self._tell_typing(typing=True)
            await asyncio.sleep(TYPING_AGAIN)

    def _tell_typing(self, *, typing: bool) -> None:
        group_id = self.chat.id if self.chat.kind == "group" else None
        with suppress(WhatsAppClientError):  # nobody is kept waiting for a courtesy
            self.world.account.messenger.typing(self.chat.id, typing=typing, group_id=group_id)


def find_command(commands: Commands, name: str) -> CommandEndpoint | None:
    """The command of this name, its groups' names before it."""
    nodes, node = commands.roots, None
    for part in name.split():
        if (node := nodes.get(part)) is None:
            return None
        nodes = node.children
    return None if node is None else node.endpoint
