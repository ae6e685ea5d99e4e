"""Two people's records of each other, as pure logic: no socket, no file, a made-up clock."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.message import EncryptedMessage, RatchetHeader
from chatbot.client.crypto.session_manager import DAY, PeerRecord
from chatbot.client.crypto.terms import Received
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.wire import PrekeyBundleBody

SECOND = 1000


@dataclass
class Side:
    """One of two people: the keys, and what is known of the other."""

    name: str
    ring: KeyRing = field(default_factory=lambda: KeyRing(Identity.generate()))
    record: PeerRecord = field(default_factory=lambda: PeerRecord("the other"))
    now: int = DAY
    sent: int = 0

    def bundle(self) -> PrekeyBundle:
        ring = self.ring
        signed = ring.current_signed_prekey or ring.new_signed_prekey(self.now)
        upload = ring.upload_body(signed, list(ring.one_time_prekeys.values()))
        one_time = upload.one_time_prekeys[0] if upload.one_time_prekeys else None
        return PrekeyBundle.from_body(
            PrekeyBundleBody(
                upload.identity_key,
                upload.signing_key,
                upload.fingerprint,
                upload.signed_prekey,
                one_time,
            )
        )

    def opens(
        self, other: Side, text: str = "hello", *, one_time: bool = False, again: bool = False
    ) -> EncryptedMessage:
        """Send with an x3dh, whose echo is still to come (`settled`)."""
        self.sent += 1
        bundle = other.bundle()
        self.record.accept_identity(bundle.identity_key)
        return self.record.open_session(
            f"{self.name}-{self.sent}",
            text.encode(),
            self.ring.identity,
            bundle,
            self.now,
            again=again,
            use_one_time_prekey=one_time,
        )[1]

    def settled(self, *, delivered: bool = True) -> None:
        """The echo of the newest message that carried an x3dh, long enough ago."""
        self.record.x3dh_settled(f"{self.name}-{self.sent}", self.now, delivered=delivered)

    def says(self, text: str = "bare") -> EncryptedMessage:
        return self.record.encrypt(text.encode(), self.now)[1]

    def receives(self, message: EncryptedMessage) -> Received:
        return self.record.receive(message, self.ring, self.now)

    def stored(self) -> dict[str, bytes]:
        return {session.id: session.to_bytes() for session in self.record.sessions.values()}


def in_touch(alice: Side, bob: Side) -> None:
    """Alice has opened a session, Bob has answered in it: both may send bare."""
    bob.receives(alice.opens(bob))
    alice.settled()
    alice.receives(bob.says())


def forged(message: EncryptedMessage) -> EncryptedMessage:
    damaged = bytes([message.ciphertext[-1] ^ 1])
    return msgspec.structs.replace(message, ciphertext=message.ciphertext[:-1] + damaged)


def unknown_key(message: EncryptedMessage) -> EncryptedMessage:
    header = RatchetHeader(generate_key_pair().public, 0, 0)
    return msgspec.structs.replace(message, header=header)
