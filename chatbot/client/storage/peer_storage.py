"""Peers and their sessions in messages.db: loaded whole, written as deltas.

A session commits together with the message that moved it, so nothing here runs by itself: every
change is a `Unit` for the one writer. Values are sealed before they reach it.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

from chatbot.client.crypto.changes import PeerChanges
from chatbot.client.crypto.identity import fingerprint
from chatbot.client.crypto.session import Session, SkippedId
from chatbot.client.crypto.session_manager import SESSION_TIMEOUT, PeerRecord
from chatbot.client.crypto.vault import Vault
from chatbot.client.models import Verification

from .batch import Unit
from .database import Database

Statement = tuple[str, Iterable[Any]]

_SAVE_SESSION: Final = """
INSERT INTO sessions (peer_id, session_id, remote_identity_key, remote_signed_prekey_id,
                      remote_fingerprint, ratchet_state, status, created_at, updated_at)
VALUES (?, ?, ?, ?, ?, ?, 'ready', ?, ?)
ON CONFLICT (peer_id, session_id) DO UPDATE
SET ratchet_state = excluded.ratchet_state, updated_at = excluded.updated_at"""

_SAVE_IDENTITY: Final = """
INSERT INTO peers (peer_id, identity_key, identity_state, pinned_at, capabilities, updated_at)
VALUES (?1, ?2, ?3, ?4, ?5, ?4)
ON CONFLICT (peer_id) DO UPDATE
SET identity_key = excluded.identity_key, identity_state = excluded.identity_state,
    pinned_at = iif(identity_key IS excluded.identity_key, pinned_at, excluded.pinned_at),
    capabilities = excluded.capabilities, updated_at = excluded.updated_at"""

_SAVE_HEAD: Final = """
INSERT INTO peers (peer_id, record, updated_at) VALUES (?, ?, ?)
ON CONFLICT (peer_id) DO UPDATE
SET record = excluded.record, updated_at = excluded.updated_at"""

_DROP_SESSION: Final = "DELETE FROM sessions WHERE peer_id = ? AND session_id = ?"
_DROP_SKIPPED: Final = "DELETE FROM skipped_keys WHERE peer_id = ? AND session_id = ?"

_KEEP_SKIPPED: Final = """
INSERT OR REPLACE INTO skipped_keys
    (peer_id, session_id, ratchet_key, number, message_key, created_at)
VALUES (?, ?, ?, ?, ?, ?)"""


_FORGET_SESSIONS: Final = (
    "DELETE FROM sessions",
    "DELETE FROM skipped_keys",
    "UPDATE peers SET record = NULL",
)


def forget_sessions(connection: sqlite3.Connection) -> None:
    """A unit: no peer has a session any more. Identities, and what was said, stay."""
    for statement in _FORGET_SESSIONS:
        connection.execute(statement)


@dataclass(frozen=True, slots=True)
class StoredPeer:
    """A peer as it was loaded.

    Attributes:
        identity_state: `pinned`, or `changed` until somebody trusts the new identity.
        pending_identity: the key (32 bytes) that it published, and that waits to be accepted.
    """

    record: PeerRecord
    identity_state: str
    pending_identity: bytes | None = None


class PeerStorage:
    """Reads and writes `peers`, `sessions`, `skipped_keys` and `ephemeral_keys`.

    Args:
        session_timeout: age (ms) at which an unused session is not sent in any more.
    """

    def __init__(
        self, database: Database, vault: Vault, *, session_timeout: int = SESSION_TIMEOUT
    ) -> None:
        self._database = database
        self._vault = vault
        self._session_timeout = session_timeout

    def load(self, peer_id: str) -> Unit[StoredPeer]:
        """Read everything stored of a peer; an empty record for one that is new.

        The unit raises StorageError where a value is damaged, or was moved here from another row.
        """
        return lambda connection: self._load(connection, peer_id)

    def save(self, record: PeerRecord, identity_state: str, now: int) -> Unit[None]:
        """Take the record's changes and seal them; the unit writes them."""
        statements = list(self._statements(record, record.take_changes(), identity_state, now))

        def write(connection: sqlite3.Connection) -> None:
            for sql, parameters in statements:
                connection.execute(sql, tuple(parameters))

        return write

    @staticmethod
    def settle_identity(peer_id: str, state: str, pending: bytes | None) -> Unit[None]:
        """Note what was decided about a peer's identity, or what waits to be."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE peers SET identity_state = ?, pending_identity_key = ? WHERE peer_id = ?",
                (state, pending, peer_id),
            )

        return write

    async def pending_identities(self) -> list[tuple[str, bytes, bytes]]:
        """Whose identities wait to be accepted: (peer_id, new key, pinned key)."""

        def query(connection: sqlite3.Connection) -> list[tuple[str, bytes, bytes]]:
            return connection.execute(
                "SELECT peer_id, pending_identity_key, identity_key FROM peers"
                " WHERE pending_identity_key IS NOT NULL ORDER BY updated_at"
            ).fetchall()

        return await self._database.read(query)

    @staticmethod
    def verify(peer_id: str, compared: str, now: int, method: str) -> Unit[None]:
        """Note that somebody has compared this fingerprint."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "INSERT OR REPLACE INTO verification_status"
                " (peer_id, fingerprint, verified, verified_at, method) VALUES (?, ?, 1, ?, ?)",
                (peer_id, compared, now, method),
            )

        return write

    async def verifications(self) -> list[Verification]:
        """Every peer whose present identity somebody has compared, the latest first."""

        def query(connection: sqlite3.Connection) -> list[Verification]:
            rows = connection.execute(
                "SELECT peer_id, identity_key, fingerprint, verified_at, method FROM peers"
                " JOIN verification_status USING (peer_id)"
                " WHERE verified AND identity_key IS NOT NULL AND pending_identity_key IS NULL"
                " ORDER BY verified_at DESC"
            ).fetchall()
            return [
                Verification(peer_id=peer_id, fingerprint=compared, verified_at=at, method=method)
                for peer_id, key, compared, at, method in rows
                if fingerprint(key) == compared
            ]

        return await self._database.read(query)

    async def is_verified(self, peer_id: str) -> bool:
        """Whether the fingerprint of the pinned identity has been compared, and no other waits."""

        def query(connection: sqlite3.Connection) -> bool:
            row = connection.execute(
                "SELECT identity_key, fingerprint FROM peers JOIN verification_status"
                " USING (peer_id)"
                " WHERE peer_id = ? AND verified AND pending_identity_key IS NULL",
                (peer_id,),
            ).fetchone()
            return row is not None and row[0] is not None and fingerprint(row[0]) == row[1]

        return await self._database.read(query)

    @staticmethod
    def unverify(peer_id: str) -> Unit[None]:
        """Nobody has compared the peer's current fingerprint."""

        def write(connection: sqlite3.Connection) -> None:
            connection.execute(
                "UPDATE verification_status SET verified = 0 WHERE peer_id = ?", (peer_id,)
            )

        return write

    # ------------------------------------------------------------ loading

    def _load(self, connection: sqlite3.Connection, peer_id: str) -> StoredPeer:
        row = connection.execute(
            "SELECT identity_key, identity_state, capabilities, record, pending_identity_key"
            " FROM peers WHERE peer_id = ?",
            (peer_id,),
        ).fetchone()
        identity_key, state, capabilities, head, pending = row or (None, "pinned", "", None, None)
        record = PeerRecord(
            peer_id,
            identity_key=identity_key,
            sessions=self._load_sessions(connection, peer_id),
            ephemerals={
                key: (session_id, expires_at)
                for key, session_id, expires_at in connection.execute(
                    "SELECT ephemeral_key, session_id, expires_at FROM ephemeral_keys"
                    " WHERE peer_id = ?",
                    (peer_id,),
                )
            },
            capabilities=frozenset(capabilities.split()),
            head=None if head is None else self._vault.open("peers", peer_id, "record", head),
            session_timeout=self._session_timeout,
        )
        return StoredPeer(record, state, pending)

    def _load_sessions(self, connection: sqlite3.Connection, peer_id: str) -> dict[str, Session]:
        skipped = self._load_skipped(connection, peer_id)
        return {
            session_id: Session.from_bytes(
                session_id,
                self._vault.open("sessions", _key(peer_id, session_id), "ratchet_state", sealed),
                skipped.get(session_id),
            )
            for session_id, sealed in connection.execute(
                "SELECT session_id, ratchet_state FROM sessions WHERE peer_id = ?", (peer_id,)
            )
        }

    def _load_skipped(
        self, connection: sqlite3.Connection, peer_id: str
    ) -> dict[str, dict[SkippedId, bytes]]:
        keys: dict[str, dict[SkippedId, bytes]] = {}
        for session_id, ratchet_key, number, sealed in connection.execute(
            "SELECT session_id, ratchet_key, number, message_key FROM skipped_keys"
            " WHERE peer_id = ? ORDER BY created_at, ratchet_key, number",
            (peer_id,),
        ):
            skipped_id = (ratchet_key, number)
            keys.setdefault(session_id, {})[skipped_id] = self._vault.open(
                "skipped_keys", _skipped_key(peer_id, session_id, skipped_id), "message_key", sealed
            )
        return keys

    # ------------------------------------------------------------ saving

    def _statements(
        self, record: PeerRecord, changes: PeerChanges, identity_state: str, now: int
    ) -> Iterable[Statement]:
        peer_id, seal = record.peer_id, self._vault.seal
        if record.identity_key is None:  # it writes in clear: known all the same
            yield "INSERT OR IGNORE INTO peers (peer_id, updated_at) VALUES (?, ?)", (peer_id, now)
        if changes.identity:
            capabilities = " ".join(sorted(record.capabilities))
            values = (peer_id, record.identity_key, identity_state, now, capabilities)
            yield _SAVE_IDENTITY, values
        if changes.head is not None:
            yield _SAVE_HEAD, (peer_id, seal("peers", peer_id, "record", changes.head), now)
        for session in changes.sessions.values():
            yield _SAVE_SESSION, self._session_row(peer_id, session)
        for session_id in changes.dropped:
            yield _DROP_SESSION, (peer_id, session_id)
            yield _DROP_SKIPPED, (peer_id, session_id)
        for key, (session_id, expires_at) in changes.ephemerals.items():
            yield (
                "INSERT OR REPLACE INTO ephemeral_keys VALUES (?, ?, ?, ?)",
                (peer_id, key, session_id, expires_at),
            )
        yield from self._skipped_statements(peer_id, changes, now)

    def _skipped_statements(
        self, peer_id: str, changes: PeerChanges, now: int
    ) -> Iterable[Statement]:
        for session_id, (ratchet_key, number) in changes.skipped_gone:
            row = (peer_id, session_id, ratchet_key, number)
            yield f"{_DROP_SKIPPED} AND ratchet_key = ? AND number = ?", row
        for (session_id, skipped_id), message_key in changes.skipped_added.items():
            row_key = _skipped_key(peer_id, session_id, skipped_id)
            sealed = self._vault.seal("skipped_keys", row_key, "message_key", message_key)
            yield _KEEP_SKIPPED, (peer_id, session_id, *skipped_id, sealed, now)

    def _session_row(self, peer_id: str, session: Session) -> tuple[Any, ...]:
        sealed = self._vault.seal(
            "sessions", _key(peer_id, session.id), "ratchet_state", session.to_bytes()
        )
        return (
            peer_id,
            session.id,
            session.remote_identity_key,
            session.signed_prekey_id,
            fingerprint(session.remote_identity_key),
            sealed,
            session.opened_at,
            session.used_at,
        )


def _key(*parts: str) -> str:
    return "\x1f".join(parts)


def _skipped_key(peer_id: str, session_id: str, skipped_id: SkippedId) -> str:
    ratchet_key, number = skipped_id
    return _key(peer_id, session_id, ratchet_key.hex(), str(number))
