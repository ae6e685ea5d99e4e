"""The browser's conversations: the same bytes in order, the same texts in any order."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from functools import cache

import pytest
from doubles.vectors import Step, Transcript, transcripts
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.client.crypto import ratchet, x3dh
from chatbot.client.crypto.keys import KeyPair
from chatbot.client.crypto.message import EncryptedMessage, RatchetHeader, encode_content
from chatbot.client.crypto.ratchet import RatchetState
from chatbot.client.crypto.x3dh import PrekeyBundle, PublishedSignedPrekey
from chatbot.client.exceptions import DecryptionError

TRANSCRIPTS = transcripts()
SIDES = ("initiator", "responder")
HEARD = [
    (transcript, side)
    for transcript in TRANSCRIPTS
    for side in SIDES
    if any(step.sender != side for step in transcript.steps)
]

seeds = st.integers(0, 2**64)


def in_turn(*values: bytes) -> Callable[[int], bytes]:
    """Give these as randomness, and nothing else."""
    remaining = iter(values)

    def give(count: int) -> bytes:
        value = next(remaining)
        assert len(value) == count
        return value

    return give


@pytest.mark.parametrize("transcript", TRANSCRIPTS, ids=str)
class TestInOrder:
    def test_the_session_is_opened_with_the_same_secret(self, transcript: Transcript) -> None:
        (prekey,) = transcript.responder.signed_prekeys.values()
        bundle = PrekeyBundle(
            transcript.responder.identity.public_key,
            transcript.responder.identity.signing_key,
            PublishedSignedPrekey(prekey.key_id, prekey.key_pair.public, prekey.signature),
        )
        secret, header = x3dh.initiate(transcript.initiator, bundle, ephemeral=transcript.ephemeral)
        assert secret == transcript.shared_secret
        assert header == transcript.steps[0].message.x3dh
        assert x3dh.respond(transcript.responder, header) == secret
        start = ratchet.start_initiator(secret, transcript.start.key_pair)
        assert start == transcript.start

    def test_every_state_and_every_byte_is_the_browsers(self, transcript: Transcript) -> None:
        opening = transcript.steps[0].message.header.ratchet_key
        states = {
            "initiator": transcript.start,
            "responder": ratchet.start_responder(transcript.shared_secret, opening),
        }
        for step in transcript.steps:
            receiver = other(step.sender)
            states[step.sender] = self.send(states[step.sender], step, transcript)
            assert states[receiver] == step.before
            states[receiver] = self.receive(states[receiver], step)
            assert states[receiver] == step.after

    def send(self, state: RatchetState, step: Step, transcript: Transcript) -> RatchetState:
        randomness = [step.nonce]
        if state.key_pair is None:
            assert transcript.first_pair is not None
            randomness.insert(0, transcript.first_pair.secret)
        header, ciphertext, after = ratchet.encrypt(
            state, step.plaintext.encode(), random=in_turn(*randomness)
        )
        assert encode_content(EncryptedMessage(header, ciphertext, step.message.x3dh)) == step.wire
        return after

    def receive(self, state: RatchetState, step: Step) -> RatchetState:
        stepped = step.after.root_key != step.before.root_key
        assert step.after.key_pair is not None or not stepped
        randomness = [step.after.key_pair.secret] if stepped and step.after.key_pair else []
        decryption = ratchet.decrypt(
            state, {}, step.message.header, step.message.ciphertext, random=in_turn(*randomness)
        )
        assert decryption.plaintext.decode() == step.plaintext
        assert decryption.stepped == stepped
        assert decryption.added == ()
        assert decryption.used is None
        return decryption.state


def other(side: str) -> str:
    return SIDES[1 - SIDES.index(side)]


class Listener:
    """One side of a transcript, told what the other sent in any order."""

    def __init__(
        self, transcript: Transcript, state: RatchetState, secrets: dict[bytes, bytes]
    ) -> None:
        self.transcript = transcript
        self.state = state
        self.skipped: dict[tuple[bytes, int], bytes] = {}
        self.secrets = secrets
        self.read: set[tuple[bytes, int]] = set()

    def hear(self, step: Step) -> None:
        """Read a message that is genuine, whether for the first time or again."""
        header = step.message.header
        if step.place in self.read:
            self.refuse(header, step.message.ciphertext)
            return
        self.answer_first(header)
        decryption = ratchet.decrypt(
            self.state, self.skipped, header, step.message.ciphertext, random=self.random(header)
        )
        assert decryption.plaintext.decode() == step.plaintext
        self.read.add(step.place)
        self.state = decryption.state
        if decryption.used is not None:
            assert decryption.used == step.place
            del self.skipped[step.place]
        for key in decryption.added:
            assert (key.ratchet_key, key.number) not in self.skipped
            self.skipped[key.ratchet_key, key.number] = key.message_key

    def refuse(self, header: RatchetHeader, ciphertext: bytes) -> None:
        with pytest.raises(DecryptionError):
            ratchet.decrypt(self.state, self.skipped, header, ciphertext)

    def answer_first(self, header: RatchetHeader) -> None:
        """Before the peer takes a second ratchet key, a responder must have sent something."""
        first_pair = self.transcript.first_pair
        if self.state.key_pair is None and header.ratchet_key != self.state.remote_key:
            assert first_pair is not None
            randomness = in_turn(first_pair.secret, bytes(24))
            *_, self.state = ratchet.encrypt(self.state, b"", random=randomness)

    def random(self, header: RatchetHeader) -> Callable[[int], bytes]:
        """The ratchet pair that the browser took when it first heard this key."""
        secret = self.secrets.get(header.ratchet_key)
        return in_turn(*([secret] if secret else []))


@cache
def own_secrets(transcript_name: str, side: str) -> dict[bytes, bytes]:
    """The secrets that a side took, by the remote key that made it take them."""
    (transcript,) = (t for t in TRANSCRIPTS if t.name == transcript_name)
    pairs: list[tuple[bytes, KeyPair | None]] = [
        (step.message.header.ratchet_key, step.after.key_pair)
        for step in transcript.steps
        if step.sender != side and step.after.root_key != step.before.root_key
    ]
    return {remote_key: pair.secret for remote_key, pair in pairs if pair is not None}


def disorder(steps: list[Step], chance: random.Random) -> Iterator[Step]:
    """Shuffle, repeat and lose messages, as far as a network can.

    A peer's next ratchet key answers one of ours, so that some message of each chain is heard
    before any of the next. All others come when they will, or never.
    """
    chains: dict[bytes, list[Step]] = {}
    for step in steps:
        chains.setdefault(step.message.header.ratchet_key, []).append(step)
    moments: list[tuple[float, Step]] = []
    for number, chain in enumerate(chains.values()):
        first = chance.choice(chain)
        moments.append((number, first))
        for step in chain:
            copies = chance.choice((0, 1, 1, 1, 2, 3)) if step is not first else chance.randrange(2)
            delays = (chance.choice((0, 0, 1, len(chains))) for _ in range(copies))
            moments += [(number + chance.random() * (1 + delay), step) for delay in delays]
    return (step for _, step in sorted(moments, key=lambda moment: moment[0]))


@pytest.mark.parametrize(("transcript", "side"), HEARD, ids=str)
class TestInAnyOrder:
    @settings(max_examples=200, deadline=None)
    @given(seed=seeds)
    def test_from_the_start(self, transcript: Transcript, side: str, seed: int) -> None:
        self.listen(transcript, side, 0, random.Random(seed))

    @settings(max_examples=200, deadline=None)
    @given(seed=seeds)
    def test_from_any_state(self, transcript: Transcript, side: str, seed: int) -> None:
        chance = random.Random(seed)
        heard = sum(step.sender != side for step in transcript.steps)
        self.listen(transcript, side, chance.randrange(heard), chance)

    def listen(self, transcript: Transcript, side: str, start: int, chance: random.Random) -> None:
        steps = [step for step in transcript.steps if step.sender != side][start:]
        listener = Listener(transcript, steps[0].before, own_secrets(transcript.name, side))
        for step in disorder(steps, chance):
            listener.hear(step)
        read = [number for number, step in enumerate(steps) if step.place in listener.read]
        passed = [step for step in steps[: max(read)] if step.place not in listener.read]
        assert listener.skipped.keys() == {step.place for step in passed}
        for step in passed:
            listener.hear(step)
        assert not listener.skipped
