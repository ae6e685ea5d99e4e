"""Two peers, their sessions and a network that does what it likes, as a state machine.

Every genuine message decrypts at most once, nothing forged ever does, no key is used twice.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import EncryptedMessage, decode_content, encode_content
from chatbot.client.crypto.session import Session
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import DecryptionError
from chatbot.wire import PrekeyBundleBody

MINUTE = 60_000
ALICE, BOB = 0, 1

sides = st.sampled_from([ALICE, BOB])


@dataclass
class Sent:
    """A genuine message: who wrote it, and what it looked like on the wire."""

    sender: int
    text: str
    content: str
    read: int = 0


@dataclass
class Side:
    """One of the two."""

    ring: KeyRing = field(default_factory=lambda: KeyRing(Identity.generate()))
    record: PeerRecord = field(default_factory=lambda: PeerRecord("the other"))
    ephemerals: dict[bytes, tuple[str, int]] = field(default_factory=dict)
    head: bytes | None = None

    def bundle(self) -> PrekeyBundle:
        current = self.ring.current_signed_prekey or self.ring.new_signed_prekey(0)
        upload = self.ring.upload_body(current, [])
        return PrekeyBundle.from_body(
            PrekeyBundleBody(
                upload.identity_key, upload.signing_key, upload.fingerprint, upload.signed_prekey
            )
        )

    def store(self) -> None:
        """What the record says has to be stored."""
        changes = self.record.take_changes()
        self.ephemerals |= changes.ephemerals
        self.head = changes.head or self.head


class TwoPeers(RuleBasedStateMachine):
    """Whatever the network does to them."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0
        self.sides = Side(), Side()
        self.sent: list[Sent] = []
        self.keys: set[tuple[bytes, int]] = set()
        for side, other in (self.sides, self.sides[::-1]):
            side.record.accept_identity(other.bundle().identity_key)

    # ------------------------------------------------------------ sending

    @rule(sender=sides)
    def open_session(self, sender: int) -> None:
        side, other = self.sides[sender], self.sides[1 - sender]
        text = f"opening {len(self.sent)}"
        _, message = side.record.open_session(
            text, text.encode(), side.ring.identity, other.bundle(), self.now
        )
        side.record.x3dh_settled(text, self.now, delivered=True)
        self._sent(sender, text, message)

    @rule(sender=sides)
    def send_bare(self, sender: int) -> None:
        side = self.sides[sender]
        if side.record.sending_session(self.now) is not None:
            text = f"bare {len(self.sent)}"
            self._sent(sender, text, side.record.encrypt(text.encode(), self.now)[1])

    def _sent(self, sender: int, text: str, message: EncryptedMessage) -> None:
        key = message.header.ratchet_key, message.header.message_number
        assert key not in self.keys, "a key was used twice"
        self.keys.add(key)
        self.sent.append(Sent(sender, text, encode_content(message)))
        self.sides[sender].store()

    # ------------------------------------------------------------ the network

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        """Any message, in any order, as often as it likes."""
        sent = self._any(data)
        side = self.sides[1 - sent.sender]
        before = self._stored(side)
        try:
            received = side.record.receive(decode_content(sent.content), side.ring, self.now)
        except DecryptionError:
            assert self._stored(side) == before
        else:
            assert received.plaintext.decode() == sent.text
            sent.read += 1
            side.store()

    @precondition(lambda self: self.sent)
    @rule(data=st.data())
    def deliver_forged(self, data: st.DataObject) -> None:
        """One that was changed on its way, or that is said to be the other's."""
        sent = self._any(data)
        forged = data.draw(st.sampled_from(FORGERIES))(decode_content(sent.content), data)
        side = self.sides[1 - sent.sender]
        before = self._stored(side)
        try:
            side.record.receive(forged, side.ring, self.now)
        except DecryptionError:
            assert self._stored(side) == before
        else:
            raise AssertionError("a forged message was decrypted")

    @rule(sender=sides)
    def rotate(self, sender: int) -> None:
        self.sides[sender].ring.new_signed_prekey(self.now)

    @rule(minutes=st.sampled_from([1, 60]))
    def wait(self, minutes: int) -> None:
        self.now += minutes * MINUTE

    @rule(sender=sides)
    def restart(self, sender: int) -> None:
        """Go on from what is stored."""
        side = self.sides[sender]
        record = side.record
        side.record = PeerRecord(
            record.peer_id,
            identity_key=record.identity_key,
            sessions={
                s.id: Session.from_bytes(s.id, s.to_bytes(), dict(s.skipped))
                for s in record.sessions.values()
            },
            ephemerals=dict(side.ephemerals),
            capabilities=record.capabilities,
            head=side.head,
        )

    # ------------------------------------------------------------ what always holds

    @invariant()
    def every_message_is_read_at_most_once(self) -> None:
        assert all(sent.read <= 1 for sent in self.sent)

    def _any(self, data: st.DataObject) -> Sent:
        return self.sent[data.draw(st.integers(0, len(self.sent) - 1))]

    @staticmethod
    def _stored(side: Side) -> dict[str, tuple[bytes, dict[Any, bytes]]]:
        sessions = side.record.sessions.values()
        return {s.id: (s.to_bytes(), dict(s.skipped)) for s in sessions}


def _flip(message: EncryptedMessage, data: st.DataObject) -> EncryptedMessage:
    """One bit of the ciphertext."""
    at = data.draw(st.integers(0, len(message.ciphertext) - 1))
    flipped = bytearray(message.ciphertext)
    flipped[at] ^= 1 << data.draw(st.integers(0, 7))
    return msgspec.structs.replace(message, ciphertext=bytes(flipped))


def _renumber(message: EncryptedMessage, data: st.DataObject) -> EncryptedMessage:
    """Another place in its chain."""
    by = data.draw(st.integers(1, 1000))
    number = message.header.message_number + by
    header = msgspec.structs.replace(message.header, message_number=number)
    return msgspec.structs.replace(message, header=header)


def _rekey(message: EncryptedMessage, data: st.DataObject) -> EncryptedMessage:
    """Another chain; an opening one's key is not authenticated, for the protocol has no AAD."""
    if message.x3dh is not None:
        return _flip(message, data)
    key = data.draw(st.binary(min_size=32, max_size=32).filter(any))
    header = msgspec.structs.replace(message.header, ratchet_key=key)
    return msgspec.structs.replace(message, header=header)


FORGERIES = (_flip, _renumber, _rekey)

TwoPeers.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestTwoPeers = TwoPeers.TestCase
