"""Who writes: names from the backend, identities from the engine, roles in groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from chatbot.client.account import Account
from chatbot.client.crypto.identity import fingerprint
from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.models import Message, User

MAX_AGE: Final = 60_000
"""How old (ms) a verification may be that is believed without looking."""

_KNOWN: Final = 2048


@dataclass(frozen=True, slots=True)
class Standing:
    """What is known of somebody's identity.

    Attributes:
        fingerprint: of the identity that is pinned; empty where none is.
        changed: the identity changed, and nobody has accepted the new one yet.
        verified: the fingerprint was compared.
    """

    fingerprint: str = ""
    changed: bool = False
    verified: bool = False


class People:
    """Everybody whom the bot meets."""

    def __init__(self, account: Account) -> None:
        self._account = account
        self._verified: dict[str, tuple[int, bool]] = {}

    async def writer(self, message: Message) -> User:
        """Who a message says it is from; by id alone where the backend does not answer."""
        user_id = message.from_user
        try:
            user = await self._account.directory.find(user_id)
        except WhatsAppClientError:
            user = None
        return user or User(id=user_id, username=message.from_username or user_id)

    async def find(self, name_or_id: str) -> User | None:
        """The user with this id or username, with or without its @."""
        return await self._account.directory.find(name_or_id.removeprefix("@"))

    async def standing(self, user_id: str) -> Standing:
        """What is known of an identity now."""
        conversation = await self._account.messenger.conversations.open(user_id)
        key = conversation.record.identity_key
        return Standing(
            fingerprint="" if key is None else fingerprint(key),
            changed=conversation.identity_state == "changed",
            verified=await self._is_verified(user_id),
        )

    def forget(self, user_id: str) -> None:
        """Something about an identity has changed: look again."""
        self._verified.pop(user_id, None)

    async def _is_verified(self, user_id: str) -> bool:
        now = self._account.messenger.now()
        looked_at, verified = self._verified.pop(user_id, (0, False))
        if now - looked_at >= MAX_AGE:
            looked_at = now
            verified = await self._account.messenger.peers.is_verified(user_id)
        self._verified[user_id] = looked_at, verified
        if len(self._verified) > _KNOWN:
            del self._verified[next(iter(self._verified))]
        return verified
