"""Whom a record trusts, how it sends, and what a restart keeps (PROTOCOL.md 4.1.6, 4.2.1 and 2)."""

from __future__ import annotations

import msgspec
import pytest
from doubles.record_sides import Side, in_touch

from chatbot.client.crypto import ratchet
from chatbot.client.crypto.changes import PeerChanges
from chatbot.client.crypto.confirmation import CONTEST_WINDOW
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.message import X3DHHeader
from chatbot.client.crypto.session import Session
from chatbot.client.crypto.session_manager import CAPABILITIES, SESSION_TIMEOUT, PeerRecord
from chatbot.client.crypto.terms import IdentityUnknownError
from chatbot.client.exceptions import SessionNotFoundError


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

    @pytest.mark.parametrize("echoed_first", [True, False])
    def test_one_the_peer_opens_after_it_has_said_that_it_has_ours(
        self, alice: Side, bob: Side, echoed_first: bool
    ) -> None:
        bob.opens(alice)
        if echoed_first:
            bob.settled()
        bob.record.x3dh_received("bob-1")
        if not echoed_first:
            bob.receives(alice.opens(bob))
            assert bob.record.confirmed is None
            bob.settled()
        assert bob.receives(alice.opens(bob)).session_id == bob.record.confirmed

    @pytest.mark.parametrize("message_id", ["", "another", "bob-1"])
    def test_what_it_says_of_older_ones_does_not_count(
        self, alice: Side, bob: Side, message_id: str
    ) -> None:
        for _ in range(2):
            bob.opens(alice)
            bob.settled()
        bob.record.x3dh_received(message_id)
        bob.receives(alice.opens(bob))
        assert bob.record.confirmed is None

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
