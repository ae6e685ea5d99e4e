"""What a message comes with: its writer, what it proves of them, and the command it names."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final

from chatbot.client.storage.message_storage import InboxEntry
from chatbot.plugins.people import Chat
from chatbot.runtime.access import Permissions
from chatbot.runtime.activity import Activity
from chatbot.runtime.context import Asking, Incoming
from chatbot.runtime.journal import Run
from chatbot.runtime.permissions import Facts
from chatbot.runtime.retries import TRIES
from chatbot.runtime.routing import Invocation
from chatbot.runtime.world import World

HANDLER_TIMEOUT: Final = 30_000
"""How long (ms) one handler may take, and all middleware of one message together."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HandlingOptions:
    """What a configuration says about handling.

    Attributes:
        prefixes: by group id, where a group has its own.
        tries: how often a message or a job's run is tried.
        timeout: ms; for handlers that say nothing of it.
    """

    prefix: str = "/"
    prefixes: Mapping[str, str] = field(default_factory=dict)
    tries: int = TRIES
    timeout: int = HANDLER_TIMEOUT


class Arrivals:
    """Looks at what arrives.

    Args:
        authenticated: whether the backend is believed, now, to check who sends.
    """

    def __init__(
        self,
        world: World,
        permissions: Permissions,
        options: HandlingOptions,
        authenticated: Callable[[], bool],
    ) -> None:
        self._world = world
        self._permissions = permissions
        self._options = options
        self._authenticated = authenticated

    def invocation(self, entry: InboxEntry) -> Invocation:
        """How commands begin where it was written."""
        prefix = self._options.prefixes.get(entry.conversation, self._options.prefix)
        return Invocation(prefix, self._world.account.user.username)

    async def facts(self, entry: InboxEntry) -> Facts:
        """What it proves of its writer."""
        message, world, direct = entry.message, self._world, entry.kind == "direct"
        standing = await world.people.standing(message.from_user)
        known = bool(standing.fingerprint) and not standing.changed
        pinned = direct and message.is_encrypted and known
        if pinned:
            self._permissions.meet(await world.people.writer(message), standing)
        role = None if direct else await world.groups.role_of(entry.conversation, message.from_user)
        return Facts(
            user=message.from_user,
            chat=entry.conversation,
            kind=entry.kind,
            encrypted=message.is_encrypted,
            pinned=pinned,
            changed=standing.changed,
            verified=standing.verified,
            authenticated=not direct and self._authenticated(),
            group_role=role,
        )

    async def incoming(
        self, entry: InboxEntry, run: Run, activity: Activity, asking: Asking
    ) -> Incoming:
        """All that its handlers share."""
        world, message = self._world, entry.message
        invocation, generation = self.invocation(entry), world.generation
        facts = await self.facts(entry)  # may make its writer an owner: before the policy is read
        grouped = entry.kind == "group"
        return Incoming(
            message=message,
            user=await world.people.writer(message),
            chat=Chat(entry.conversation, entry.kind),
            group=await world.groups.facts(entry.conversation) if grouped else None,
            facts=facts,
            policy=self._permissions.policy,
            prefix=invocation.prefix,
            routed=generation.table.commands.route(message.content, invocation),
            generation=generation,
            run=run,
            tried=bool(entry.attempts or run.recorded),
            activity=activity,
            asking=asking,
        )
