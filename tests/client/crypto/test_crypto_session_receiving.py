"""What decrypting asks of sessions and does to them, row by row (PROTOCOL.md 4.1.1 to 5)."""

from __future__ import annotations

import msgspec
import pytest
from doubles.record_sides import SECOND, Side, forged, in_touch, unknown_key

from chatbot.client.crypto.changes import PeerChanges
from chatbot.client.crypto.message import EncryptedMessage, RatchetHeader
from chatbot.client.crypto.session import MAX_SKIPPED_KEYS
from chatbot.client.crypto.session_manager import EPHEMERAL_RETENTION, MAX_SESSIONS, PeerRecord
from chatbot.client.crypto.terms import BudgetExhaustedError, GapError, Terms
from chatbot.client.exceptions import DecryptionError


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
            bob.record.receive(message, bob.ring, bob.now, Terms(gaps=False))
        assert not bob.record.sessions
        assert bob.record.receive(message, bob.ring, bob.now).opened

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

    def test_the_session_that_the_history_ends_in_is_kept(self, alice: Side, bob: Side) -> None:
        bob.receives(alice.opens(bob, "the last to be stored"))
        for _ in range(MAX_SESSIONS):
            alice.opens(bob, again=True)
        assert alice.receives(bob.says("read, and answered")).plaintext == b"read, and answered"

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

    def test_what_is_genuine_costs_nothing_wherever_its_session_stands(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        devices = [Side(f"device {n}", ring=alice.ring) for n in range(MAX_SESSIONS - 2)]
        for device in devices:
            in_touch(device, bob)
        for _ in range(5):
            for device in devices:
                bob.receives(device.says())
            received = bob.receives(alice.says())  # a DH step, in the session used least lately
            header, ciphertext = bob.record.sessions[received.session_id].encrypt(b"re", bob.now)
            alice.receives(EncryptedMessage(header, ciphertext))

    def test_a_chain_of_no_session_costs_as_much_as_one_message_of_it(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        for n in range(20):
            bob.receives(Side(f"device {n}", ring=alice.ring).opens(bob))
            bob.says()
        genuine = alice.says("genuine")
        lost = unknown_key(genuine)
        for number in range(16):
            header = RatchetHeader(lost.header.ratchet_key, 0, number)
            with pytest.raises(DecryptionError) as caught:
                bob.receives(msgspec.structs.replace(lost, header=header))
            assert caught.value.reason == "no-session"
        assert bob.receives(genuine).plaintext == b"genuine"

    def test_what_failed_before_leaves_half_of_the_budget_to_others(
        self, alice: Side, bob: Side
    ) -> None:
        in_touch(alice, bob)
        genuine = alice.says("genuine")
        for _ in range(32):
            with pytest.raises(DecryptionError) as caught:
                bob.record.receive(unknown_key(genuine), bob.ring, bob.now, Terms(again=True))
            assert not isinstance(caught.value, BudgetExhaustedError)
        for another in (unknown_key(genuine), alice.opens(bob)):
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
