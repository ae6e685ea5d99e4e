"""Everything between us and one peer: which sessions there are, and which one to send in.

The browser holds one session per peer and replaces it on every `x3dh` it receives; we hold up to
32 and let every message find its own (PROTOCOL.md 4.1). Which of them to send in is a decision of
its own, made by `Confirmation` alone (4.2.2). No I/O, no clock: time is an argument in ms.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Final

from chatbot.client.exceptions import DecryptionError, SessionNotFoundError

from . import x3dh
from .changes import PeerChanges
from .confirmation import Confirmation
from .failure_budget import FailureBudget
from .identity import Identity
from .key_manager import KeyRing
from .keys import generate_key_pair
from .message import EncryptedMessage, X3DHHeader
from .ratchet import Decryption
from .session import Session
from .terms import (
    ANY_TERMS,
    BudgetExhaustedError,
    GapError,
    IdentityUnknownError,
    Received,
    Terms,
)
from .x3dh import PrekeyBundle

MAX_SESSIONS: Final = 32
DAY: Final = 86_400_000
EPHEMERAL_RETENTION: Final = 60 * DAY
"""As long as the signed prekey secret that an ephemeral key was used with."""

SESSION_TIMEOUT: Final = 30 * DAY
"""SRS 6.4: a session unused for that long is not sent in any more."""

X3DH_OPERATIONS: Final = 4
"""What trying an `x3dh` costs at the most, in DH operations."""

CAPABILITIES: Final = ("image-1",)
"""What our own kind of client can read (PROTOCOL.md 3); the browser ignores it."""


class PeerRecord:
    """The sessions with one peer, and the rules of PROTOCOL.md 4.1 and 4.2.2.

    Every call that changes something notes it; `take_changes` hands over what has to be stored.

    Args:
        session_timeout: age (ms) at which an unused session is not sent in any more.

    Attributes:
        peer_id: the peer's user id.
        identity_key: the pinned X25519 identity key (32 bytes), or None before first contact.
        sessions: the candidates by id.
        capabilities: what the peer said it can read, under the pinned identity.
    """

    def __init__(
        self,
        peer_id: str,
        *,
        identity_key: bytes | None = None,
        sessions: dict[str, Session] | None = None,
        ephemerals: dict[bytes, tuple[str, int]] | None = None,
        capabilities: frozenset[str] = frozenset(),
        head: bytes | None = None,
        session_timeout: int = SESSION_TIMEOUT,
    ) -> None:
        self.peer_id = peer_id
        self.identity_key = identity_key
        self.capabilities = capabilities
        self.sessions = sessions if sessions is not None else {}
        self._ephemerals = ephemerals if ephemerals is not None else {}
        self._confirmation = Confirmation(head)
        self._session_timeout = session_timeout
        self._uses = max((s.last_use for s in self.sessions.values()), default=0)
        self._budget = FailureBudget()
        self._changes = PeerChanges()

    def __repr__(self) -> str:
        return f"<PeerRecord {self.peer_id} sessions={len(self.sessions)}>"

    @property
    def confirmed(self) -> str | None:
        """The id of the session that may be sent in without an `x3dh`."""
        return self._confirmation.session_id

    # ------------------------------------------------------------ receiving, PROTOCOL.md 4.1

    def receive(
        self,
        message: EncryptedMessage,
        key_ring: KeyRing,
        now: int,
        terms: Terms = ANY_TERMS,
        *,
        random: Callable[[int], bytes] = os.urandom,
    ) -> Received:
        """Decrypt a message in the session it belongs to.

        A failure changes nothing but the failure budget.

        Raises:
            GapError: messages before it may be missing, and must not.
            IdentityUnknownError: genuine under an identity that has to be accepted first.
            BudgetExhaustedError: not tried; try again when the minute is over.
            DecryptionError: it cannot be decrypted; `reason` says why.
        """
        if message.x3dh is not None:
            known = self._ephemerals.get(message.x3dh.sender_ephemeral_key)
            if known is None:
                return self._receive_opening(message, message.x3dh, key_ring, now, terms, random)
            if known[0] not in self.sessions:
                raise DecryptionError(
                    "this x3dh was accepted before, and its session is gone", reason="replay"
                )
        return self._receive_in_candidates(message, now, terms, random)

    def charge_rejected_identity(self, now: int) -> None:
        """A message under an identity that the peer does not publish: making it cost nothing."""
        self._budget.charge(now, dh_operations=X3DH_OPERATIONS)

    def _receive_opening(
        self,
        message: EncryptedMessage,
        header: X3DHHeader,
        key_ring: KeyRing,
        now: int,
        terms: Terms,
        random: Callable[[int], bytes],
    ) -> Received:
        if self._budget.exhausted(now, again=terms.again):
            raise BudgetExhaustedError("too many undecryptable messages from this sender")
        try:
            shared_secret = x3dh.respond(key_ring, header)
            session = Session.respond(self._session_id(header), shared_secret, message, now=now)
            decryption = session.decrypt(message, random=random)
        except DecryptionError:
            self._budget.charge(
                now, dh_operations=X3DH_OPERATIONS, chain_steps=message.header.message_number
            )
            raise
        self._require_pinned(header.sender_identity_key)
        if not terms.gaps:
            raise GapError("what was before this session is not known", reason="gap")
        self._add(session)
        self._remember_ephemeral(header.sender_ephemeral_key, session.id, now)
        self._apply(session, decryption, now)
        self._confirmation.peer_opened(session.id, now)
        self._learn_capabilities(message)
        return Received(
            plaintext=decryption.plaintext,
            session_id=session.id,
            opened=True,
            identity_key=header.sender_identity_key,
            used_one_time_prekey=header.used_one_time_prekey_id,
        )

    def _receive_in_candidates(
        self, message: EncryptedMessage, now: int, terms: Terms, random: Callable[[int], bytes]
    ) -> Received:
        session, decryption = self._try_candidates(message, now, terms, random)
        if decryption.added and not terms.gaps:
            raise GapError("messages before this one have not come", reason="gap")
        if self._is_over(session, now):
            self._confirmation.rule_out(session.id)
        if session.remote_identity_key == self.identity_key:
            self._confirmation.decrypted_in(session.id)
            self._learn_capabilities(message)
        self._apply(session, decryption, now)
        return Received(
            plaintext=decryption.plaintext,
            session_id=session.id,
            opened=False,
            identity_key=session.remote_identity_key,
        )

    def _try_candidates(
        self, message: EncryptedMessage, now: int, terms: Terms, random: Callable[[int], bytes]
    ) -> tuple[Session, Decryption]:
        """Decrypt in the session that knows the ratchet key, or else in one that may step to it."""
        header = message.header
        for session in self.sessions.values():
            if session.knows(header.ratchet_key):
                try:
                    return session, session.decrypt(message, random=random)
                except DecryptionError:
                    self._budget.charge(now, chain_steps=session.chain_steps(header))
                    raise
        spent = self._budget.spent(now)
        may_have_stepped = [s for s in self.sessions.values() if s.sending_ratchet_key is not None]
        for session in sorted(may_have_stepped, key=lambda s: -s.last_use):  # all cost the same
            if self._budget.exhausted(now, again=terms.again):
                raise BudgetExhaustedError("too many undecryptable messages from this sender")
            dh_operations, steps = session.dh_operations(header), session.chain_steps(header)
            try:
                decryption = session.decrypt(message, random=random)
            except DecryptionError:
                self._budget.charge(now, dh_operations=dh_operations, chain_steps=steps)
            else:
                self._budget.refund(spent)
                return session, decryption
        raise DecryptionError("no session with this peer fits the message", reason="no-session")

    def _require_pinned(self, identity_key: bytes) -> None:
        if identity_key != self.identity_key:
            raise IdentityUnknownError(identity_key)

    def _learn_capabilities(self, message: EncryptedMessage) -> None:
        news = frozenset(message.caps).intersection(CAPABILITIES) - self.capabilities
        if news:
            self.capabilities |= news
            self._changes.identity = True

    # ------------------------------------------------------------ sending, PROTOCOL.md 4.2

    def sending_session(self, now: int) -> Session | None:
        """The confirmed session, unless it has timed out or stands on a former identity."""
        session = None if self.confirmed is None else self.sessions.get(self.confirmed)
        if session is None or session.remote_identity_key != self.identity_key:
            return None
        return None if self._is_over(session, now) else session

    def _is_over(self, session: Session, now: int) -> bool:
        return now - session.used_at >= self._session_timeout

    def encrypt(
        self, plaintext: bytes, now: int, *, random: Callable[[int], bytes] = os.urandom
    ) -> tuple[Session, EncryptedMessage]:
        """Encrypt a bare message in the confirmed session.

        Raises:
            SessionNotFoundError: no session is confirmed; `open_session` instead.
        """
        session = self.sending_session(now)
        if session is None:
            raise SessionNotFoundError(f"no session with {self.peer_id} is confirmed")
        return session, self._encrypt(session, plaintext, now, None, random)

    def open_session(
        self,
        message_id: str,
        plaintext: bytes,
        identity: Identity,
        bundle: PrekeyBundle,
        now: int,
        *,
        again: bool = False,
        use_one_time_prekey: bool = False,
        random: Callable[[int], bytes] = os.urandom,
    ) -> tuple[Session, EncryptedMessage]:
        """Encrypt a message that opens a new session and carries its `x3dh`.

        Args:
            again: whether the backend has the message already; it keeps the first ciphertext.

        Raises:
            IdentityUnknownError: the bundle's identity is not the pinned one.
        """
        session, header = self.establish(
            identity, bundle, now, use_one_time_prekey=use_one_time_prekey, random=random
        )
        if not again:
            self._confirmation.stored(session.id)
        self.x3dh_pending(message_id)
        self._confirmation.clear()
        return session, self._encrypt(session, plaintext, now, header, random)

    def establish(
        self,
        identity: Identity,
        bundle: PrekeyBundle,
        now: int,
        *,
        use_one_time_prekey: bool = False,
        random: Callable[[int], bytes] = os.urandom,
    ) -> tuple[Session, X3DHHeader]:
        """Run X3DH as the initiator and keep the session as the newest that we opened.

        Raises:
            IdentityUnknownError: the bundle's identity is not the pinned one.
        """
        self._require_pinned(bundle.identity_key)
        shared_secret, header = x3dh.initiate(
            identity,
            bundle,
            use_one_time_prekey=use_one_time_prekey,
            ephemeral=generate_key_pair(random),
        )
        session = Session.initiate(
            self._session_id(header, ours=True),
            shared_secret,
            header,
            remote_identity_key=bundle.identity_key,
            now=now,
            key_pair=generate_key_pair(random),
        )
        self._confirmation.we_opened(session.id)
        self._add(session)
        return session, header

    def x3dh_pending(self, message_id: str) -> None:
        """A message that carries our `x3dh` is on its way, its echo not back yet."""
        self._confirmation.sent(message_id)

    def x3dh_settled(self, message_id: str, now: int, *, delivered: bool) -> None:
        """The backend has echoed a message that carried our `x3dh`, or is known not to."""
        self._confirmation.settled(message_id, now, delivered=delivered)

    def x3dh_received(self, message_id: str) -> None:
        """The peer itself says that it has a message, which may have carried our `x3dh`."""
        self._confirmation.received(message_id)

    @property
    def awaits_x3dh_echo(self) -> bool:
        """Whether a message that carried our `x3dh` is still un-echoed."""
        return self._confirmation.awaits_echo

    def unconfirm(self) -> None:
        """An undecryptable message came from the peer: it may have lost our session."""
        self._confirmation.clear()

    def _encrypt(
        self,
        session: Session,
        plaintext: bytes,
        now: int,
        header: X3DHHeader | None,
        random: Callable[[int], bytes],
    ) -> EncryptedMessage:
        ratchet_header, ciphertext = session.encrypt(plaintext, now, random=random)
        self._used(session)
        return EncryptedMessage(ratchet_header, ciphertext, header, CAPABILITIES)

    # ------------------------------------------------------------ identity and upkeep

    def accept_identity(self, identity_key: bytes) -> None:
        """Pin a peer's identity key (32 bytes) that equals the published one (4.1.6).

        Sessions of a former identity still decrypt late messages; none is sent in any more.
        """
        if identity_key == self.identity_key:
            return
        self.identity_key = identity_key
        self.capabilities = frozenset()
        self._changes.identity = True
        self._confirmation.forget()

    def adopt(self, session: Session, now: int) -> None:
        """Take over a session that was led elsewhere until now, and go on in it.

        One that the peer has never answered in is sent in only once it does.
        """
        self._add(session)
        if not session.opened_by_us and any(session.ephemeral_key):
            self._remember_ephemeral(session.ephemeral_key, session.id, now)
        self._confirmation.adopt(session.id, answered=session.ratchet.remote_key is not None)

    def expire_ephemerals(self, now: int) -> None:
        """Forget accepted ephemeral keys whose signed prekey secret is gone by now."""
        for key in [key for key, (_, expires) in self._ephemerals.items() if expires <= now]:
            del self._ephemerals[key]

    def take_changes(self) -> PeerChanges:
        """Hand over what has changed since the last call."""
        changes, self._changes = self._changes, PeerChanges()
        changes.head = self._confirmation.take_changed()
        return changes

    def _apply(self, session: Session, decryption: Decryption, now: int) -> None:
        for key in decryption.added:
            self._changes.keep_skipped(session.id, (key.ratchet_key, key.number), key.message_key)
        for gone in session.apply(decryption, now):
            self._changes.forget_skipped(session.id, gone)
        self._used(session)

    def _add(self, session: Session) -> None:
        self.sessions[session.id] = session
        self._used(session)
        if len(self.sessions) > MAX_SESSIONS:
            opened = self._confirmation.newest_opened, self._confirmation.newest_stored
            kept = {session.id, self.confirmed, *opened}
            others = [s for s in self.sessions.values() if s.id not in kept]
            longest_unused = min(others, key=lambda s: s.last_use).id
            del self.sessions[longest_unused]
            self._changes.drop(longest_unused)

    def _used(self, session: Session) -> None:
        self._uses += 1
        session.last_use = self._uses
        self._changes.save(session)

    def _remember_ephemeral(self, ephemeral_key: bytes, session_id: str, now: int) -> None:
        entry = (session_id, now + EPHEMERAL_RETENTION)
        self._ephemerals[ephemeral_key] = entry
        self._changes.ephemerals[ephemeral_key] = entry

    @staticmethod
    def _session_id(header: X3DHHeader, *, ours: bool = False) -> str:
        return ("i-" if ours else "r-") + header.sender_ephemeral_key[:16].hex()
