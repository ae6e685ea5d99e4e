"""Who talks in a simulation: a client of ours, and a browser."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from random import Random
from typing import Any

import msgspec
from doubles.browser import Browser, UndecryptableError

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.message import decode_content, encode_content
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.crypto.terms import IdentityUnknownError
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import DecryptionError
from chatbot.client.messaging.send_queue import FetchBundle, Outgoing, SendQueue, Transmit
from chatbot.wire import PrekeyBundleBody
from simulation.network import Frame, Network

NOTICE_INTERVAL = 60_000
NOTICE = "notice"


class Talker(ABC):
    """What both count.

    Attributes:
        said: the ids of what it wrote.
        read: the ids of what it could read.
        unreadable: the ids of what it could not read, at one time at least.
    """

    def __init__(self, name: str, peer: str, network: Network) -> None:
        self.name = name
        self.peer = peer
        self.network = network
        self.said: list[str] = []
        self.read: list[str] = []
        self.unreadable: set[str] = set()

    def says(self) -> None:
        """Write something."""
        message_id = f"{self.name}-{len(self.said)}"
        self.said.append(message_id)
        self.write(message_id)

    @abstractmethod
    def write(self, message_id: str) -> None:
        """Send a message whose text is its id."""

    def has_read(self, message_id: str, text: str) -> None:
        """A message was decrypted; the same one may be, again."""
        assert text == message_id
        if message_id not in self.read and not message_id.startswith(NOTICE):
            self.read.append(message_id)


class BrowserUser(Talker):
    """A person at the browser client."""

    def __init__(self, name: str, peer: str, network: Network, random: Random) -> None:
        super().__init__(name, peer, network)
        network.members[name] = self
        self.browser = Browser(random=random.randbytes)
        self._outbox: deque[str] = deque()

    def publish(self) -> dict[str, Any]:
        return self.browser.upload()

    def rotate(self) -> None:
        """Publish another signed prekey."""
        self.browser.rotate()

    def lose_sessions(self) -> None:
        """Forget every conversation."""
        self.browser.forget_sessions()

    def write(self, message_id: str) -> None:
        self._outbox.append(message_id)
        if len(self._outbox) == 1:
            self._fetch()

    def _fetch(self) -> None:
        self.network.bundle(self.peer, self._send)

    def _send(self, bundle: dict[str, Any]) -> None:
        message_id = self._outbox.popleft()
        content = self.browser.encrypt(self.peer, message_id, bundle)
        self.network.send(Frame(message_id, self.name, content), self.peer)
        if self._outbox:
            self._fetch()

    def take(self, frame: Frame) -> None:
        try:
            text = self.browser.decrypt(frame.sender, frame.content)
        except UndecryptableError:
            self.unreadable.add(frame.id)
        else:
            self.has_read(frame.id, text)

    def echoed(self, message_id: str) -> None:
        """It shows two ticks."""

    def confirmed(self, message_id: str) -> None:
        """It ignores what only ours say."""


class OurUser(Talker):
    """A client of ours: its record and its send queue, as the engine drives them."""

    def __init__(self, name: str, peer: str, network: Network, random: Random) -> None:
        super().__init__(name, peer, network)
        network.members[name] = self
        self._random = random.randbytes
        self._ring = KeyRing(Identity.from_seed(random.randbytes(32)))
        self._record = PeerRecord(peer)
        self._queue = SendQueue(self._record)
        self._inbound: deque[Frame] = deque()
        self._resolving = False
        self._noticed_at = -NOTICE_INTERVAL
        self.rotate()

    @property
    def _now(self) -> int:
        return self.network.time.now

    def publish(self) -> dict[str, Any]:
        current = self._ring.current_signed_prekey
        assert current is not None
        body: dict[str, Any] = msgspec.to_builtins(self._ring.upload_body(current, []))
        return body

    def rotate(self) -> None:
        """Publish another signed prekey."""
        self._ring.new_signed_prekey(self._now, random=self._random)

    def lose_sessions(self) -> None:
        """Forget every conversation, but not what has still to be sent."""
        waiting = self._queue.recall()
        self._record = PeerRecord(self.peer, identity_key=self._record.identity_key)
        self._queue = SendQueue(self._record)
        for outgoing in waiting:
            self._queue.submit(outgoing)

    # ------------------------------------------------------------ sending

    def write(self, message_id: str) -> None:
        self._queue.submit(Outgoing(message_id, message_id.encode()))
        self._pump()

    def _pump(self) -> None:
        identity = self._ring.identity
        while action := self._queue.next_action(self._now, identity, random=self._random):
            match action:
                case Transmit(outgoing, message):
                    assert message is not None
                    frame = Frame(outgoing.id, self.name, encode_content(message))
                    self.network.send(frame, self.peer)
                case FetchBundle():
                    self.network.bundle(self.peer, self._fetched)
                case _:
                    raise AssertionError("every echo comes in time")
        self._record.take_changes()

    def _fetched(self, body: dict[str, Any]) -> None:
        bundle = PrekeyBundle.from_body(msgspec.convert(body, PrekeyBundleBody))
        self._record.accept_identity(bundle.identity_key)
        self._queue.bundle_fetched(bundle, self._now)
        self._pump()

    def echoed(self, message_id: str) -> None:
        self._queue.echoed(message_id, self._now, delivered=True)
        self._pump()

    def confirmed(self, message_id: str) -> None:
        self._record.x3dh_received(message_id)

    # ------------------------------------------------------------ receiving

    def take(self, frame: Frame) -> None:
        self._inbound.append(frame)
        self._drain()

    def _drain(self) -> None:
        while self._inbound and not self._resolving:
            try:
                self._receive(self._inbound[0])
            except IdentityUnknownError:
                self._resolving = True
                self.network.bundle(self.peer, self._resolve)
            else:
                self._inbound.popleft()

    def _resolve(self, body: dict[str, Any]) -> None:
        bundle = PrekeyBundle.from_body(msgspec.convert(body, PrekeyBundleBody))
        self._record.accept_identity(bundle.identity_key)
        self._resolving = False
        self._drain()

    def _receive(self, frame: Frame) -> None:
        message = decode_content(frame.content)
        try:
            received = self._record.receive(message, self._ring, self._now, random=self._random)
        except IdentityUnknownError:
            raise
        except DecryptionError as error:
            if error.reason != "used-key":  # a duplicate: it was delivered
                self._cannot_read(frame)
        else:
            self.has_read(frame.id, received.plaintext.decode())
            self.network.confirm(frame.id, self.name, self.peer)
            if received.opened:
                self._queue.peer_started_afresh(self._now, received.session_id)
        self._pump()

    def _cannot_read(self, frame: Frame) -> None:
        if not frame.id.startswith(NOTICE):
            self.unreadable.add(frame.id)
        self._record.unconfirm()
        self._queue.peer_started_afresh(self._now)
        if self._now - self._noticed_at >= NOTICE_INTERVAL:
            self._noticed_at = self._now
            notice = f"{NOTICE}-{self.name}-{self._now}"
            self._queue.submit(Outgoing(notice, notice.encode()))
