"""Fingerprints: ours, the peers', and which of them somebody has compared (SRS 5.4)."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from typing import Literal

from chatbot.client.crypto.identity import fingerprint as fingerprint_of
from chatbot.client.crypto.identity import normalize_fingerprint
from chatbot.client.exceptions import (
    IdentityError,
    ValidationError,
    WhatsAppClientError,
)
from chatbot.client.messaging.conversation import Conversation
from chatbot.client.models import PendingIdentity, Verification
from chatbot.client.qr_code import FingerprintQR

from .base import Api

logger = logging.getLogger(__name__)


class VerificationApi(Api):
    """Who is who, cryptographically. A peer is a user id, or else an exact username."""

    def get_fingerprint(self) -> str:
        """Our own fingerprint: 60 uppercase hexadecimal digits."""
        return self._account.key_ring.identity.fingerprint

    def generate_fingerprint_qr(self) -> FingerprintQR:
        """Our own fingerprint as a QR code; `.save("me.png")` writes it."""
        return FingerprintQR(self.get_fingerprint())

    async def get_peer_fingerprint(self, peer_id: str) -> str:
        """A peer's fingerprint: of the identity that is pinned, or else published.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        _, identity_key = await self._pinned(peer_id)
        return fingerprint_of(identity_key)

    async def verify_fingerprint(
        self,
        peer_id: str,
        fingerprint: str,
        verified: bool = True,
        method: Literal["manual", "qr_code"] = "manual",
    ) -> bool:
        """Note that a peer's fingerprint was compared, or take that back.

        What counts is noted here. The backend is told too where it can be reached; nothing
        depends on what it keeps of it.

        Args:
            peer_id: whose.
            fingerprint: as the peer showed it, in any spacing and case, or as it was scanned.
            verified: False takes an earlier verification back.
            method: how it was compared.

        Returns:
            Whether it is the peer's fingerprint. If it is not, nothing is noted.

        Raises:
            ValidationError: it is no fingerprint: not 60 hexadecimal digits.
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        shown = normalize_fingerprint(fingerprint)
        conversation, identity_key = await self._pinned(peer_id)
        if fingerprint_of(identity_key) != shown:
            return False
        account, peer = self._account, conversation.peer_id
        peers, rest = account.messenger.peers, account.rest
        if verified:
            await account.messenger.identities.trust(conversation, identity_key)
            now = account.messenger.now()
            await account.database.write(peers.verify(peer, shown, now, method))
            await _tell(rest.verify_key(peer, shown, method))
        else:
            await account.database.write(peers.unverify(peer))
            await _tell(rest.unverify_key(peer))
        return True

    async def is_fingerprint_verified(self, peer_id: str) -> bool:
        """Whether somebody compared the fingerprint of the peer's present identity.

        Raises:
            SessionNotFoundError: there is no such user.
        """
        account = self._account
        user = await account.directory.resolve(peer_id)
        return await account.messenger.peers.is_verified(user.id)

    async def list_verified(self) -> list[Verification]:
        """Every peer whose present identity somebody has compared, the latest first."""
        return await self._account.messenger.peers.verifications()

    # ------------------------------------------------------------ changed identities

    async def list_pending_identities(self) -> list[PendingIdentity]:
        """Who published another identity that is held back (policies `pinned` and `ask`)."""
        pending = await self._account.messenger.peers.pending_identities()
        return [
            PendingIdentity(
                peer_id=peer_id, fingerprint=fingerprint_of(new), pinned=fingerprint_of(old)
            )
            for peer_id, new, old in pending
        ]

    async def accept_identity(self, peer_id: str, fingerprint: str | None = None) -> None:
        """Accept a peer's changed identity: what waited for that is sent, and read.

        It is not verified by that.

        Args:
            peer_id: whose.
            fingerprint: accept only this one, in any spacing and case; without it, the one that
                is held back now.

        Raises:
            ValidationError: no identity of that peer is held back, or this is no fingerprint.
            IdentityError: the one that is held back is another.
            SessionNotFoundError: there is no such user.
        """
        account = self._account
        user = await account.directory.resolve(peer_id)
        conversation = await account.messenger.conversations.open(user.id)
        pending = conversation.pending_identity
        if pending is None:
            raise ValidationError(f"no changed identity of {peer_id} waits to be accepted")
        if fingerprint is not None and normalize_fingerprint(fingerprint) != fingerprint_of(
            pending
        ):
            raise IdentityError(
                f"the identity of {peer_id} that waits has another fingerprint. What to do: see"
                " list_pending_identities(), and compare it with the peer"
            )
        await account.messenger.accept_identity(conversation, pending)

    async def trust(self, peer_id: str) -> None:
        """Give a peer's changed identity, accepted by policy, the privileges of the old one.

        It is not verified by that.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        await self._account.messenger.identities.trust(*await self._pinned(peer_id))

    async def _pinned(self, peer_id: str) -> tuple[Conversation, bytes]:
        """The conversation with a peer, and its identity key (32 bytes)."""
        messenger = self._account.messenger
        user = await self._account.directory.resolve(peer_id)
        conversation = await messenger.conversations.open(user.id)
        return conversation, await messenger.pin(conversation)


async def _tell(call: Awaitable[None]) -> None:
    try:
        await call
    except WhatsAppClientError as error:
        logger.warning("the backend was not told about a verification: %s", error)
