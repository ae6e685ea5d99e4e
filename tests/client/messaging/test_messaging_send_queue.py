"""What goes out to one peer, when, and in which session: PROTOCOL.md 4.2, rule by rule."""

from __future__ import annotations

from typing import Final

import msgspec
import pytest

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import EncryptedMessage
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.messaging.send_queue import (
    Action,
    FetchBundle,
    LookUp,
    Outgoing,
    SendQueue,
    Transmit,
)
from chatbot.wire import PrekeyBundleBody

START: Final = 1_700_000_000_000
SECOND: Final = 1000
HOUR: Final = 3_600_000


class Party:
    """One of two who write to each other, its clock moved by hand."""

    def __init__(self) -> None:
        self.ring = KeyRing(Identity.generate())
        self.ring.new_signed_prekey(START)
        self.now = START

    def meet(self, other: Party) -> None:
        self.other = other
        self.record = PeerRecord("other", identity_key=other.ring.identity.public_key)
        self.queue = SendQueue(self.record)

    @property
    def bundle(self) -> PrekeyBundle:
        body = self.ring.upload_body(self.ring.current_signed_prekey, [])
        return PrekeyBundle.from_body(msgspec.convert(body, PrekeyBundleBody, from_attributes=True))

    def act(self) -> Action | None:
        """What there is to do, bundles fetched without saying so."""
        action = self.queue.next_action(self.now, self.ring.identity)
        if not isinstance(action, FetchBundle):
            return action
        self.queue.bundle_fetched(self.other.bundle, self.now)
        return self.act()

    def post(self, message_id: str) -> Action | None:
        self.queue.submit(Outgoing(message_id, message_id.encode()))
        return self.act()

    def send(self, message_id: str) -> EncryptedMessage:
        """Post a message that leaves at once."""
        return sent(self.post(message_id), message_id)

    def echo(self, message_id: str, *, delivered: bool = True) -> Action | None:
        self.queue.echoed(message_id, self.now, delivered=delivered)
        return self.act()

    def hear(self, message: EncryptedMessage) -> str:
        received = self.record.receive(message, self.ring, self.now)
        if received.opened:
            self.queue.peer_started_afresh(self.now, received.session_id)
        return received.plaintext.decode()

    def fails_to_read(self) -> None:
        """A message of the other's cannot be decrypted."""
        self.record.unconfirm()
        self.queue.peer_started_afresh(self.now)


def sent(action: Action | None, message_id: str) -> EncryptedMessage:
    assert isinstance(action, Transmit)
    assert action.outgoing.id == message_id
    assert action.message is not None
    return action.message


@pytest.fixture
def alice() -> Party:
    alice, bob = Party(), Party()
    alice.meet(bob)
    bob.meet(alice)
    return alice


@pytest.fixture
def bob(alice: Party) -> Party:
    return alice.other


@pytest.fixture
def answered(alice: Party, bob: Party) -> Party:
    """Alice, whose session with Bob is confirmed by an answer of his."""
    bob.hear(alice.send("opening"))
    alice.echo("opening")
    alice.hear(bob.send("answer"))
    bob.echo("answer")
    return alice


class TestOpening:
    def test_every_message_opens_a_session_until_one_is_confirmed(self, alice: Party) -> None:
        first = alice.send("1")
        alice.echo("1")
        second = alice.send("2")

        assert first.x3dh is not None
        assert second.x3dh is not None
        assert first.x3dh.sender_ephemeral_key != second.x3dh.sender_ephemeral_key
        assert first.header.ratchet_key != second.header.ratchet_key
        assert second.header.message_number == 0

    def test_its_echo_is_awaited_before_the_next(self, alice: Party) -> None:
        alice.send("1")

        assert alice.post("2") is None
        assert sent(alice.echo("1"), "2").x3dh is not None

    def test_a_bundle_serves_for_an_hour(self, alice: Party) -> None:
        alice.send("1")
        alice.echo("1")
        alice.now += HOUR - 1
        alice.send("2")
        alice.now += 1
        alice.queue.echoed("2", alice.now, delivered=True)
        alice.queue.submit(Outgoing("3", b"3"))

        assert isinstance(alice.queue.next_action(alice.now, alice.ring.identity), FetchBundle)

    def test_a_peer_that_comes_online_may_have_other_keys(self, alice: Party, bob: Party) -> None:
        alice.send("1")
        alice.echo("1")
        bob.ring.new_signed_prekey(START)
        alice.queue.drop_bundle()
        x3dh = alice.send("2").x3dh

        assert x3dh is not None
        assert x3dh.used_signed_prekey_id == 2

    def test_so_may_one_that_comes_while_its_bundle_is_fetched(
        self, alice: Party, bob: Party
    ) -> None:
        alice.queue.submit(Outgoing("1", b"1"))
        assert isinstance(alice.queue.next_action(alice.now, alice.ring.identity), FetchBundle)
        stale = bob.bundle
        bob.ring.new_signed_prekey(START)
        alice.queue.drop_bundle()
        alice.queue.bundle_fetched(stale, alice.now)
        x3dh = sent(alice.act(), "1").x3dh

        assert x3dh is not None
        assert x3dh.used_signed_prekey_id == 2


class TestConfirming:
    def test_an_answer_confirms_what_we_opened(self, answered: Party, bob: Party) -> None:
        bare = answered.send("bare")

        assert bare.x3dh is None
        assert bob.hear(bare) == "bare"

    def test_so_does_a_session_that_the_peer_opens(self, alice: Party, bob: Party) -> None:
        bob.hear(alice.send("opening"))

        assert bob.send("answer").x3dh is None

    def test_not_while_an_x3dh_of_ours_is_on_its_way(self, alice: Party, bob: Party) -> None:
        ours, theirs = alice.send("ours"), bob.send("theirs")
        alice.hear(theirs)
        bob.hear(ours)

        assert alice.post("again") is None
        assert sent(alice.echo("ours"), "again").x3dh is not None

    @pytest.mark.parametrize(("later", "bare"), [(4_999, False), (5_000, True)])
    def test_nor_shortly_after_it_arrived(
        self, alice: Party, bob: Party, later: int, bare: bool
    ) -> None:
        alice.send("ours")
        alice.echo("ours")
        alice.now += later
        alice.hear(bob.send("theirs"))

        assert (alice.send("next").x3dh is None) is bare

    def test_one_that_was_not_delivered_contests_nothing(self, alice: Party, bob: Party) -> None:
        alice.send("ours")
        alice.echo("ours", delivered=False)
        alice.hear(bob.send("theirs"))

        assert alice.send("next").x3dh is None

    def test_what_cannot_be_read_ends_it(self, answered: Party) -> None:
        answered.fails_to_read()

        assert answered.send("next").x3dh is not None


class TestPeersThatReturn:
    def test_once_one_has_left_again_only_what_is_new_goes_out(self, alice: Party) -> None:
        for number in "12":
            alice.queue.submit(Outgoing(number, b"", opens_session=True, awaited_peer=True))
        alice.queue.submit(Outgoing("new", b""))
        sent(alice.act(), "1")
        alice.queue.peer_left()

        assert "2" not in alice.queue
        sent(alice.echo("1", delivered=False), "new")

    def test_what_the_history_does_not_hold_does(self, alice: Party) -> None:
        alice.queue.submit(Outgoing("1", b"", opens_session=True, awaited_peer=True))
        sent(alice.act(), "1")
        alice.queue.disconnected()
        alice.act()
        alice.queue.missing(["1"], alice.now)
        alice.queue.peer_left()

        sent(alice.act(), "1")


class TestSendingOnceMore:
    def test_what_went_bare_lately_when_the_peer_opens_a_session(
        self, answered: Party, bob: Party
    ) -> None:
        bare = answered.send("lost")
        answered.echo("lost")
        bob.meet(answered)
        answered.now += 6 * SECOND
        answered.hear(bob.send("hello again"))
        again = sent(answered.act(), "lost")

        assert again.x3dh is not None
        assert again.ciphertext != bare.ciphertext
        assert bob.hear(again) == "lost"

    def test_what_went_bare_lately_when_one_cannot_be_read(self, answered: Party) -> None:
        answered.send("lost")
        answered.fails_to_read()

        assert answered.act() is None
        assert sent(answered.echo("lost"), "lost").x3dh is not None
        assert answered.echo("lost") is None

    @pytest.mark.parametrize(("later", "again"), [(30_000, True), (30_001, False)])
    def test_for_thirty_seconds(self, answered: Party, later: int, again: bool) -> None:
        answered.send("lost")
        answered.echo("lost")
        answered.now += later
        answered.fails_to_read()

        assert (answered.act() is not None) is again

    @pytest.mark.parametrize(("later", "again"), [(30 * SECOND, True), (30 * SECOND + 1, False)])
    def test_for_so_long_though_the_clock_is_set_back(
        self, answered: Party, later: int, again: bool
    ) -> None:
        answered.send("1")
        answered.echo("1")
        answered.now -= HOUR
        answered.act()
        answered.now += later
        answered.fails_to_read()
        assert (answered.queue.waiting() == ("1",)) is again

    def test_not_what_carried_an_x3dh(self, alice: Party) -> None:
        alice.send("1")
        alice.echo("1")
        alice.fails_to_read()

        assert alice.act() is None


class TestChains:
    def test_a_new_chain_waits_for_the_echoes_of_the_old(self, answered: Party, bob: Party) -> None:
        bob.hear(answered.send("1"))
        answered.hear(bob.send("another ratchet key"))

        assert answered.post("2") is None
        assert sent(answered.echo("1"), "2").x3dh is None

    def test_one_chain_waits_for_nothing(self, answered: Party) -> None:
        numbers = [answered.send(str(number)).header.message_number for number in range(3)]

        assert numbers == [0, 1, 2]


class TestMissingEchoes:
    def test_after_five_seconds_the_history_is_asked(self, answered: Party) -> None:
        answered.send("1")
        answered.now += 5 * SECOND - 1
        assert answered.act() is None
        answered.now += 1

        assert answered.act() == LookUp(("1",))
        assert answered.act() is None

    def test_though_the_clock_is_set_back(self, answered: Party) -> None:
        answered.send("1")
        answered.now -= HOUR
        assert answered.act() is None
        answered.now += 5 * SECOND
        assert answered.act() == LookUp(("1",))

    def test_after_a_disconnect_at_once(self, answered: Party) -> None:
        answered.send("1")
        answered.queue.disconnected()

        assert answered.act() == LookUp(("1",))

    def test_what_the_history_holds_is_settled(self, alice: Party) -> None:
        alice.send("1")
        assert alice.post("2") is None
        alice.queue.disconnected()
        alice.act()

        assert sent(alice.echo("1"), "2").x3dh is not None

    def test_what_it_does_not_hold_goes_out_again(self, answered: Party) -> None:
        first = answered.send("1")
        answered.queue.disconnected()
        answered.act()
        answered.queue.missing(["1"], answered.now)
        again = sent(answered.act(), "1")

        assert again.header.message_number == first.header.message_number + 1

    def test_a_history_that_cannot_be_read_is_asked_again(self, answered: Party) -> None:
        answered.send("1")
        answered.queue.disconnected()
        answered.act()
        answered.queue.look_up_failed(["1"], answered.now)
        assert answered.act() is None
        answered.now += 5 * SECOND

        assert answered.act() == LookUp(("1",))

    def test_what_is_late_behind_a_burst_is_waited_for(self, answered: Party) -> None:
        answered.send("1")
        answered.send("2")
        answered.now += 5 * SECOND
        assert answered.echo("1") is None
        answered.now += 5 * SECOND - 1
        assert answered.act() is None
        answered.now += 1

        assert answered.act() == LookUp(("2",))

    def test_what_others_overtook_is_not(self, answered: Party) -> None:
        answered.send("lost")
        actions: list[Action | None] = []
        for second in range(10):
            answered.now += SECOND
            actions += answered.post(f"at {second}"), answered.echo(f"at {second}")

        assert LookUp(("lost",)) in actions

    def test_one_reading_of_the_history_at_a_time(self, answered: Party) -> None:
        answered.send("1")
        answered.now += SECOND
        answered.send("2")
        answered.now += 4 * SECOND
        assert answered.act() == LookUp(("1",))
        answered.now += SECOND
        assert answered.act() is None
        assert answered.queue.wake_at() is None
        answered.queue.found("1", answered.now, delivered=True)

        assert answered.act() == LookUp(("2",))
