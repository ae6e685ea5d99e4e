"""A backend and its network in virtual time: in order on each line, late by up to half a second."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import count
from random import Random
from typing import Any, Protocol

MAX_LATENCY = 500
"""ms."""


@dataclass(frozen=True)
class Frame:
    """A message on its way to somebody."""

    id: str
    sender: str
    content: str


class Member(Protocol):
    """Somebody with a socket."""

    def publish(self) -> dict[str, Any]:
        """The bundle that the backend has of it."""

    def take(self, frame: Frame) -> None:
        """A message has come."""

    def echoed(self, message_id: str) -> None:
        """The backend has taken a message of its own, and passed it on."""

    def confirmed(self, message_id: str) -> None:
        """The peer says that it has a message of its own."""


class Time:
    """Events in virtual time (ms)."""

    def __init__(self, start: int) -> None:
        self.now = start
        self._events: list[tuple[int, int, Callable[[], None]]] = []
        self._number = count()

    def after(self, delay: float, event: Callable[[], None]) -> None:
        """Let something happen."""
        when = self.now + max(0, round(delay))
        heapq.heappush(self._events, (when, next(self._number), event))

    def run(self, until: int | None = None) -> None:
        """Let everything happen, or what does until then."""
        while self._events and (until is None or self._events[0][0] <= until):
            self.now, _, event = heapq.heappop(self._events)
            event()
        if until is not None:
            self.now = max(self.now, until)


@dataclass
class Network:
    """Passes messages on, and echoes them.

    Attributes:
        frames: how many messages each has sent, every try counted.
        bare: of each, whether its latest message had no `x3dh`.
        openings: how many messages of each had one.
    """

    time: Time
    random: Random
    members: dict[str, Member] = field(default_factory=dict)
    frames: Counter[str] = field(default_factory=Counter)
    bare: dict[str, bool] = field(default_factory=dict)
    openings: Counter[str] = field(default_factory=Counter)
    _free: Counter[str] = field(default_factory=Counter)

    def send(self, frame: Frame, to: str) -> None:
        """Take a message from a socket."""
        self.frames[frame.sender] += 1
        self.bare[frame.sender] = '"x3dh"' not in frame.content
        self.openings[frame.sender] += not self.bare[frame.sender]
        self._line(f"{frame.sender} up", lambda: self._pass_on(frame, to))

    def confirm(self, message_id: str, sender: str, to: str) -> None:
        """Take a `status` from a socket, and pass it on."""
        self._line(
            f"{sender} up",
            lambda: self._line(f"{to} down", lambda: self.members[to].confirmed(message_id)),
        )

    def bundle(self, of: str, done: Callable[[dict[str, Any]], None]) -> None:
        """Fetch a bundle: there and back."""

        def answer() -> None:
            body = self.members[of].publish()
            self.time.after(self._latency(), lambda: done(body))

        self.time.after(self._latency(), answer)

    def _pass_on(self, frame: Frame, to: str) -> None:
        self._line(f"{to} down", lambda: self.members[to].take(frame))
        sender = self.members[frame.sender]
        self._line(f"{frame.sender} down", lambda: sender.echoed(frame.id))

    def _line(self, line: str, event: Callable[[], None]) -> None:
        """Whatever is sent on a line arrives behind what was sent before."""
        arrives = max(self.time.now + self._latency(), self._free[line])
        self._free[line] = arrives
        self.time.after(arrives - self.time.now, event)

    def _latency(self) -> int:
        return self.random.randrange(MAX_LATENCY)
