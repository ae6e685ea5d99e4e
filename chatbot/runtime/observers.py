"""What happens besides messages, told to the plugins that observe it."""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from chatbot.client.client import WhatsAppClient
from chatbot.client.models import ConnectionState, Message, MessageStatus
from chatbot.plugins.endpoints import HookEndpoint
from chatbot.plugins.events import (
    ConnectionChanged,
    Event,
    IdentityChanged,
    MessageFailed,
    MessageStatusChanged,
    MessageUndecryptable,
    PresenceChanged,
)
from chatbot.plugins.hooks import Hooks
from chatbot.runtime.journal import AtOnce
from chatbot.runtime.scope import EventScope
from chatbot.runtime.threads import Threads
from chatbot.runtime.world import World

OBSERVER_TIMEOUT: Final = 10.0
"""Seconds that one observer may take, where it does not say itself."""

logger = logging.getLogger(__name__)


class Observers:
    """Brings what the client reports to observers, each on its own."""

    def __init__(self, world: World, hooks: Hooks, threads: Threads) -> None:
        self._world = world
        self._hooks = hooks
        self._threads = threads

    def attach(self, client: WhatsAppClient) -> None:
        """Listen to the client from now on."""
        client.on_connection_state(self._connection)
        client.on_presence(self._presence)
        client.on_identity_changed(self._identity)
        client.on_undecryptable(self._undecryptable)
        client.on_message_status(self._status)
        client.on_send_failed(self._send_failed)
        client.on_group_event(self._group)

    async def publish(self, event: Event) -> None:
        """Tell everybody who observes this kind of event; what they raise is logged."""
        self._hooks.event(event)
        for endpoint in self._world.table.observers.get(type(event), ()):
            try:
                await self._tell(endpoint, event)
            except Exception:
                logger.exception("plugin %s: %s failed", endpoint.plugin, endpoint.key)

    async def _tell(self, endpoint: HookEndpoint, event: Event) -> None:
        scope = EventScope(self._world, AtOnce(self._world.journal), endpoint.plugin, event)
        async with asyncio.timeout(OBSERVER_TIMEOUT):
            call = await endpoint.handler.bind(scope)
            await call.run(self._threads.runner(endpoint.key))

    # ------------------------------------------------------------ what the client reports

    async def _connection(self, state: ConnectionState) -> None:
        self._world.metrics.connections += state == "connected"
        await self.publish(ConnectionChanged(state))

    async def _presence(self, user_id: str, online: bool) -> None:
        await self.publish(PresenceChanged(user_id, online))

    async def _identity(self, user_id: str, _old: str, new: str) -> None:
        self._world.people.forget(user_id)
        await self.publish(IdentityChanged(user_id, new))

    async def _undecryptable(self, user_id: str, reason: str) -> None:
        self._world.metrics.undecryptable[reason] += 1
        await self.publish(MessageUndecryptable(user_id, "", reason))

    async def _status(self, message_id: str, status: MessageStatus) -> None:
        if status != "pending":
            await self.publish(MessageStatusChanged(message_id, status))

    async def _send_failed(self, message: Message, error: Exception) -> None:
        await self.publish(MessageFailed(message.id, message.to_user, str(error)))

    def _group(self, group_id: str, _payload: object) -> None:
        # Any member can send any event: it is a reason to look again, and nothing to believe.
        self._world.groups.forget(group_id)
