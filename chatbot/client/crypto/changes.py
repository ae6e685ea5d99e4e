"""What an operation on a peer's record changed, for the storage to write."""

from __future__ import annotations

from dataclasses import dataclass, field

from .session import Session, SkippedId


@dataclass(slots=True)
class PeerChanges:
    """Everything that has to be durable before the operation may show outside.

    Attributes:
        sessions: changed sessions by id; encode them at once, they go on changing.
        dropped: ids of sessions that are gone, with their skipped keys.
        skipped_added: message keys (32 bytes) by session id and skipped id.
        skipped_gone: those used up or dropped for room.
        ephemerals: accepted ephemeral keys (32 bytes): session id and expiry (ms).
        head: the encoded choice of session, where it changed.
        identity: whether the pinned identity or what we know of it changed.
    """

    sessions: dict[str, Session] = field(default_factory=dict)
    dropped: set[str] = field(default_factory=set)
    skipped_added: dict[tuple[str, SkippedId], bytes] = field(default_factory=dict)
    skipped_gone: set[tuple[str, SkippedId]] = field(default_factory=set)
    ephemerals: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    head: bytes | None = None
    identity: bool = False

    def save(self, session: Session) -> None:
        """Note a new or changed session."""
        self.sessions[session.id] = session
        self.dropped.discard(session.id)

    def drop(self, session_id: str) -> None:
        """Note that a session is gone."""
        self.sessions.pop(session_id, None)
        self.dropped.add(session_id)

    def keep_skipped(self, session_id: str, skipped_id: SkippedId, message_key: bytes) -> None:
        """Note a message key kept for a late message."""
        self.skipped_added[session_id, skipped_id] = message_key

    def forget_skipped(self, session_id: str, skipped_id: SkippedId) -> None:
        """Note a message key that is gone: one that was never stored just disappears."""
        if self.skipped_added.pop((session_id, skipped_id), None) is None:
            self.skipped_gone.add((session_id, skipped_id))
