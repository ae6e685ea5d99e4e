"""Prekeys over time: ids that never repeat, and what is due when."""

from __future__ import annotations

from base64 import b64decode

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from chatbot.client.crypto.identity import Identity, verify_signature
from chatbot.client.crypto.key_manager import (
    DAY,
    MAX_ONE_TIME_PREKEYS,
    MAX_UPLOAD,
    KeyRing,
    OneTimePrekey,
    PrekeyPolicy,
    SignedPrekey,
)
from chatbot.client.crypto.keys import KeyPair

NOW = 1_700_000_000_000


@pytest.fixture
def ring() -> KeyRing:
    return KeyRing(Identity.generate())


class TestNumbering:
    def test_is_one_counter_from_1_for_both_kinds(self, ring: KeyRing) -> None:
        first = ring.new_signed_prekey(NOW)
        one_time = ring.new_one_time_prekeys(3, NOW)
        second = ring.new_signed_prekey(NOW)
        assert (first.key_id, second.key_id) == (1, 5)
        assert [prekey.key_id for prekey in one_time] == [2, 3, 4]
        assert ring.next_key_id == 6

    @pytest.mark.parametrize("known", [1, 7, 5_000_000])
    def test_goes_on_far_behind_what_only_the_backend_knows(
        self, ring: KeyRing, known: int
    ) -> None:
        ring.start_after(known)
        assert ring.new_signed_prekey(NOW).key_id == known + 1_000_000

    def test_leaves_room_for_what_a_newer_copy_of_it_gave_out(self, ring: KeyRing) -> None:
        ring.new_one_time_prekeys(3, NOW)
        ring.start_after(None)
        assert ring.next_key_id == 4
        ring.start_after(3)
        assert ring.next_key_id == 1_000_003
        ring.start_after(2)
        assert ring.next_key_id == 1_000_003


class RingMachine(RuleBasedStateMachine):
    """Whatever happens to a ring, no id is given out twice."""

    def __init__(self) -> None:
        super().__init__()
        self.ring = KeyRing(Identity.from_seed(bytes(32)))
        self.given_out: set[int] = set()
        self.now = NOW

    def note(self, *prekeys: SignedPrekey | OneTimePrekey) -> None:
        for prekey in prekeys:
            assert prekey.key_id not in self.given_out
            assert prekey.key_id >= 1
            self.given_out.add(prekey.key_id)

    @rule()
    def rotate(self) -> None:
        self.note(self.ring.new_signed_prekey(self.now))

    @rule(count=st.integers(0, 5))
    def make(self, count: int) -> None:
        self.note(*self.ring.new_one_time_prekeys(count, self.now))

    @rule()
    def upload(self) -> None:
        self.ring.mark_uploaded(self.ring.not_uploaded(), self.now)
        assert not self.ring.not_uploaded()

    @rule(known=st.none() | st.integers(0, 20))
    def start_after(self, known: int | None) -> None:
        self.ring.start_after(known)

    @rule(days=st.integers(0, 40))
    def wait(self, days: int) -> None:
        self.now += days * DAY
        current = self.ring.current_signed_prekey
        held = {*self.ring.signed_prekeys, *self.ring.one_time_prekeys}
        signed, one_time = self.ring.expire(self.now)
        left = {*self.ring.signed_prekeys, *self.ring.one_time_prekeys}
        assert held - left == {*signed, *one_time}
        assert self.ring.current_signed_prekey == current

    @invariant()
    def every_prekey_lies_under_its_id(self) -> None:
        for key_id, signed in self.ring.signed_prekeys.items():
            assert signed.key_id == key_id < self.ring.next_key_id
        for key_id, one_time in self.ring.one_time_prekeys.items():
            assert one_time.key_id == key_id < self.ring.next_key_id


TestRingMachine = RingMachine.TestCase
TestRingMachine.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)


class TestRotation:
    def test_is_due_without_any_and_after_seven_days(self, ring: KeyRing) -> None:
        assert ring.current_signed_prekey is None
        assert ring.rotation_due(NOW)
        ring.new_signed_prekey(NOW)
        assert not ring.rotation_due(NOW + 7 * DAY - 1)
        assert ring.rotation_due(NOW + 7 * DAY)

    def test_makes_the_new_one_current_and_keeps_the_old_one(self, ring: KeyRing) -> None:
        old, new = ring.new_signed_prekey(NOW), ring.new_signed_prekey(NOW + 7 * DAY)
        assert ring.current_signed_prekey == new
        assert ring.signed_prekeys == {old.key_id: old, new.key_id: new}

    def test_signs_with_the_identity(self, ring: KeyRing) -> None:
        prekey = ring.new_signed_prekey(NOW)
        public = prekey.key_pair.public
        assert verify_signature(ring.identity.signing_key, public, prekey.signature)

    def test_a_clock_set_back_makes_nothing_due(self, ring: KeyRing) -> None:
        ring.new_signed_prekey(NOW)
        assert not ring.rotation_due(NOW - 30 * DAY)
        assert ring.expire(NOW - 90 * DAY) == ([], [])


class TestRetention:
    def test_signed_prekeys_live_60_days(self, ring: KeyRing) -> None:
        old = ring.new_signed_prekey(NOW)
        ring.new_signed_prekey(NOW + 7 * DAY)
        assert ring.expire(NOW + 60 * DAY - 1) == ([], [])
        assert ring.expire(NOW + 60 * DAY) == ([old.key_id], [])
        assert old.key_id not in ring.signed_prekeys

    def test_the_current_one_outlives_them(self, ring: KeyRing) -> None:
        current = ring.new_signed_prekey(NOW)
        assert ring.expire(NOW + 365 * DAY) == ([], [])
        assert ring.current_signed_prekey == current

    def test_one_time_prekeys_live_30_days_from_their_upload(self, ring: KeyRing) -> None:
        uploaded, waiting = ring.new_one_time_prekeys(2, NOW)
        ring.mark_uploaded([uploaded], NOW + DAY)
        assert ring.expire(NOW + 31 * DAY - 1) == ([], [])
        assert ring.expire(NOW + 31 * DAY) == ([], [uploaded.key_id])
        assert ring.one_time_prekeys == {waiting.key_id: waiting}

    def test_a_used_one_is_gone_at_once(self, ring: KeyRing) -> None:
        (prekey,) = ring.new_one_time_prekeys(1, NOW)
        ring.use_one_time_prekey(prekey.key_id)
        ring.use_one_time_prekey(prekey.key_id)
        assert not ring.one_time_prekeys

    def test_durations_are_parameters(self) -> None:
        policy = PrekeyPolicy(rotation=10, signed_retention=20, one_time_retention=5)
        ring = KeyRing(Identity.generate(), policy=policy)
        first = ring.new_signed_prekey(0)
        one_time = ring.new_one_time_prekeys(1, 0)
        ring.mark_uploaded(one_time, 1)
        assert ring.rotation_due(10)
        ring.new_signed_prekey(10)
        assert ring.expire(6) == ([], [one_time[0].key_id])
        assert ring.expire(20) == ([first.key_id], [])


class TestRefill:
    @pytest.mark.parametrize(
        ("on_backend", "due"), [(0, 50), (19, 50), (20, 0), (100, 0), (5_000, 0)]
    )
    def test_brings_at_most_50_and_only_below_20(
        self, ring: KeyRing, on_backend: int, due: int
    ) -> None:
        assert ring.refill(on_backend) == due

    @pytest.mark.parametrize("on_backend", [0, 10, 100])
    def test_the_first_time_brings_the_whole_target(self, ring: KeyRing, on_backend: int) -> None:
        assert ring.refill(on_backend, first=True) == 100

    def test_private_halves_do_not_pile_up_without_end(self, ring: KeyRing) -> None:
        for _ in range(300):
            ring.new_one_time_prekeys(ring.refill(on_backend=0), NOW)
        assert len(ring.one_time_prekeys) == MAX_ONE_TIME_PREKEYS

    def test_another_identity_has_none_of_the_old_ones_prekeys(self, ring: KeyRing) -> None:
        ring.new_signed_prekey(NOW)
        made = ring.new_one_time_prekeys(3, NOW)
        other = Identity.generate()
        ring.become(other)
        assert ring.identity == other
        assert ring.current_signed_prekey is None
        assert ring.one_time_prekeys == {}
        assert ring.next_key_id > made[-1].key_id

    @given(st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000), st.integers(0, 1000))
    def test_never_more_than_a_body_takes(
        self, target: int, minimum: int, upload_limit: int, on_backend: int
    ) -> None:
        policy = PrekeyPolicy(target=target, minimum=minimum, upload_limit=upload_limit)
        ring = KeyRing(Identity.from_seed(bytes(32)), policy=policy)
        due = ring.refill(on_backend)
        assert 0 <= due <= min(upload_limit, MAX_UPLOAD)
        assert due == 0 or on_backend + due <= target
        assert 0 <= ring.refill(on_backend, first=True) <= MAX_UPLOAD


class TestUpload:
    def test_only_what_was_never_uploaded_waits_for_it(self, ring: KeyRing) -> None:
        made = ring.new_one_time_prekeys(3, NOW)
        assert ring.not_uploaded() == made
        (marked,) = ring.mark_uploaded(made[:1], NOW + 5)
        assert marked.uploaded_at == NOW + 5
        assert ring.one_time_prekeys[marked.key_id] == marked
        assert ring.not_uploaded() == made[1:]

    def test_the_body(self, ring: KeyRing) -> None:
        signed = ring.new_signed_prekey(NOW)
        (one_time,) = ring.new_one_time_prekeys(1, NOW)
        body = ring.upload_body(signed, [one_time])
        assert b64decode(body.identity_key) == ring.identity.public_key
        assert b64decode(body.signing_key) == ring.identity.signing_key
        assert body.fingerprint == ring.identity.fingerprint
        assert body.signed_prekey is not None
        assert body.signed_prekey.key_id == signed.key_id
        assert b64decode(body.signed_prekey.public_key) == signed.key_pair.public
        assert b64decode(body.signed_prekey.signature) == signed.signature
        assert body.one_time_prekeys[0].key_id == one_time.key_id
        assert b64decode(body.one_time_prekeys[0].public_key) == one_time.key_pair.public

    def test_the_body_without_a_new_signed_prekey(self, ring: KeyRing) -> None:
        body = ring.upload_body(None, [])
        assert body.signed_prekey is None
        assert body.one_time_prekeys == []

    def test_prekeys_are_made_of_the_randomness_given(self, ring: KeyRing) -> None:
        secrets = iter([b"\x01" * 32, b"\x02" * 32])
        signed = ring.new_signed_prekey(NOW, random=lambda _: next(secrets))
        (one_time,) = ring.new_one_time_prekeys(1, NOW, random=lambda _: next(secrets))
        assert signed.key_pair == KeyPair.from_secret(b"\x01" * 32)
        assert one_time.key_pair == KeyPair.from_secret(b"\x02" * 32)
