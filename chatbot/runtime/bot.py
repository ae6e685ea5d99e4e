"""The running bot as plugins see it."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from datetime import datetime, tzinfo

from chatbot.client.models import Message, User
from chatbot.plugins.context import CommandInfo, DeliveryStatus, Group, Scope
from chatbot.plugins.control import Broadcaster
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Content
from chatbot.runtime.groups import RunningGroup
from chatbot.runtime.speech import Speech
from chatbot.runtime.world import World


class RunningBot:
    """The bot (`Bot`) for one plugin in one run."""

    __slots__ = ("_scope", "_speech", "_world")

    def __init__(self, world: World, speech: Speech, scope: Scope) -> None:
        self._world = world
        self._speech = speech
        self._scope = scope

    @property
    def user(self) -> User:
        """Its own account."""
        return self._world.account.user

    @property
    def timezone(self) -> tzinfo:
        """The zone in which people's dates and cron times are meant."""
        return self._world.timezone

    def now(self) -> datetime:
        """Aware, in that zone."""
        return self._world.now()

    async def send(
        self, to: str, content: Content, *, key: str | None = None, at_end: bool = False
    ) -> Message:
        """Write to somebody, encrypted, by user id or exact username; under a key only once.

        Raises:
            SessionNotFoundError: unknown user, or one without keys.
        """
        account = self._world.account
        user = await account.directory.resolve(to)
        conversation = await account.messenger.conversations.open(user.id)
        if conversation.record.identity_key is None:
            await account.messenger.identities.bundle(conversation)
        chat = Chat(user.id, "direct")
        return await self._speech.say("send", chat, content, at_end=at_end, key=key)

    async def statuses(self, message_ids: Sequence[str]) -> Mapping[str, DeliveryStatus]:
        """How far messages of the bot's have got, by id."""
        return await self._world.account.messenger.outbox.statuses(message_ids)

    async def broadcast(self, audience: str, content: Content) -> str:
        """Write to everybody in a named audience, by whichever plugin provides a `Broadcaster`.

        Raises:
            ValueError: no such audience, or no plugin that knows audiences.
        """
        for plugin in self._world.table.plugins.values():
            provider = plugin.exports.providers.get(Broadcaster)
            if provider is not None:
                found = provider.provide(self._scope)
                broadcaster: Broadcaster = await found if inspect.isawaitable(found) else found
                return await broadcaster.broadcast(audience, content)
        raise ValueError(f"no audience {audience!r}: no loaded plugin broadcasts")

    async def find_user(self, name_or_id: str) -> User | None:
        """The user with this username (with or without its @) or id."""
        return await self._world.people.find(name_or_id)

    async def groups(self) -> Sequence[Group]:
        """Those the bot is in."""
        book = self._world.groups
        return [RunningGroup(facts, book, self._speech) for facts in await book.all()]

    async def find_group(self, group_id: str) -> Group | None:
        """One of them."""
        return next((group for group in await self.groups() if group.id == group_id), None)

    def commands(self) -> Sequence[CommandInfo]:
        """Every command that is loaded, by name."""
        return [endpoint.info() for endpoint in self._world.table.commands.endpoints()]
