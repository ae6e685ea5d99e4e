"""Sessions by hand: what SRS 10.2 and 10.3 reach for as `client._crypto`."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from chatbot.client.account import Account


@dataclass(frozen=True, slots=True)
class SessionView:
    """A session, as far as it is anybody's business.

    Attributes:
        status: always `ready`; one that is not does not exist.
        root_key: the ratchet's current root key (32 bytes, secret).
    """

    peer_id: str
    session_id: str
    root_key: bytes = field(repr=False)
    status: Literal["ready"] = "ready"


class CryptoManager:
    """Establishes sessions without sending anything. `send_message` needs no such help."""

    def __init__(self, account: Account) -> None:
        self._account = account

    async def ensure_session(self, peer: str) -> SessionView:
        """The session with a peer (id or exact username) that is sent in, or a new one.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        account = self._account
        user = await account.directory.resolve(peer)
        conversation = await account.messenger.conversations.open(user.id)
        session = conversation.record.sending_session(account.messenger.now())
        if session is None:
            return await self.establish_session(user.id)
        return SessionView(user.id, session.id, session.ratchet.root_key)

    async def establish_session(self, peer: str) -> SessionView:
        """A new session with a peer, whatever sessions there are.

        Raises:
            SessionNotFoundError: there is no such user, or it has published no keys.
        """
        user = await self._account.directory.resolve(peer)
        session = await self._account.messenger.establish(user.id)
        return SessionView(user.id, session.id, session.ratchet.root_key)
