"""Which session to send in without an `x3dh`: the confirmed one (PROTOCOL.md 4.2.2).

Both may open sessions at the same time, and a browser keeps only the last that has reached it. So
decrypting in a session does not select it; these rules do.
"""

from __future__ import annotations

from typing import Final

import msgspec
from msgspec import Struct

CONTEST_WINDOW: Final = 5_000
"""How long (ms) after its echo our `x3dh` may still cross one of the peer's."""


class _Stored(Struct, frozen=True, array_like=True):
    session_id: str | None = None
    newest_opened: str | None = None
    delivered_at: int = 0
    newest_stored: str | None = None


_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(_Stored)


class Confirmation:
    """The confirmed session of one peer, and what decides about it.

    Args:
        stored: what `to_bytes` gave; None for a peer not met before.

    Attributes:
        session_id: the confirmed session; None where every message opens a new one.
        newest_opened: the newest of the sessions that we opened.
        newest_stored: the newest of those whose `x3dh` is in the history. A peer that reads what it
            missed ends up in that one, however many others were opened by sending again.
    """

    __slots__ = (
        "_changed",
        "_delivered_at",
        "_latest",
        "_received",
        "_unechoed",
        "newest_opened",
        "newest_stored",
        "session_id",
    )

    def __init__(self, stored: bytes | None = None) -> None:
        state = _decoder.decode(stored) if stored else _Stored()
        self.session_id = state.session_id
        self.newest_opened = state.newest_opened
        self.newest_stored = state.newest_stored
        self._delivered_at = state.delivered_at
        self._unechoed: set[str] = set()
        self._latest = self._received = ""
        self._changed = False

    def take_changed(self) -> bytes | None:
        """What has to be stored, if anything has changed since the last call."""
        if not self._changed:
            return None
        self._changed = False
        return _encoder.encode(
            _Stored(self.session_id, self.newest_opened, self._delivered_at, self.newest_stored)
        )

    # ------------------------------------------------------------ what happens

    def we_opened(self, session_id: str) -> None:
        """We opened a session; it is confirmed once the peer answers in it."""
        self.newest_opened = session_id
        self._changed = True

    def peer_opened(self, session_id: str, now: int) -> None:
        """The peer opened a session: confirmed, unless an `x3dh` of ours may cross that."""
        since = now - self._delivered_at
        contested = self._unechoed or (self._delivered_at and 0 <= since < CONTEST_WINDOW)
        self._confirm(None if contested else session_id)

    def decrypted_in(self, session_id: str) -> None:
        """A message has decrypted in a session: that confirms the newest that we opened."""
        if session_id == self.newest_opened:
            self._confirm(session_id)

    def rule_out(self, session_id: str) -> None:
        """A session has timed out: whatever still comes in it, it is not sent in any more."""
        if session_id == self.newest_opened:
            self.newest_opened = None
            self._changed = True
        if session_id == self.session_id:
            self.clear()

    def adopt(self, session_id: str, *, answered: bool) -> None:
        """A session led elsewhere goes on here; unanswered, it counts as one that we opened."""
        if answered:
            self._confirm(session_id)
        else:
            self.clear()
            self.we_opened(session_id)

    def clear(self) -> None:
        """An `x3dh` of ours goes out, or the peer may have lost our session."""
        self._confirm(None)

    def forget(self) -> None:
        """The peer has another identity: no session with the former one counts."""
        self.newest_opened = self.newest_stored = None
        self._changed = True
        self.clear()

    # ------------------------------------------------------------ echoes of our `x3dh`

    def stored(self, session_id: str) -> None:
        """The history will hold the `x3dh` that opened this session."""
        self.newest_stored = session_id
        self._changed = True

    @property
    def awaits_echo(self) -> bool:
        """Whether a message that carried our `x3dh` is still un-echoed."""
        return bool(self._unechoed)

    def sent(self, message_id: str) -> None:
        """A message that carries our `x3dh` is on its way."""
        self._unechoed.add(message_id)
        self._latest = message_id

    def settled(self, message_id: str, now: int, *, delivered: bool) -> None:
        """It has been echoed, or is known not to be."""
        if message_id in self._unechoed:
            self._unechoed.discard(message_id)
            if delivered and message_id != self._received:
                self._set_delivered_at(now)

    def received(self, message_id: str) -> None:
        """The peer itself says that it has it: what it opens from now on crosses nothing of ours.

        A browser never says so. Without this, two clients of ours that have once crossed would open
        a session with every message for as long as they answer each other within the window.
        """
        if message_id and message_id == self._latest:
            self._received = message_id
            if not self._unechoed:
                self._set_delivered_at(0)

    def _set_delivered_at(self, moment: int) -> None:
        self._delivered_at = moment
        self._changed = True

    def _confirm(self, session_id: str | None) -> None:
        if session_id != self.session_id:
            self.session_id = session_id
            self._changed = True
