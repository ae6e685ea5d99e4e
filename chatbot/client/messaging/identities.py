"""Who a peer is: the identity key it publishes, the one we pinned, and what happens to a change.

PROTOCOL.md 4.1.6: an identity is accepted only if it equals the published one. What a *change*
then means is the user's to say (`IdentityPolicy`).
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final, Literal, Protocol

from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import IdentityError, SessionNotFoundError
from chatbot.client.transport.rest_client import RestClient

from .conversation import Conversation
from .ports import Observer

IdentityPolicy = Literal["tofu", "pinned", "ask"]
"""`tofu` accepts what is published; `pinned` holds everything until `accept`; `ask` asks."""

ASK_TIMEOUT: Final = 60.0
"""Seconds that somebody who is asked has, where nothing else is said."""

logger = logging.getLogger(__name__)


class SaveIdentity(Protocol):
    """Makes durable what was decided, before anything is sent or delivered under it."""

    def __call__(self, conversation: Conversation, *, replaced: bool) -> asyncio.Future[None]:
        """Save a conversation's identity.

        Args:
            conversation: whose.
            replaced: the pinned identity is another now: what stood on the old one (verification,
                privileges) goes with it.
        """


class Identities:
    """Fetches bundles and decides about the identities in them.

    Attributes:
        policy: what happens when a pinned identity changes.

    Args:
        ask_timeout: seconds that somebody who is asked has; silence counts as `pinned`.
    """

    def __init__(
        self,
        rest: RestClient,
        observer: Observer,
        *,
        policy: IdentityPolicy = "tofu",
        ask_timeout: float = ASK_TIMEOUT,
        save: SaveIdentity,
    ) -> None:
        self._rest = rest
        self._observer = observer
        self._save = save
        self._ask_timeout = ask_timeout
        self.policy: IdentityPolicy = policy

    async def bundle(self, conversation: Conversation) -> PrekeyBundle:
        """The peer's current bundle, under an identity that is accepted.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
            IdentityError: its identity changed and the policy holds it back.
            ConnectionError: the backend cannot be reached.
        """
        body = await self._rest.prekey_bundle(conversation.peer_id)
        if body.signed_prekey is None:
            raise SessionNotFoundError(f"{conversation.peer_id} has published no keys")
        bundle = PrekeyBundle.from_body(body)
        async with conversation.deciding:
            accepted = await self._decide(conversation, bundle.identity_key)
        if not accepted:
            raise held_back(conversation)
        return bundle

    async def resolve(self, conversation: Conversation, claimed: bytes) -> bool:
        """Whether a message under this identity key (32 bytes) may be believed.

        Asks once for each: looking costs the peer a one-time prekey.

        Raises:
            IdentityError: the key is the published one, but the policy holds it back.
            SessionNotFoundError: the peer has published no keys at all.
            ConnectionError: the backend cannot be reached.
        """
        if claimed == conversation.pending_identity:
            raise held_back(conversation)
        if claimed == conversation.refuted_identity:
            return False
        bundle = await self.bundle(conversation)
        believed = bundle.identity_key == claimed == conversation.record.identity_key
        conversation.refuted_identity = None if believed else claimed
        return believed

    async def _decide(self, conversation: Conversation, published: bytes) -> bool:
        """Whether the published identity (32 bytes) is to be used. Asks once for each."""
        old, pending = conversation.record.identity_key, conversation.pending_identity
        if old is None:
            conversation.record.accept_identity(published)
            return True
        if old == published:
            if pending is not None:
                conversation.hold(None)
                self._save(conversation, replaced=False)
            return True
        if pending == published:
            return False
        allowed = await self._allowed(conversation.peer_id, old, published)
        if allowed:
            await self._replace(conversation, published, trusted=self.policy == "ask")
        else:
            conversation.hold(published)
            await self._save(conversation, replaced=False)
        if self.policy != "ask":  # told behind the save: who then asks what waits, finds it
            self._observer.identity_changed(conversation.peer_id, old, published)
        return allowed

    async def _allowed(self, peer_id: str, old: bytes, new: bytes) -> bool:
        """What the policy says of a change."""
        if self.policy != "ask":
            return self.policy == "tofu"
        try:
            async with asyncio.timeout(self._ask_timeout):
                return await self._observer.accepts_identity(peer_id, old, new)
        except TimeoutError:
            logger.warning("nobody answered whether to accept the new identity of %s", peer_id)
            return False

    def _replace(
        self, conversation: Conversation, identity_key: bytes, *, trusted: bool
    ) -> asyncio.Future[None]:
        """Take over a changed identity; without `trusted` it has no privileges."""
        conversation.identity_state = "pinned" if trusted else "changed"
        conversation.hold(None)
        conversation.record.accept_identity(identity_key)
        return self._save(conversation, replaced=True)

    async def accept(self, conversation: Conversation, identity_key: bytes) -> None:
        """Somebody accepts the identity (32 bytes) that was held back: it has all privileges.

        Raises:
            IdentityError: it is not the one that is held back now.
        """
        async with conversation.deciding:
            if identity_key != conversation.pending_identity:
                raise IdentityError(f"the identity of {conversation.peer_id} changed meanwhile")
            await self._replace(conversation, identity_key, trusted=True)

    async def trust(self, conversation: Conversation, identity_key: bytes) -> None:
        """Somebody has looked at the identity (32 bytes) that is in force: it has all privileges.

        Raises:
            IdentityError: another one is in force.
        """
        if identity_key != conversation.record.identity_key:
            raise IdentityError(f"the identity of {conversation.peer_id} changed meanwhile")
        conversation.identity_state = "pinned"
        await self._save(conversation, replaced=False)


def held_back(conversation: Conversation) -> IdentityError:
    """What to say of a conversation whose peer published another identity."""
    return IdentityError(
        f"the identity of {conversation.peer_id} changed; nothing is sent, and nothing received"
        " under the new one, until it is accepted"
    )
