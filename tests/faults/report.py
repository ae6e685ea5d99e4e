"""What a chaos run has counted, and what of it must be zero."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import msgspec


class Tally(msgspec.Struct, frozen=True, kw_only=True):
    """What the bot says that it has counted (`faults.tally`).

    Attributes:
        total: numbered messages of all.
        handled: numbered messages of this conversation, in the order in which they were handled.
        begun, told, finished: dialogs of all.
    """

    total: int
    begun: int
    told: int
    finished: int
    handled: list[int]

    @property
    def open(self) -> int:
        """Dialogs that have neither come to their end nor been told that they are over."""
        return abs(self.begun - self.finished - self.told)


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of one conversation in the end.

    Attributes:
        reached: the numbers that reached the backend, in that order.
        tally: what the bot says, None where it does not answer any more.
        replies: by number, the ids of the messages that answered it.
        is_browser: whether it gets only what comes while it is there, and may not be able to read
            it; no bot can help that.
    """

    peer: str
    reached: list[int]
    tally: Tally | None
    replies: Mapping[int, Sequence[str]]
    is_browser: bool = False

    @property
    def handled(self) -> list[int]:
        """What was handled of it."""
        return [] if self.tally is None else self.tally.handled

    def lost(self) -> list[int]:
        """What reached the backend, and was never handled; unknown where the bot does not say."""
        return sorted(set(self.reached) - set(self.handled)) if self.tally is not None else []

    def twice(self) -> list[int]:
        """What was handled more than once."""
        return [number for number, count in Counter(self.handled).items() if count > 1]

    def out_of_order(self) -> list[int]:
        """What was handled before something that had reached the backend earlier."""
        place = {number: index for index, number in enumerate(self.reached)}
        order = [n for n in dict.fromkeys(self.handled) if n in place]
        return [a for a, b in pairwise(order) if place[a] > place[b]]

    def answered_twice(self) -> list[int]:
        """What was answered by more than one message."""
        return [number for number, ids in self.replies.items() if len(ids) > 1]

    def broken(self) -> list[str]:
        """What shows that nothing gets through any more."""
        return [] if self.tally is not None else ["asked in vain how things are"]

    def unanswered(self) -> list[int]:
        """What was handled, and its answer never read."""
        return sorted(set(self.handled) - {n for n, ids in self.replies.items() if ids})


class Report(msgspec.Struct, kw_only=True):
    """A chaos run's result.

    Attributes:
        faults: must all be zero.
        found: the numbers behind each fault that is not, by conversation.
        scale: how much of everything there was.
        harmed: what the network did.
        deaths: how the bot's lives ended.
        other: what the bot said that nobody had asked for, by text.
        undecryptable: messages that could not be decrypted when they came.
        unread: answers that browsers did not show.
    """

    seed: int
    seconds: float
    scale: Mapping[str, Any]
    faults: dict[str, int]
    found: dict[str, dict[str, Any]]
    messages: int
    dialogs: Mapping[str, int]
    deaths: Mapping[str, int]
    backend: Mapping[str, int]
    harmed: Mapping[str, int]
    other: Mapping[str, int]
    undecryptable: int
    unread: int

    @property
    def passed(self) -> bool:
        """Whether everything that must be zero is."""
        return not any(self.faults.values())

    def __str__(self) -> str:
        lines = [
            f"seed {self.seed}, {self.seconds:.0f} s, {self.messages} messages handled",
            *_section("scale", self.scale),
            *_section("deaths", self.deaths),
            *_section("backend", self.backend),
            *_section("network", self.harmed),
            *_section("dialogs", self.dialogs),
            *_section("said besides", self.other),
            f"undecryptable when they came: {self.undecryptable}",
            f"answers that browsers did not show: {self.unread}",
            *_section("must be zero", self.faults),
            *(f"    {fault}: {peers}" for fault, peers in self.found.items()),
            "passed" if self.passed else "FAILED",
        ]
        return "\n".join(lines)


def judge(witnesses: Sequence[Evidence]) -> tuple[dict[str, int], dict[str, dict[str, Any]]]:
    """Count what must be zero, and say where it is not."""
    found: dict[str, dict[str, Sequence[object]]] = {
        "lost": {w.peer: w.lost() for w in witnesses},
        "handled twice": {w.peer: w.twice() for w in witnesses},
        "answered twice": {w.peer: w.answered_twice() for w in witnesses},
        "unanswered": {w.peer: w.unanswered() for w in witnesses if not w.is_browser},
        "out of order": {w.peer: w.out_of_order() for w in witnesses},
        "conversations broken": {w.peer: w.broken() for w in witnesses},
    }
    faults = {fault: sum(map(len, peers.values())) for fault, peers in found.items()}
    tally = newest(witnesses)
    faults["counter off by"] = abs(tally.total - sum(len(w.handled) for w in witnesses))
    faults["dialogs left open"] = tally.open
    where = {f: {p: n for p, n in peers.items() if n} for f, peers in found.items() if faults[f]}
    return faults, where


def newest(witnesses: Sequence[Evidence]) -> Tally:
    """The last of what the bot said of everybody."""
    tallies = [w.tally for w in witnesses if w.tally is not None]
    nothing = Tally(total=0, begun=0, told=0, finished=0, handled=[])
    return max(
        tallies, key=lambda tally: (tally.total, tally.finished + tally.told), default=nothing
    )


def _section(title: str, values: Mapping[str, Any]) -> list[str]:
    width = max(map(len, values), default=0)
    return [f"{title}:", *(f"    {name:<{width}}  {value}" for name, value in values.items())]
