"""The rules for one peer's sessions, row by row (PROTOCOL.md 4.1, and 4.2.1 and 2)."""

from __future__ import annotations

from dataclasses import dataclass, field

import msgspec
import pytest

from chatbot.client.crypto import ratchet
from chatbot.client.crypto.changes import PeerChanges
from chatbot.client.crypto.confirmation import CONTEST_WINDOW
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.message import EncryptedMessage, RatchetHeader, X3DHHeader
from chatbot.client.crypto.session import MAX_SKIPPED_KEYS, Session
from chatbot.client.crypto.session_manager import (
    CAPABILITIES,
    DAY,
    EPHEMERAL_RETENTION,
    MAX_SESSIONS,
    SESSION_TIMEOUT,
    BudgetExhaustedError,
    GapError,
    IdentityUnknownError,
    PeerRecord,
    Received,
    Terms,
)
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import DecryptionError, SessionNotFoundError
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
        self, other: Side, text: str = "hello", *, one_time: bool = False
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


@pytest.fixture
def alice() -> Side:
    return Side("alice")


@pytest.fixture
def bob(alice: Side) -> Side:
    bob = Side("bob")
    bob.record.accept_identity(alice.ring.identity.public_key)
    return bob


def in_touch(alice: Side, bob: Side) -> None:
    """Alice has opened a session, Bob has answered in it: both may send bare."""
    bob.receives(alice.opens(bob))
    alice.settled()
    alice.receives(bob.says())


def forged(message: EncryptedMessage) -> EncryptedMessage:
    damaged = bytes([message.ciphertext[-1] ^ 1])
    return msgspec.structs.replace(message, ciphertext=message.ciphertext[:-1] + damaged)


class TestStateChangesOnlyAfterTheTagVerifies:  # 4.1.1
    @pytest.mark.parametrize("opening", [True, False])
    def test_a_forged_message_changes_nothing(self, alice: Side, bob: Side, opening: bool) -> None:
        in_touch(alice, bob)
        message = alice.opens(bob) if opening else alice.says()
        bob.record.take_changes()
        before, confirmed = bob.stored(), bob.record.confirmed
        with pytest.raises(DecryptionError):
            bob.receives(forged(message))
        assert (bob.stored(), bob.record.confirmed) == (before, confirmed)
        assert bob.record.take_changes() == PeerChanges()
        assert bob.receives(message).plaintext in (b"hello", b"bare")

    def test_no_second_step_to_a_ratchet_key_that_was_left(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        old = alice.says("of the old chain")
        bob.receives(old)
        alice.receives(bob.says())
        bob.receives(alice.says("of the new chain"))
        session = bob.record.sessions[bob.record.confirmed or ""]
        assert session.knows(old.header.ratchet_key)
        before = bob.stored()
        with pytest.raises(DecryptionError, match="used"):
            bob.receives(old)
        assert bob.stored() == before

    def test_what_is_noted_is_what_has_to_be_stored(self, alice: Side, bob: Side) -> None:
        received = bob.receives(alice.opens(bob))
        changes = bob.record.take_changes()
        assert list(changes.sessions) == [received.session_id]
        assert changes.head is not None
        assert list(changes.ephemerals.values()) == [
            (received.session_id, bob.now + EPHEMERAL_RETENTION)
        ]
        assert bob.record.take_changes() == PeerChanges()


class TestSkippedKeys:  # 4.1.2
    def test_late_messages_of_an_old_chain_decrypt(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        late = [alice.says(f"late {n}") for n in range(3)]
        bob.receives(alice.says("in time"))
        changes = bob.record.take_changes()
        assert len(changes.skipped_added) == 3
        alice.receives(bob.says())
        assert bob.receives(alice.says("next chain")).plaintext == b"next chain"
        for n, message in enumerate(late):
            assert bob.receives(message).plaintext == f"late {n}".encode()
        assert len(bob.record.take_changes().skipped_gone) == 3

    def test_previous_chain_length_keeps_the_end_of_the_old_chain(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        bob.receives(alice.says())
        late = alice.says("the old chain's last")
        alice.receives(bob.says())
        new = alice.says("the new chain's first")
        bob.receives(new)
        assert bob.receives(late).plaintext == b"the old chain's last"

    def test_where_gaps_are_not_accepted_nothing_has_changed(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        late, early = alice.says("late"), alice.says("early")
        bob.record.take_changes()
        before = bob.stored()
        with pytest.raises(GapError):
            bob.record.receive(early, bob.ring, bob.now, Terms(gaps=False))
        assert bob.stored() == before
        assert bob.record.take_changes() == PeerChanges()
        for message, plaintext in ((late, b"late"), (early, b"early")):
            received = bob.record.receive(message, bob.ring, bob.now, Terms(gaps=False))
            assert received.plaintext == plaintext

    def test_one_that_opens_a_session_does_not_show_that_there_is_no_gap(
        self, alice: Side, bob: Side
    ) -> None:
        message = alice.opens(bob)
        bob.record.accept_identity(alice.ring.identity.public_key)
        with pytest.raises(GapError):
            bob.record.receive(message, bob.ring, bob.now, Terms(openings=False))
        assert not bob.record.sessions
        assert bob.record.receive(message, bob.ring, bob.now, Terms(gaps=False)).opened

    def test_2000_are_kept_the_oldest_go(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        session = bob.record.sessions[bob.record.confirmed or ""]
        first = alice.says("the first")
        for _ in range(3):
            for _ in range(900):
                alice.says()
            bob.receives(alice.says())
        assert len(session.skipped) == MAX_SKIPPED_KEYS
        with pytest.raises(DecryptionError, match="used"):
            bob.receives(first)

    def test_a_key_skipped_and_used_between_two_stores_is_never_stored(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        bob.record.take_changes()
        late = alice.says()
        bob.receives(alice.says())
        bob.receives(late)
        changes = bob.record.take_changes()
        assert not changes.skipped_added
        assert not changes.skipped_gone


class TestCandidates:  # 4.1.3
    def test_every_session_goes_on_decrypting(self, alice: Side, bob: Side) -> None:
        openings = [alice.opens(bob, f"opening {n}") for n in range(5)]
        for n, message in reversed(list(enumerate(openings))):
            assert bob.receives(message).plaintext == f"opening {n}".encode()
        assert len(bob.record.sessions) == 5

    @pytest.mark.parametrize("passes", [SECOND, -SECOND], ids=["ahead", "set back"])
    def test_32_are_kept_the_longest_unused_goes(self, alice: Side, bob: Side, passes: int) -> None:
        first = bob.receives(alice.opens(bob)).session_id
        for _ in range(MAX_SESSIONS - 1):
            bob.now += passes
            bob.receives(alice.opens(bob))
        assert first in bob.record.sessions
        bob.record.take_changes()
        bob.now += passes
        newest = bob.receives(alice.opens(bob)).session_id
        assert len(bob.record.sessions) == MAX_SESSIONS
        changes = bob.record.take_changes()
        assert changes.dropped == {first}
        assert newest in changes.sessions

    def test_an_unknown_ratchet_key_is_tried_against_the_others(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        for _ in range(3):
            bob.receives(Side("alice's other device", ring=alice.ring).opens(bob))
            bob.says()
        assert bob.receives(alice.says("stepped")).plaintext == b"stepped"

    def test_without_any_session_nothing_is_tried(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        stranger = Side("bob", record=PeerRecord("alice"))
        with pytest.raises(DecryptionError) as caught:
            stranger.receives(alice.says())
        assert caught.value.reason == "no-session"

    def test_trials_end_with_the_budget_and_go_on_in_the_next_minute(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        genuine = alice.says("genuine")
        for _ in range(64):
            with pytest.raises(DecryptionError):
                bob.receives(unknown_key(genuine))
        before = bob.stored()
        with pytest.raises(BudgetExhaustedError):
            bob.receives(genuine)
        with pytest.raises(BudgetExhaustedError):
            bob.receives(alice.opens(bob))
        assert bob.stored() == before
        bob.now += 60 * SECOND
        assert bob.receives(genuine).plaintext == b"genuine"

    def test_what_failed_before_leaves_half_of_the_budget_to_others(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        genuine = alice.says("genuine")
        failed = unknown_key(genuine)
        for _ in range(32):
            with pytest.raises(DecryptionError) as caught:
                bob.record.receive(failed, bob.ring, bob.now, Terms(again=True))
            assert not isinstance(caught.value, BudgetExhaustedError)
        for another in (failed, alice.opens(bob)):
            with pytest.raises(BudgetExhaustedError):
                bob.record.receive(another, bob.ring, bob.now, Terms(again=True))
        assert bob.receives(genuine).plaintext == b"genuine"

    def test_forged_chain_lengths_are_charged(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        genuine = alice.says("genuine")
        header = RatchetHeader(genuine.header.ratchet_key, 0, 999)
        far = msgspec.structs.replace(forged(genuine), header=header)
        for _ in range(4):
            with pytest.raises(DecryptionError):
                bob.receives(far)
        with pytest.raises(BudgetExhaustedError):
            bob.receives(genuine)

    def test_a_rejected_identity_is_charged(self, alice: Side, bob: Side) -> None:
        for _ in range(16):
            bob.record.charge_rejected_identity(bob.now)
        with pytest.raises(BudgetExhaustedError):
            bob.receives(alice.opens(bob))

    def test_a_known_ratchet_key_needs_no_budget(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        bob.receives(alice.says())
        for _ in range(16):
            bob.record.charge_rejected_identity(bob.now)
        assert bob.receives(alice.says("known")).plaintext == b"known"


def unknown_key(message: EncryptedMessage) -> EncryptedMessage:
    header = RatchetHeader(generate_key_pair().public, 0, 0)
    return msgspec.structs.replace(message, header=header)


class TestAnX3DHAtAnyTime:  # 4.1.4
    def test_on_later_messages_too(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        message = alice.opens(bob, "again")
        received = bob.receives(message)
        assert received.opened
        assert received.plaintext == b"again"

    def test_an_ephemeral_key_seen_belongs_to_its_session(self, alice: Side, bob: Side) -> None:
        opening = alice.opens(bob)
        first = bob.receives(opening)
        again = alice.record.sessions[next(iter(alice.record.sessions))]
        header, ciphertext = again.encrypt(b"the same x3dh again", alice.now)
        second = bob.receives(EncryptedMessage(header, ciphertext, opening.x3dh))
        assert (second.session_id, second.opened) == (first.session_id, False)

    def test_seen_and_its_session_gone_is_a_replay(self, alice: Side, bob: Side) -> None:
        opening = alice.opens(bob)
        bob.receives(opening)
        for _ in range(MAX_SESSIONS):
            bob.now += SECOND
            bob.receives(alice.opens(bob))
        with pytest.raises(DecryptionError) as caught:
            bob.receives(opening)
        assert caught.value.reason == "replay"

    def test_ephemeral_keys_are_forgotten_with_the_prekey_they_used(
        self, alice: Side, bob: Side
    ) -> None:
        opening = alice.opens(bob)
        bob.receives(opening)
        bob.record.expire_ephemerals(bob.now + EPHEMERAL_RETENTION - 1)
        with pytest.raises(DecryptionError, match="used"):
            bob.receives(opening)
        bob.record.expire_ephemerals(bob.now + EPHEMERAL_RETENTION)
        assert bob.receives(opening).opened

    def test_dh4_is_honoured_and_its_prekey_named_for_deletion(
        self, alice: Side, bob: Side
    ) -> None:
        [one_time] = bob.ring.new_one_time_prekeys(1, bob.now)
        received = bob.receives(alice.opens(bob, one_time=True))
        assert received.used_one_time_prekey == one_time.key_id

    def test_a_one_time_prekey_that_is_not_ours(self, alice: Side, bob: Side) -> None:
        [one_time] = bob.ring.new_one_time_prekeys(1, bob.now)
        opening = alice.opens(bob, one_time=True)
        bob.ring.use_one_time_prekey(one_time.key_id)
        with pytest.raises(DecryptionError) as caught:
            bob.receives(opening)
        assert caught.value.reason == "unknown-prekey"
        assert not bob.record.sessions


class TestDecryptingNeverSelects:  # 4.1.5
    def test_late_messages_in_other_sessions(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        older, late = bob.record.confirmed, alice.says("late")
        newest = bob.receives(alice.opens(bob)).session_id
        assert older != newest
        assert bob.receives(late).session_id == older
        assert bob.record.confirmed == newest


class TestIdentity:  # 4.1.6
    def test_an_identity_not_pinned_is_handed_up_and_nothing_changed(self, alice: Side) -> None:
        bob = Side("bob")
        opening = alice.opens(bob)
        with pytest.raises(IdentityUnknownError) as caught:
            bob.receives(opening)
        assert caught.value.identity_key == alice.ring.identity.public_key
        assert bob.record.take_changes() == PeerChanges()
        bob.record.accept_identity(caught.value.identity_key)
        assert bob.receives(opening).identity_key == alice.ring.identity.public_key
        assert bob.record.take_changes().identity

    def test_a_bundle_of_another_identity_opens_nothing(self, alice: Side, bob: Side) -> None:
        alice.record.accept_identity(Identity.generate().public_key)
        with pytest.raises(IdentityUnknownError):
            alice.record.open_session(
                "an id", b"hello", alice.ring.identity, bob.bundle(), alice.now
            )
        assert not alice.record.sessions

    def test_a_change_ends_sending_but_late_messages_decrypt(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        late = alice.says("late")
        bob.record.accept_identity(Identity.generate().public_key)
        assert bob.record.sending_session(bob.now) is None
        received = bob.receives(late)
        assert received.identity_key == alice.ring.identity.public_key
        assert received.identity_key != bob.record.identity_key
        assert bob.record.sending_session(bob.now) is None

    def test_capabilities_are_those_of_the_pinned_identity(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        assert bob.record.capabilities == frozenset(CAPABILITIES)
        bob.record.accept_identity(alice.ring.identity.public_key)
        assert bob.record.capabilities == frozenset(CAPABILITIES)
        bob.record.accept_identity(Identity.generate().public_key)
        assert not bob.record.capabilities

    def test_what_a_peer_makes_up_is_not_kept(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        bob.receives(msgspec.structs.replace(alice.says("x"), caps=("image-1", "flight-9")))
        assert bob.record.capabilities == frozenset({"image-1"})


class TestSendingBare:  # 4.2.1
    def test_not_before_a_session_is_confirmed(self, alice: Side, bob: Side) -> None:
        with pytest.raises(SessionNotFoundError):
            alice.says()
        alice.opens(bob)
        with pytest.raises(SessionNotFoundError):
            alice.says()

    def test_each_opening_is_a_session_of_its_own(self, alice: Side, bob: Side) -> None:
        one, two = alice.opens(bob), alice.opens(bob)
        assert one.x3dh is not None
        assert two.x3dh is not None
        assert one.x3dh.sender_ephemeral_key != two.x3dh.sender_ephemeral_key
        assert one.header.ratchet_key != two.header.ratchet_key

    def test_bare_once_confirmed(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        assert alice.says().x3dh is None
        assert bob.says().x3dh is None

    def test_not_in_a_session_unused_for_30_days(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        late = bob.says("late")
        alice.now += SESSION_TIMEOUT - 1
        assert alice.record.sending_session(alice.now) is not None
        alice.now += 1
        assert alice.record.sending_session(alice.now) is None
        assert alice.receives(late).plaintext == b"late"
        assert alice.record.sending_session(alice.now) is None

    def test_nor_in_one_that_was_answered_after_30_days(self, alice: Side, bob: Side) -> None:
        bob.receives(alice.opens(bob))
        alice.now += SESSION_TIMEOUT
        for _ in range(2):
            alice.receives(bob.says("late"))
            assert alice.record.sending_session(alice.now) is None


class TestWhatIsConfirmed:  # 4.2.2
    def test_the_newest_that_we_opened_when_a_message_decrypts_in_it(
        self, alice: Side, bob: Side
    ) -> None:
        bob.receives(alice.opens(bob))
        to_the_older = bob.says()
        bob.receives(alice.opens(bob))
        to_the_newest = bob.says()
        alice.receives(to_the_older)
        assert alice.record.confirmed is None
        received = alice.receives(to_the_newest)
        assert alice.record.confirmed == received.session_id

    def test_one_the_peer_opens(self, alice: Side, bob: Side) -> None:
        assert bob.receives(alice.opens(bob)).session_id == bob.record.confirmed

    def test_none_while_an_x3dh_of_ours_is_not_echoed(self, alice: Side, bob: Side) -> None:
        bob.opens(alice)
        contested = bob.receives(alice.opens(bob))
        assert (bob.record.confirmed, bob.record.awaits_x3dh_echo) == (None, True)
        bob.settled(delivered=False)
        received = bob.receives(alice.opens(bob))
        assert (bob.record.confirmed, bob.record.awaits_x3dh_echo) == (received.session_id, False)
        assert contested.session_id in bob.record.sessions

    @pytest.mark.parametrize(
        ("later", "confirmed"), [(0, False), (CONTEST_WINDOW - 1, False), (CONTEST_WINDOW, True)]
    )
    def test_none_within_5_seconds_of_its_delivered_echo(
        self, alice: Side, bob: Side, later: int, confirmed: bool
    ) -> None:
        bob.opens(alice)
        bob.settled()
        bob.now += later
        bob.receives(alice.opens(bob))
        assert (bob.record.confirmed is not None) is confirmed

    def test_an_echo_counts_once_and_only_for_an_x3dh(self, alice: Side, bob: Side) -> None:
        bob.record.x3dh_settled("of a bare message", bob.now, delivered=True)
        assert bob.receives(alice.opens(bob)).session_id == bob.record.confirmed

    def test_sending_an_x3dh_clears_it(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        alice.opens(bob)
        assert alice.record.confirmed is None

    def test_an_undecryptable_message_clears_it(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        alice.record.unconfirm()
        assert alice.record.sending_session(alice.now) is None


def test_both_starting_at_once_end_understanding_each_other(alice: Side, bob: Side) -> None:
    from_alice, from_bob = alice.opens(bob), bob.opens(alice)
    alice.receives(from_bob)
    bob.receives(from_alice)
    for side in (alice, bob):
        side.settled()
        side.now += CONTEST_WINDOW
    bob.receives(alice.opens(bob))
    alice.settled()
    alice.receives(bob.says())
    assert bob.receives(alice.says("bare")).plaintext == b"bare"


class TestARestart:
    def test_sessions_skipped_keys_and_the_choice_come_back(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        late = alice.says("late")
        bob.receives(alice.says())
        record = bob.record
        changes = record.take_changes()
        assert changes.head is not None
        sessions = {
            session.id: Session.from_bytes(session.id, session.to_bytes(), dict(session.skipped))
            for session in record.sessions.values()
        }
        bob.record = PeerRecord(
            "alice",
            identity_key=record.identity_key,
            sessions=sessions,
            ephemerals=changes.ephemerals,
            capabilities=record.capabilities,
            head=changes.head,
        )
        assert bob.receives(late).plaintext == b"late"
        assert alice.receives(bob.says("still bare")).plaintext == b"still bare"

    def test_a_session_led_elsewhere_goes_on_here(self, alice: Side, bob: Side) -> None:
        in_touch(alice, bob)
        bob.receives(alice.says())
        session = bob.record.sessions[bob.record.confirmed or ""]
        bob.record = PeerRecord("alice", identity_key=bob.record.identity_key)
        bob.record.adopt(session, bob.now)
        assert alice.receives(bob.says("from here")).plaintext == b"from here"

    def test_one_never_answered_is_sent_in_once_it_is(self, alice: Side, bob: Side) -> None:
        opening = alice.opens(bob)
        [session] = alice.record.sessions.values()
        alice.record = PeerRecord("bob", identity_key=alice.record.identity_key)
        alice.record.adopt(session, alice.now)
        with pytest.raises(SessionNotFoundError):
            alice.says()
        bob.receives(opening)
        alice.receives(bob.says())
        assert bob.receives(alice.says("answered")).plaintext == b"answered"


def test_a_session_is_opened_by_an_x3dh_only(alice: Side, bob: Side) -> None:
    in_touch(alice, bob)
    with pytest.raises(ValueError, match="x3dh"):
        Session.respond("an id", bytes(32), alice.says(), now=0)


def test_a_responder_that_has_not_sent_has_no_ratchet_key(alice: Side, bob: Side) -> None:
    bob.receives(alice.opens(bob))
    [session] = bob.record.sessions.values()
    assert session.sending_ratchet_key is None
    bob.says()
    assert session.sending_ratchet_key is not None


def test_reprs_hold_no_secrets(alice: Side, bob: Side) -> None:
    in_touch(alice, bob)
    [session] = alice.record.sessions.values()
    assert repr(session) == f"<Session {session.id} initiator skipped=0>"
    assert "responder" in repr(next(iter(bob.record.sessions.values())))
    assert repr(alice.record) == "<PeerRecord the other sessions=1>"


def test_changes_of_a_session_dropped_before_they_are_stored() -> None:
    header = X3DHHeader(bytes(32), bytes(range(32)), 1)
    session = Session.initiate("an id", bytes(32), header, remote_identity_key=bytes(32), now=0)
    assert session.ratchet == ratchet.start_initiator(bytes(32), session.ratchet.key_pair)
    changes = PeerChanges()
    changes.save(session)
    changes.drop(session.id)
    assert (changes.sessions, changes.dropped) == ({}, {session.id})
    changes.save(session)
    assert (changes.sessions, changes.dropped) == ({session.id: session}, set())
