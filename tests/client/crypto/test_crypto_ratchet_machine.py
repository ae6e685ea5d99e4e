"""Two ratchets, a network that delays, repeats, loses and forges, and what must always hold."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec.structs import replace

from chatbot.client.crypto import ratchet
from chatbot.client.crypto.keys import KeyPair
from chatbot.client.crypto.message import RatchetHeader
from chatbot.client.crypto.ratchet import RatchetState
from chatbot.client.exceptions import DecryptionError

SECRET = bytes(range(32))
FIRST_PAIR = KeyPair.from_secret(b"\x01" * 32)

Place = tuple[bytes, int]


@dataclass(frozen=True)
class Sent:
    """A genuine message."""

    plaintext: bytes
    header: RatchetHeader
    ciphertext: bytes

    @property
    def place(self) -> Place:
        return self.header.ratchet_key, self.header.message_number


@dataclass
class Side:
    """A party, and what is on its way to it."""

    state: RatchetState
    skipped: dict[Place, bytes] = field(default_factory=dict)
    on_its_way: list[Sent] = field(default_factory=list)
    read: list[Sent] = field(default_factory=list)

    def receive(self, header: RatchetHeader, ciphertext: bytes) -> bytes:
        decryption = ratchet.decrypt(self.state, self.skipped, header, ciphertext)
        self.state = decryption.state
        if decryption.used is not None:
            del self.skipped[decryption.used]
        for key in decryption.added:
            self.skipped[key.ratchet_key, key.number] = key.message_key
        return decryption.plaintext

    def refuse(self, header: RatchetHeader, ciphertext: bytes) -> None:
        state, skipped = self.state, dict(self.skipped)
        with pytest.raises(DecryptionError):
            self.receive(header, ciphertext)
        assert (self.state, self.skipped) == (state, skipped)


class Conversation(RuleBasedStateMachine):
    """Every genuine message decrypts exactly once, and nothing else ever does."""

    def __init__(self) -> None:
        super().__init__()
        self.sides = (
            Side(ratchet.start_initiator(SECRET, FIRST_PAIR)),
            Side(ratchet.start_responder(SECRET, FIRST_PAIR.public)),
        )
        self.places: set[Place] = set()
        self.count = 0
        self.send(sender=0)
        self.deliver(receiver=1, choice=0)

    @rule(sender=st.integers(0, 1))
    def send(self, sender: int) -> None:
        self.count += 1
        plaintext = b"message %d" % self.count
        side = self.sides[sender]
        header, ciphertext, side.state = ratchet.encrypt(side.state, plaintext)
        sent = Sent(plaintext, header, ciphertext)
        assert sent.place not in self.places, "a message key was used twice"
        self.places.add(sent.place)
        self.sides[1 - sender].on_its_way.append(sent)

    @rule(receiver=st.integers(0, 1), choice=st.integers(0, 100))
    def deliver(self, receiver: int, choice: int) -> None:
        side = self.sides[receiver]
        if side.on_its_way:
            sent = side.on_its_way.pop(choice % len(side.on_its_way))
            assert side.receive(sent.header, sent.ciphertext) == sent.plaintext
            side.read.append(sent)

    @rule(receiver=st.integers(0, 1), choice=st.integers(0, 100))
    def lose(self, receiver: int, choice: int) -> None:
        side = self.sides[receiver]
        if side.on_its_way:
            side.on_its_way.pop(choice % len(side.on_its_way))

    @rule(receiver=st.integers(0, 1), choice=st.integers(0, 100))
    def repeat(self, receiver: int, choice: int) -> None:
        side = self.sides[receiver]
        if side.read:
            sent = side.read[choice % len(side.read)]
            side.refuse(sent.header, sent.ciphertext)

    @precondition(lambda self: any(side.on_its_way for side in self.sides))
    @rule(choice=st.integers(0, 100), place=st.integers(0, 10**4), change=st.integers(1, 255))
    def forge(self, choice: int, place: int, change: int) -> None:
        for side in self.sides:
            if side.on_its_way:
                sent = side.on_its_way[choice % len(side.on_its_way)]
                ciphertext = bytearray(sent.ciphertext)
                ciphertext[place % len(ciphertext)] ^= change
                side.refuse(sent.header, bytes(ciphertext))

    @precondition(lambda self: any(side.on_its_way for side in self.sides))
    @rule(choice=st.integers(0, 100), shift=st.sampled_from((-2, -1, 1, 2, 1000, 2000)))
    def misnumber(self, choice: int, shift: int) -> None:
        for side in self.sides:
            if side.on_its_way:
                sent = side.on_its_way[choice % len(side.on_its_way)]
                number = sent.header.message_number + shift
                if number >= 0:
                    side.refuse(replace(sent.header, message_number=number), sent.ciphertext)

    @rule(receiver=st.integers(0, 1), choice=st.integers(0, 100))
    def reflect(self, receiver: int, choice: int) -> None:
        """Send a message back to whom it came from."""
        sent = self.sides[receiver].read
        if sent:
            message = sent[choice % len(sent)]
            self.sides[1 - receiver].refuse(message.header, message.ciphertext)

    @invariant()
    def nothing_read_has_a_key_left(self) -> None:
        for side in self.sides:
            assert not side.skipped.keys() & {sent.place for sent in side.read}

    def teardown(self) -> None:
        for side in self.sides:
            for sent in side.on_its_way:
                assert side.receive(sent.header, sent.ciphertext) == sent.plaintext


TestConversation = Conversation.TestCase
TestConversation.settings = settings(max_examples=150, stateful_step_count=60, deadline=None)
