"""Moving in and out: sessions, identities, and whole accounts (SRS Appendix B)."""

from __future__ import annotations

import binascii
import logging
import re
import time
from base64 import b64decode
from pathlib import Path
from typing import Final

from chatbot.client.crypto import browser_session
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.keys import KEY_BYTES
from chatbot.client.exceptions import SessionNotFoundError, ValidationError
from chatbot.client.models import User
from chatbot.client.storage.backup import restore_backup

from .base import Api

_HEX_SEED: Final = re.compile(rf"[0-9a-fA-F]{{{2 * KEY_BYTES}}}")

logger = logging.getLogger(__name__)


class TransferApi(Api):
    """What leads over from the browser or from another disk."""

    async def import_session(self, peer_id: str, session_json: str) -> None:
        """Go on in a session that the browser led until now.

        The browser must stop using it at once: two that go on in one session destroy it, and each
        other's messages with it. To move whole, import the identity first (`import_identity`).

        Args:
            peer_id: whom the session is with, an id or else an exact username.
            session_json: `JSON.stringify` of the browser's session, the row of its database, or
                what `export_session` gave.

        Raises:
            ValidationError: it is none of these, is of a session with somebody else or under an
                identity that the peer no longer has, or was imported before.
            SessionNotFoundError: there is no such user, or it has published no keys.
            IdentityError: the peer's identity changed, and is not accepted yet.
            ConnectionError: the backend, which tells the peer's identity, cannot be reached.
        """
        account = self._account
        user = await account.directory.resolve(peer_id)
        await account.messenger.adopt(
            user.id,
            browser_session.import_session(
                session_json, peer_id=user.id, now=account.messenger.now()
            ),
        )
        logger.warning("a session with %s was imported: the browser must not use it again", user.id)

    async def export_session(self, peer_id: str) -> str:
        """The session with a peer that is sent in, as JSON that `import_session` takes.

        It holds secrets: who has it reads along. Stop this client before another goes on in it.

        Raises:
            SessionNotFoundError: there is no such user, or no session that is sent in.
        """
        account = self._account
        user = await account.directory.resolve(peer_id)
        conversation = await account.messenger.conversations.open(user.id)
        session = conversation.record.sending_session(account.messenger.now())
        if session is None:
            raise SessionNotFoundError(f"there is no session with {peer_id} that is sent in")
        return browser_session.export_session(session, user.id)

    async def import_identity(self, seed: bytes | str) -> str:
        """Take over the identity that a browser or another storage has had, by its seed.

        Peers then see no change. Sessions do not come along: they are established anew. Log in
        with `auto_connect=False` and import before `connect()`, or peers see this storage's own
        identity in between.

        Args:
            seed: 32 bytes, or the same as base64 or hexadecimal text.

        Returns:
            The identity's fingerprint.

        Raises:
            ValidationError: it is not a seed.
            ConnectionError: the backend cannot be reached; the keys are published once it can.
        """
        await self._account.renew(Identity.from_seed(_seed(seed)))
        return self._account.key_ring.identity.fingerprint

    async def reset_encryption(self) -> str:
        """Begin anew: another identity, no sessions, and new prekeys on the backend.

        Every peer sees that the identity changed and has to verify it again. What was sent to the
        old identity and has not been received can never be read.

        Returns:
            The new fingerprint.

        Raises:
            ConnectionError: the backend cannot be reached; the keys are published once it can.
        """
        await self._account.renew(Identity.generate())
        return self._account.key_ring.identity.fingerprint

    async def backup(self, path: str | Path, password: str) -> None:
        """Seal the whole account into one new file, while it is in use. Nothing in it is readable.

        Args:
            path: of a file that does not exist; it appears once it is complete.
            password: opens the backup. The account in it keeps its own storage password.

        Raises:
            StorageError: the file exists, or cannot be written.
            ValidationError: the password is empty.
        """
        await self._account.backup(_full(path), password)

    @staticmethod
    async def restore(
        path: str | Path, password: str, storage_path: str | Path = "~/.whatsapp_client"
    ) -> User:
        """Put a backup back into a storage that does not have the account; then log in as usual.

        The next login establishes all sessions anew, for a ratchet must never run from an old
        state. So what others sent since the backup was made may be lost.

        Args:
            path: of the backup.
            password: of the backup.
            storage_path: where accounts lie, as the client takes it.

        Returns:
            Whose account it is.

        Raises:
            WrongPasswordError: it is not the backup's password.
            StorageError: the backup is damaged or cannot be read, or the account is there already.
        """
        owner = await restore_backup(
            _full(path), password, storage_path, now=time.time_ns() // 1_000_000
        )
        return User(id=owner.user_id, username=owner.username)


def _full(path: str | Path) -> Path:
    return Path(path).expanduser()


def _seed(given: bytes | str) -> bytes:
    """The bytes of a seed in any of its forms; 64 hexadecimal digits are no base64 of 32 bytes."""
    if isinstance(given, bytes):
        return given
    text = given.strip()
    if _HEX_SEED.fullmatch(text):
        return bytes.fromhex(text)
    try:
        return b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise ValidationError(
            f"an identity seed is {KEY_BYTES} bytes, or their base64 or hexadecimal text"
        ) from None
