"""Fingerprints: ours, the peers', and which of them somebody has compared (SRS 5.4)."""

from __future__ import annotations

from chatbot.client.crypto.identity import fingerprint
from chatbot.client.exceptions import SessionNotFoundError

from .base import Api


class VerificationApi(Api):
    """Who is who, cryptographically."""

    def get_fingerprint(self) -> str:
        """Our own fingerprint: 60 uppercase hex digits."""
        return self._account.key_ring.identity.fingerprint

    async def get_peer_fingerprint(self, peer_id: str) -> str:
        """A peer's fingerprint: of the identity that is pinned, or else published.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        account = self._account
        user = await account.directory.resolve(peer_id)
        conversation = await account.messenger.conversations.open(user.id)
        if conversation.record.identity_key is None:
            await account.messenger.identities.bundle(conversation)
        identity_key = conversation.record.identity_key
        if identity_key is None:
            raise SessionNotFoundError(f"{peer_id} has published no keys")
        return fingerprint(identity_key)

    async def is_fingerprint_verified(self, peer_id: str) -> bool:
        """Whether somebody compared the fingerprint of the peer's present identity."""
        account = self._account
        user = await account.directory.resolve(peer_id)
        return await account.messenger.peers.is_verified(user.id)
