"""Who a peer is: the identity key it publishes, the one we pinned, and what happens to a change.

PROTOCOL.md 4.1.6: an identity is accepted only if it equals the published one. What a *change*
then means is the user's to say (`IdentityPolicy`).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Final, Literal

from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import IdentityError, SessionNotFoundError
from chatbot.client.transport.rest_client import RestClient

from .conversation import Conversation
from .ports import Observer

IdentityPolicy = Literal["tofu", "pinned", "ask"]
"""`tofu` accepts what is published; `pinned` holds everything until `accept`; `ask` asks."""

Ask = Callable[[str, bytes, bytes], Awaitable[bool]]

ASK_TIMEOUT: Final = 60.0
"""Seconds that somebody who is asked has; silence counts as `pinned`."""

logger = logging.getLogger(__name__)


class Identities:
    """Fetches bundles and decides about the identities in them.

    Attributes:
        policy: what happens when a pinned identity changes.
        ask: whom to ask under the policy `ask`: (peer_id, old, new) -> accept?
        on_change: called when a changed identity has been accepted, to clear what stood on the
            old one (verification, privileges), before anything is sent or delivered under it.
    """

    def __init__(
        self,
        rest: RestClient,
        observer: Observer,
        *,
        policy: IdentityPolicy = "tofu",
        ask: Ask | None = None,
        on_change: Callable[[Conversation], None],
    ) -> None:
        self._rest = rest
        self._observer = observer
        self._on_change = on_change
        self.policy: IdentityPolicy = policy
        self.ask = ask

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
        if not await self._accept(conversation, bundle.identity_key):
            raise IdentityError(
                f"the identity of {conversation.peer_id} changed; nothing is sent until it is"
                " accepted"
            )
        return bundle

    async def resolve(self, conversation: Conversation, claimed: bytes) -> bool:
        """Whether a message under this identity key (32 bytes) may be believed.

        Raises:
            IdentityError: the key is the published one, but the policy holds it back.
            SessionNotFoundError: the peer has published no keys at all.
            ConnectionError: the backend cannot be reached.
        """
        bundle = await self.bundle(conversation)
        return bundle.identity_key == claimed == conversation.record.identity_key

    async def _accept(self, conversation: Conversation, published: bytes) -> bool:
        old = conversation.record.identity_key
        if old == published:
            return True
        if old is None:
            conversation.record.accept_identity(published)
            return True
        self._observer.identity_changed(conversation.peer_id, old, published)
        if not await self._allowed(conversation.peer_id, old, published):
            conversation.queue.held = True
            return False
        self.accept(conversation, published)
        return True

    def accept(self, conversation: Conversation, identity_key: bytes) -> None:
        """Take over a changed identity: privileges stay off until somebody trusts it."""
        conversation.identity_state = "changed"
        conversation.queue.held = False
        conversation.record.accept_identity(identity_key)
        self._on_change(conversation)

    async def _allowed(self, peer_id: str, old: bytes, new: bytes) -> bool:
        if self.policy == "ask" and self.ask is not None:
            try:
                async with asyncio.timeout(ASK_TIMEOUT):
                    return await self.ask(peer_id, old, new)
            except TimeoutError:
                logger.warning("nobody answered whether to accept %s's new identity", peer_id)
        return self.policy == "tofu"
