"""The ratchet's own rules: what a message may skip, and what a forged one may cost."""

from __future__ import annotations

import os
from collections.abc import Iterator

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from chatbot.client.crypto import kdf, ratchet
from chatbot.client.crypto.keys import KeyPair, generate_key_pair
from chatbot.client.crypto.message import RatchetHeader
from chatbot.client.crypto.ratchet import Decryption, RatchetState
from chatbot.client.exceptions import DecryptionError, MessageSkipError

SECRET = bytes(range(32))
Sent = tuple[RatchetHeader, bytes]


def no_randomness(count: int) -> bytes:
    raise AssertionError(f"{count} random bytes were taken for a message that is not genuine")


class Party:
    """One side of a session, which takes over what its ratchet returns."""

    def __init__(self, state: RatchetState) -> None:
        self.state = state
        self.skipped: dict[tuple[bytes, int], bytes] = {}

    def send(self, text: bytes = b"text") -> Sent:
        header, ciphertext, self.state = ratchet.encrypt(self.state, text)
        return header, ciphertext

    def receive(self, sent: Sent) -> Decryption:
        decryption = ratchet.decrypt(self.state, self.skipped, *sent)
        self.state = decryption.state
        self.skipped |= {(k.ratchet_key, k.number): k.message_key for k in decryption.added}
        if decryption.used is not None:
            del self.skipped[decryption.used]
        return decryption

    def refuse(self, sent: Sent) -> DecryptionError:
        """Expect an error, at no other cost than the error."""
        before = dict(self.skipped)
        with pytest.raises(DecryptionError) as raised:
            ratchet.decrypt(self.state, self.skipped, *sent, random=no_randomness)
        assert self.skipped == before
        return raised.value


@pytest.fixture
def alice() -> Party:
    return Party(ratchet.start_initiator(SECRET, KeyPair.from_secret(b"\x01" * 32)))


@pytest.fixture
def bob() -> Party:
    return Party(ratchet.start_responder(SECRET, KeyPair.from_secret(b"\x01" * 32).public))


@pytest.fixture
def session(alice: Party, bob: Party) -> tuple[Party, Party]:
    """Let both sides have sent, so that each next answer is a DH step."""
    bob.receive(alice.send())
    alice.receive(bob.send())
    return alice, bob


def damaged(sent: Sent, place: int = -1) -> Sent:
    header, ciphertext = sent
    changed = bytearray(ciphertext)
    changed[place] ^= 1
    return header, bytes(changed)


def renumbered(sent: Sent, **change: object) -> Sent:
    return replace(sent[0], **change), sent[1]


class TestStarting:
    def test_keys_are_derived_from_zeros_under_the_shared_secret(self) -> None:
        root_key, chain_key = kdf.root_step(SECRET, bytes(32))
        pair = generate_key_pair()
        assert ratchet.start_initiator(SECRET, pair) == RatchetState(
            root_key, chain_key, None, pair, None
        )
        assert ratchet.start_responder(SECRET, pair.public) == RatchetState(
            root_key, None, chain_key, None, pair.public
        )

    def test_an_initiator_takes_a_new_ratchet_pair(self) -> None:
        one, other = ratchet.start_initiator(SECRET), ratchet.start_initiator(SECRET)
        assert one.key_pair != other.key_pair

    @pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"short"])
    def test_a_key_that_can_never_be_answered_is_refused(self, key: bytes) -> None:
        with pytest.raises(DecryptionError) as raised:
            ratchet.start_responder(SECRET, key)
        assert raised.value.reason == "malformed"


class TestSending:
    @given(st.binary(max_size=5000))
    def test_any_bytes_arrive_in_40_more(self, plaintext: bytes) -> None:
        pair = generate_key_pair()
        bob = Party(ratchet.start_responder(SECRET, pair.public))
        header, ciphertext, _ = ratchet.encrypt(ratchet.start_initiator(SECRET, pair), plaintext)
        assert len(ciphertext) == len(plaintext) + 40
        assert bob.receive((header, ciphertext)).plaintext == plaintext

    def test_messages_are_numbered_and_no_ciphertext_comes_twice(self, alice: Party) -> None:
        sent = [alice.send() for _ in range(5)]
        assert [header.message_number for header, _ in sent] == list(range(5))
        assert len({ciphertext for _, ciphertext in sent}) == 5

    def test_a_state_without_chain_and_without_peer_cannot_send(self) -> None:
        with pytest.raises(ValueError, match="sending chain or a remote key"):
            ratchet.encrypt(RatchetState(SECRET, None, None, None, None), b"text")

    def test_a_responder_takes_its_pair_when_it_first_sends(self, alice: Party, bob: Party) -> None:
        bob.receive(alice.send())
        before = bob.state
        header, _ = bob.send()
        assert before.key_pair is None
        assert bob.state.key_pair is not None
        assert header == RatchetHeader(bob.state.key_pair.public, 0, 0)
        assert bob.state.receiving_chain_key == before.receiving_chain_key
        assert bob.state.root_key != before.root_key

    def test_the_header_tells_how_long_the_former_chain_was(
        self, session: tuple[Party, Party]
    ) -> None:
        alice, bob = session
        for _ in range(3):
            bob.receive(alice.send())
        alice.receive(bob.send())
        header, _ = alice.send()
        assert header.previous_chain_length == 3
        assert header.message_number == 0


class TestReceiving:
    def test_late_messages_of_any_chain(self, session: tuple[Party, Party]) -> None:
        alice, bob = session
        late = []
        for turn in range(4):
            late += [(b"late %d" % turn, alice.send(b"late %d" % turn))]
            bob.receive(alice.send())
            late += [(b"last %d" % turn, alice.send(b"last %d" % turn))]
            alice.receive(bob.send())
        bob.receive(alice.send())
        assert len(bob.skipped) == len(late)
        for plaintext, sent in reversed(late):
            decryption = bob.receive(sent)
            assert decryption.plaintext == plaintext
            assert not decryption.stepped
            assert bob.refuse(sent).reason in {"forged", "used-key"}
        assert not bob.skipped

    def test_the_keys_that_were_skipped_come_oldest_first(
        self, session: tuple[Party, Party]
    ) -> None:
        alice, bob = session
        bob.receive(alice.send())
        old = [alice.send()[0] for _ in range(2)]
        alice.receive(bob.send())
        new = [alice.send()[0] for _ in range(2)]
        added = bob.receive(alice.send()).added
        assert [(key.ratchet_key, key.number) for key in added] == [
            (header.ratchet_key, header.message_number) for header in old + new
        ]

    def test_a_message_decrypts_once(self, alice: Party, bob: Party) -> None:
        sent = alice.send()
        bob.receive(sent)
        assert bob.refuse(sent).reason == "used-key"

    def test_only_what_is_kept_decrypts_in_a_former_chain(self, alice: Party, bob: Party) -> None:
        late = alice.send(b"late")
        bob.receive(alice.send())
        decryption = ratchet.decrypt_skipped(bob.state, bob.skipped, *late)
        assert decryption.plaintext == b"late"
        assert decryption.state is bob.state
        with pytest.raises(DecryptionError) as raised:
            ratchet.decrypt_skipped(bob.state, {}, *late)
        assert raised.value.reason == "used-key"

    def test_a_responder_that_never_sent_gets_no_new_ratchet_key(
        self, alice: Party, bob: Party
    ) -> None:
        bob.receive(alice.send())
        stranger = renumbered(alice.send(), ratchet_key=generate_key_pair().public)
        assert bob.refuse(stranger).reason == "no-session"

    def test_a_receiving_chain_that_is_not_there(self, bob: Party, alice: Party) -> None:
        sent = alice.send()
        bob.state = replace(bob.state, receiving_chain_key=None)
        assert bob.refuse(sent).reason == "used-key"


class TestSkipLimit:
    def advance(self, party: Party, count: int) -> None:
        for _ in range(count):
            party.send()

    def test_in_a_chain(self, alice: Party, bob: Party) -> None:
        self.advance(alice, 1000)
        fits, too_far = alice.send(), alice.send()
        error = bob.refuse(too_far)
        assert isinstance(error, MessageSkipError)
        assert error.reason == "skip-limit"
        assert len(bob.receive(fits).added) == 1000
        assert bob.receive(too_far).added == ()

    def test_in_a_new_chain(self, session: tuple[Party, Party]) -> None:
        alice, bob = session
        self.advance(alice, 1000)
        fits, too_far = alice.send(), alice.send()
        assert isinstance(bob.refuse(too_far), MessageSkipError)
        assert len(bob.receive(fits).added) == 1000

    def test_in_the_chain_before(self, session: tuple[Party, Party]) -> None:
        alice, bob = session
        bob.receive(alice.send())
        self.advance(alice, 1000)
        alice.receive(bob.send())
        sent = alice.send()
        assert sent[0].previous_chain_length == 1001
        too_long = renumbered(sent, previous_chain_length=1002)
        assert isinstance(bob.refuse(too_long), MessageSkipError)
        assert len(bob.receive(sent).added) == 1000

    @pytest.mark.parametrize("number", [1002, 2**31 - 1])
    @pytest.mark.parametrize("name", ["message_number", "previous_chain_length"])
    def test_is_asked_before_anything_is_computed(
        self,
        session: tuple[Party, Party],
        monkeypatch: pytest.MonkeyPatch,
        name: str,
        number: int,
    ) -> None:
        alice, bob = session
        monkeypatch.setattr(ratchet, "diffie_hellman", no_randomness)
        monkeypatch.setattr(ratchet, "next_chain_key", no_randomness)
        assert isinstance(bob.refuse(renumbered(alice.send(), **{name: number})), MessageSkipError)


class TestForgeries:
    @pytest.fixture(params=["same chain", "skipping", "step", "step, skipping", "kept key"])
    def genuine(
        self, request: pytest.FixtureRequest, session: tuple[Party, Party]
    ) -> Iterator[Sent]:
        alice, bob = session
        if "step" not in request.param:
            bob.receive(alice.send())
        if "skipping" in request.param:
            alice.send()
        sent = alice.send(b"genuine")
        if request.param == "kept key":
            bob.receive(alice.send())
        yield sent
        assert bob.receive(sent).plaintext == b"genuine"

    @pytest.mark.parametrize("place", [0, 23, 24, 39, 40, -1])
    def test_a_changed_byte_anywhere_in_the_ciphertext(
        self, session: tuple[Party, Party], genuine: Sent, place: int
    ) -> None:
        assert session[1].refuse(damaged(genuine, place)).reason == "forged"

    def test_another_key_or_number_in_the_header(
        self, session: tuple[Party, Party], genuine: Sent
    ) -> None:
        bob = session[1]
        number = genuine[0].message_number
        bob.refuse(renumbered(genuine, message_number=number + 5))
        bob.refuse(renumbered(genuine, ratchet_key=generate_key_pair().public))

    @pytest.mark.parametrize("length", [0, 1, 24, 39])
    def test_a_ciphertext_cut_short(
        self, session: tuple[Party, Party], genuine: Sent, length: int
    ) -> None:
        header, ciphertext = genuine
        assert session[1].refuse((header, ciphertext[:length])).reason == "malformed"

    @pytest.mark.parametrize("key", [bytes(32), b"\x01" + bytes(31), b"", bytes(33)])
    def test_a_ratchet_key_that_is_none(
        self, session: tuple[Party, Party], genuine: Sent, key: bytes
    ) -> None:
        assert session[1].refuse(renumbered(genuine, ratchet_key=key)).reason == "malformed"

    def test_cost_no_message_key_but_their_own(
        self, session: tuple[Party, Party], genuine: Sent, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with monkeypatch.context() as patch:
            patch.setattr(ratchet, "message_key", no_randomness)
            assert session[1].refuse(damaged(genuine)).reason == "forged"

    @given(
        st.builds(
            RatchetHeader,
            st.binary(min_size=32, max_size=32),
            st.integers(0, 2**31 - 1),
            st.integers(0, 2**31 - 1),
        ),
        st.binary(max_size=100),
        st.booleans(),
    )
    def test_nothing_made_up_decrypts(
        self, header: RatchetHeader, ciphertext: bytes, known_key: bool
    ) -> None:
        alice = Party(ratchet.start_initiator(SECRET))
        assert alice.state.key_pair is not None
        bob = Party(ratchet.start_responder(SECRET, alice.state.key_pair.public))
        alice.receive(bob.send())
        if known_key and alice.state.remote_key is not None:
            header = replace(header, ratchet_key=alice.state.remote_key)
        alice.refuse((header, ciphertext))


class TestSecrecy:
    def test_nothing_shows_keys_or_plaintext(self, session: tuple[Party, Party]) -> None:
        alice, bob = session
        alice.send()
        decryption = bob.receive(alice.send(b"the plaintext"))
        (skipped,) = decryption.added
        state = decryption.state
        assert state.key_pair is not None
        secrets = [
            b"the plaintext",
            skipped.message_key,
            state.root_key,
            state.key_pair.secret,
            state.sending_chain_key,
            state.receiving_chain_key,
        ]
        for shown in (repr(decryption), repr(state), repr(skipped), f"{alice.state}"):
            for secret in secrets:
                assert secret is not None
                assert repr(secret)[2:-1] not in shown
                assert secret.hex() not in shown

    def test_a_used_chain_key_is_gone(self, alice: Party, bob: Party) -> None:
        first = bob.state.receiving_chain_key
        bob.receive(alice.send())
        assert bob.state.receiving_chain_key != first
        assert first not in msgspec.structs.astuple(bob.state)

    def test_a_theft_of_the_state_heals_with_a_round_trip(
        self, session: tuple[Party, Party]
    ) -> None:
        alice, bob = session
        bob.receive(alice.send())
        thief = Party(bob.state)
        alice.receive(bob.send())
        sent = alice.send(b"still readable")
        assert thief.receive(sent).plaintext == bob.receive(sent).plaintext
        alice.receive(bob.send())
        sent = alice.send(b"healed")
        thief.refuse(sent)
        assert bob.receive(sent).plaintext == b"healed"


class TestStorage:
    def test_a_state_comes_back(self, session: tuple[Party, Party], alice: Party) -> None:
        fresh = ratchet.start_responder(SECRET, generate_key_pair().public)
        for state in (alice.state, session[1].state, fresh, ratchet.start_initiator(SECRET)):
            stored = msgspec.msgpack.encode(state)
            assert msgspec.msgpack.decode(stored, type=RatchetState) == state

    @pytest.mark.parametrize("name", ["root_key", "sending_chain_key", "remote_key"])
    def test_one_with_a_key_of_another_length_does_not(self, alice: Party, name: str) -> None:
        stored = msgspec.msgpack.encode(replace(alice.state, **{name: os.urandom(31)}))
        with pytest.raises(msgspec.ValidationError):
            msgspec.msgpack.decode(stored, type=RatchetState)
