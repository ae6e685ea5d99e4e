"""What goes out to one peer, when, and in which session: PROTOCOL.md 4.2 as pure logic.

The queue is asked `next_action` after every event and answers with the one thing to do now; time
(ms) is an argument. It neither encrypts twice to the same bytes nor touches a socket, so a test
can drive it through hours of traffic in no time.
"""

from __future__ import annotations

import os
from collections import Counter, deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Final

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.message import EncryptedMessage
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.wire import MessageType

from .echoes import ECHO_TIMEOUT, Echoes

RESEND_WINDOW: Final = 30_000
"""What went bare within that time is sent once more when the peer starts afresh (4.2.3)."""

BUNDLE_LIFETIME: Final = 3_600_000
"""How long a fetched bundle is used for opening sessions (4.2.1)."""


@dataclass(slots=True, eq=False)
class Outgoing:
    """A message on its way to one peer.

    Attributes:
        id: the message id, the same in every re-send.
        plaintext: what is encrypted, afresh each time.
        message_type: `text` or `image`, as the frame says.
        image_data: a data URL that goes out in clear, because that is all a browser can show.
        opens_session: whether it has to carry an `x3dh` even if a session is confirmed.
        awaited_peer: whether the backend has it, and it is sent again because the peer is back.
    """

    id: str
    plaintext: bytes = field(repr=False)
    message_type: MessageType = "text"
    image_data: str | None = field(default=None, repr=False)
    opens_session: bool = False
    awaited_peer: bool = False


@dataclass(slots=True, eq=False)
class InFlight:
    """A message that the socket took and the backend has not echoed yet.

    Attributes:
        chain: our ratchet key (32 bytes) of the chain it went out on, where that is known.
    """

    outgoing: Outgoing
    session_id: str
    chain: bytes | None
    sent_at: int
    carries_x3dh: bool
    ambiguous: bool = False


@dataclass(frozen=True, slots=True)
class FetchBundle:
    """Fetch the peer's bundle, then call `bundle_fetched` or `bundle_failed`."""


@dataclass(frozen=True, slots=True)
class LookUp:
    """Look these ids up in the history, then call `looked_up` for each."""

    ids: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Transmit:
    """Make the record's changes durable, then put this on the socket.

    Attributes:
        message: None for a picture in clear.
        session_id: empty for a picture in clear.
    """

    outgoing: Outgoing
    message: EncryptedMessage | None
    session_id: str


Action = FetchBundle | LookUp | Transmit


class SendQueue:
    """The messages to one peer, in order.

    Args:
        echoes: what is known of the echoes of all conversations.

    Attributes:
        held: while True nothing is sent, because the peer's identity awaits a decision.
        bundle: the peer's bundle where a fresh one is cached.
    """

    def __init__(
        self,
        record: PeerRecord,
        *,
        echoes: Echoes | None = None,
        use_one_time_prekeys: bool = False,
    ) -> None:
        self._record = record
        self._echoes = echoes or Echoes()
        self._use_one_time_prekeys = use_one_time_prekeys
        self._queue: deque[Outgoing] = deque()
        self._queued: set[str] = set()
        self._in_flight: dict[str, InFlight] = {}
        self._chains: Counter[bytes | None] = Counter()
        self._look_up_at: int | None = None
        self._looked_up: set[str] = set()
        self._recent: deque[InFlight] = deque()
        self._fetching = False
        self._outdated = False
        self._bundle_at = 0
        self._now = 0
        self.bundle: PrekeyBundle | None = None
        self.held = False

    def __len__(self) -> int:
        return len(self._queue)

    @property
    def idle(self) -> bool:
        """Whether nothing waits and every echo has come."""
        return not self._queue and not self._in_flight

    # ------------------------------------------------------------ what there is to do

    def __contains__(self, message_id: object) -> bool:
        """Whether a message is in the queue or in flight."""
        return message_id in self._in_flight or message_id in self._queued

    def waiting(self) -> tuple[str, ...]:
        """The ids of what has not left, or has to leave again, in order."""
        return tuple(outgoing.id for outgoing in self._queue)

    def submit(self, outgoing: Outgoing) -> None:
        """Put a message at the end of the queue, unless it is in it or in flight already."""
        if outgoing.id not in self:
            self._queue.append(outgoing)
            self._queued.add(outgoing.id)

    def next_action(
        self, now: int, identity: Identity, *, random: Callable[[int], bytes] = os.urandom
    ) -> Action | None:
        """The one thing to do now, or None until another event."""
        self._follow(now)
        if overdue := self._overdue(now):
            return LookUp(overdue)
        if not self._queue or self.held or self._record.awaits_x3dh_echo:
            return None
        outgoing = self._queue[0]
        if outgoing.id in self._in_flight:
            return None
        if outgoing.image_data is not None:
            return self._transmit_clear(outgoing, now)
        return self._send(outgoing, now, identity, random)

    def _send(
        self, outgoing: Outgoing, now: int, identity: Identity, random: Callable[[int], bytes]
    ) -> Action | None:
        session = None if outgoing.opens_session else self._record.sending_session(now)
        if not self._chain_is_free(None if session is None else session.sending_ratchet_key):
            return None
        if session is not None:
            return self._transmit_bare(outgoing, now, random)
        bundle = self.bundle
        if bundle is None or not self._is_current(bundle, now):
            return self._fetch()
        return self._transmit_opening(outgoing, bundle, identity, now, random)

    def _is_current(self, bundle: PrekeyBundle, now: int) -> bool:
        fresh = 0 <= now - self._bundle_at < BUNDLE_LIFETIME
        return fresh and bundle.identity_key == self._record.identity_key

    def wake_at(self) -> int | None:
        """When (ms) to call `next_action` again though nothing has happened."""
        return None if self._looked_up else self._look_up_at

    def _overdue(self, now: int) -> tuple[str, ...]:
        """What to look up now; one reading of the history at a time."""
        if self._looked_up or self._look_up_at is None or now < self._look_up_at:
            return ()
        due = {
            message_id: 0 if flight.ambiguous else self._echoes.due_at(flight.sent_at, now)
            for message_id, flight in self._in_flight.items()
        }
        self._looked_up.update(message_id for message_id, at in due.items() if at <= now)
        self._look_up_at = min((at for at in due.values() if at > now), default=None)
        return tuple(message_id for message_id in due if message_id in self._looked_up)

    def _chain_is_free(self, chain: bytes | None) -> bool:
        """4.2.6: a late message of an old chain destroys the browser's session."""
        return not self._chains or (len(self._chains) == 1 and chain in self._chains)

    def _transmit_clear(self, outgoing: Outgoing, now: int) -> Transmit:
        self._take_off(InFlight(outgoing, "", None, now, carries_x3dh=False))
        return Transmit(outgoing, None, "")

    def _transmit_bare(
        self, outgoing: Outgoing, now: int, random: Callable[[int], bytes]
    ) -> Transmit:
        session, message = self._record.encrypt(outgoing.plaintext, now, random=random)
        return self._transmit(outgoing, message, session.id, now)

    def _transmit_opening(
        self,
        outgoing: Outgoing,
        bundle: PrekeyBundle,
        identity: Identity,
        now: int,
        random: Callable[[int], bytes],
    ) -> Transmit:
        session, message = self._record.open_session(
            outgoing.id,
            outgoing.plaintext,
            identity,
            bundle,
            now,
            again=outgoing.awaited_peer,
            use_one_time_prekey=self._use_one_time_prekeys,
            random=random,
        )
        if self._use_one_time_prekeys:
            self.drop_bundle()  # a one-time prekey serves one session
        return self._transmit(outgoing, message, session.id, now)

    def _transmit(
        self, outgoing: Outgoing, message: EncryptedMessage, session_id: str, now: int
    ) -> Transmit:
        carries_x3dh = message.x3dh is not None
        flight = InFlight(outgoing, session_id, message.header.ratchet_key, now, carries_x3dh)
        self._take_off(flight)
        if not carries_x3dh:
            self._expire_recent(now)
            self._recent.append(flight)
        return Transmit(outgoing, message, session_id)

    def _take_off(self, flight: InFlight) -> None:
        self._queued.discard(self._queue.popleft().id)
        self._await_echo(flight)

    def _await_echo(self, flight: InFlight) -> None:
        self._in_flight[flight.outgoing.id] = flight
        if flight.chain is not None:
            self._chains[flight.chain] += 1
        if self._look_up_at is None:
            self._look_up_at = 0 if flight.ambiguous else flight.sent_at + ECHO_TIMEOUT

    def _land(self, message_id: str) -> InFlight | None:
        flight = self._in_flight.pop(message_id, None)
        self._looked_up.discard(message_id)
        if flight is not None and flight.chain is not None:
            self._chains[flight.chain] -= 1
            if not self._chains[flight.chain]:
                del self._chains[flight.chain]
        if not self._in_flight:
            self._look_up_at = None
        return flight

    def _put_first(self, outgoing: Iterable[Outgoing]) -> list[Outgoing]:
        again = [o for o in outgoing if o.id not in self._queued]
        self._queue.extendleft(reversed(again))
        self._queued.update(o.id for o in again)
        return again

    # ------------------------------------------------------------ what has happened

    def echoed(self, message_id: str, now: int, *, delivered: bool) -> InFlight | None:
        """An echo has come; returns what was in flight, if it was ours to wait for."""
        flight = self.found(message_id, now, delivered=delivered)
        self._echoes.came(now, 0 if flight is None else flight.sent_at)
        return flight

    def found(self, message_id: str, now: int, *, delivered: bool) -> InFlight | None:
        """The history has the message: that is as good as its echo, though no sign of life."""
        flight = self._land(message_id)
        self._record.x3dh_settled(message_id, now, delivered=delivered)
        return flight

    def missing(self, message_ids: Iterable[str], now: int) -> None:
        """The history does not hold these: they never arrived, and go out again."""
        lost = [flight for i in message_ids if (flight := self._land(i)) is not None]
        for flight in lost:
            flight.outgoing.awaited_peer = False
            self._record.x3dh_settled(flight.outgoing.id, now, delivered=False)
        self._put_first(flight.outgoing for flight in lost)

    def image_in_flight(self) -> InFlight | None:
        """The picture that has waited longest for its echo."""
        flights = self._in_flight.values()
        return next((f for f in flights if f.outgoing.message_type == "image"), None)

    def look_up_failed(self, message_ids: Iterable[str], now: int) -> None:
        """The history could not be read: ask again after another timeout."""
        for message_id in message_ids:
            self._looked_up.discard(message_id)
            if flight := self._in_flight.get(message_id):
                flight.sent_at = now
        if self._in_flight and self._look_up_at is None:
            self._look_up_at = now + ECHO_TIMEOUT

    def disconnected(self) -> None:
        """The socket is gone: whatever was not echoed may or may not have arrived."""
        for flight in self._in_flight.values():
            flight.ambiguous = True
            self._look_up_at = 0

    def withdraw(self, message_id: str, now: int) -> None:
        """A message did not reach the socket and is not to be sent any more."""
        self._land(message_id)
        self._record.x3dh_settled(message_id, now, delivered=False)
        self._queue = deque(o for o in self._queue if o.id != message_id)
        self._queued.discard(message_id)
        self._recent = deque(f for f in self._recent if f.outgoing.id != message_id)

    def cancel(self, message_id: str) -> bool:
        """Take back a message that waits for its first transmission; False if it has left."""
        if message_id not in self._queued or any(f.outgoing.id == message_id for f in self._recent):
            return False
        self._queue = deque(o for o in self._queue if o.id != message_id)
        self._queued.discard(message_id)
        return True

    def peer_left(self) -> None:
        """The peer is gone again: what awaited it, and the backend has, awaits its next return.

        Every one that went out now would open a session that nobody ever answers in.
        """
        self._queue = deque(o for o in self._queue if not o.awaited_peer)
        self._queued = {o.id for o in self._queue}

    def recall(self) -> list[Outgoing]:
        """Empty the queue: nothing in it can be sent (there is nobody, or no keys)."""
        recalled = list(self._queue)
        self._queue.clear()
        self._queued.clear()
        return recalled

    def resume(self, flight: InFlight) -> None:
        """Take up what was sent before a restart: un-echoed (ambiguous) or recently bare."""
        if flight.ambiguous:
            self._await_echo(flight)
            if flight.carries_x3dh:
                self._record.x3dh_pending(flight.outgoing.id)
        if not flight.carries_x3dh:
            self._recent.append(flight)

    def peer_started_afresh(self, now: int, session_id: str | None = None) -> list[str]:
        """4.2.3: the peer opened `session_id`, or could not be decrypted (None).

        Whatever went bare in another session lately is sent once more, with an `x3dh`. The backend
        may have given us a one-time prekey that the peer no longer holds, and may do so again: from
        now on we do without.
        """
        self._use_one_time_prekeys = False
        self._follow(now)
        self._expire_recent(now)
        again = [flight for flight in self._recent if flight.session_id != session_id]
        self._recent = deque(flight for flight in self._recent if flight.session_id == session_id)
        for flight in again:
            flight.outgoing.opens_session = True
        return [outgoing.id for outgoing in self._put_first(f.outgoing for f in again)]

    def bundle_fetched(self, bundle: PrekeyBundle, now: int) -> None:
        """A bundle under the pinned identity; dropped if `drop_bundle` came after the question."""
        self._fetching = False
        if not self._outdated:
            self.bundle, self._bundle_at = bundle, now

    def bundle_failed(self) -> None:
        """It could not be fetched; `next_action` will ask again."""
        self._fetching = False

    def drop_bundle(self) -> None:
        """The peer may have new keys."""
        self.bundle = None
        self._outdated = self._fetching

    def _fetch(self) -> FetchBundle | None:
        if self._fetching:
            return None
        self._fetching, self._outdated = True, False
        return FetchBundle()

    def _follow(self, now: int) -> None:
        """What was sent is as long ago as before, though the clock was set back."""
        back, self._now = self._now - now, now
        if back <= 0:
            return
        for flight in {id(f): f for f in (*self._in_flight.values(), *self._recent)}.values():
            flight.sent_at -= back
        if self._look_up_at is not None:
            self._look_up_at = max(0, self._look_up_at - back)

    def _expire_recent(self, now: int) -> None:
        while self._recent and now - self._recent[0].sent_at > RESEND_WINDOW:
            self._recent.popleft()
