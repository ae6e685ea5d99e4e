"""Hours of talking in virtual time: PROTOCOL.md 4 against a browser, and against one of ours."""

from __future__ import annotations

from random import Random

import pytest

from simulation.network import Network, Time
from simulation.people import BrowserUser, OurUser, Talker

SEEDS = 500

LOSSES = 60
"""Seeds in which somebody loses all sessions."""

MESSAGES = 10
"""Of each side, about a second apart."""

ROTATIONS = 0.06
"""Of each side's keys in such a talk. Really there is one a week. Each of ours makes
a browser open a new session, which a message that is just on its way to it then destroys."""

SECOND = 1000

MOST_FRAMES = 2
"""Times what was said: what is beyond is a message storm."""


MOST_OPENINGS = 0.7
"""Of all messages of two of ours that start at once. Without what each says of having received the
other's, it is eight in ten: all of them, until they pause."""


class Talk:
    """One seed: two people, who start at once."""

    def __init__(self, seed: int, kind: type[BrowserUser | OurUser]) -> None:
        self.random = Random(seed)
        self.time = Time(1_700_000_000_000)
        self.network = Network(self.time, self.random)
        self.ours = OurUser("ours", "other", self.network, self.random)
        self.other = kind("other", "ours", self.network, self.random)
        self.sides: tuple[BrowserUser | OurUser, ...] = (self.ours, self.other)

    def lively(self) -> None:
        """Both write once a second, and rotate their keys in the middle of it."""
        for side in self.sides:
            when = 0.0
            for _ in range(MESSAGES):
                self.time.after(when, side.says)
                when += self.random.uniform(0.5, 1.5) * SECOND
            if self.random.random() < ROTATIONS:
                self.time.after(self.random.uniform(0, when), side.rotate)
        self.time.run()

    def calm(self) -> None:
        """They take turns, and take their time."""
        self.time.run(self.time.now + 60 * SECOND)
        for _ in range(3):
            for side in self.sides:
                side.says()
                self.time.run(self.time.now + 10 * SECOND)

    def is_bare(self) -> bool:
        """Whether nobody sends an `x3dh` any more."""
        return all(self.network.bare[side.name] for side in self.sides)

    def is_quiet(self) -> bool:
        """Whether nobody sent far more than was said."""
        frames = self.network.frames
        return all(frames[side.name] <= MOST_FRAMES * len(side.said) for side in self.sides)


def missing(reader: Talker, writer: Talker) -> set[str]:
    """What was said and never read."""
    return set(writer.said) - set(reader.read)


def test_talks_with_a_browser() -> None:
    said = unreadable = 0
    for seed in range(SEEDS):
        talk = Talk(seed, BrowserUser)
        talk.lively()
        talk.calm()
        assert not missing(talk.other, talk.ours), f"seed {seed}: the browser cannot read"
        lost = missing(talk.ours, talk.other) - talk.ours.unreadable
        assert not lost, f"seed {seed}: lost"
        assert talk.is_quiet(), f"seed {seed}: a storm"
        assert talk.is_bare(), f"seed {seed}: not bare in the end"
        said += len(talk.other.said)
        unreadable += len(talk.ours.unreadable)
    assert unreadable <= 0.002 * said


def test_talks_with_one_of_ours() -> None:
    said = openings = 0
    for seed in range(SEEDS):
        talk = Talk(seed, OurUser)
        talk.lively()
        talk.calm()
        for reader, writer in ((talk.ours, talk.other), (talk.other, talk.ours)):
            assert not missing(reader, writer), f"seed {seed}: lost"
            assert not reader.unreadable, f"seed {seed}"
        assert talk.is_quiet(), f"seed {seed}: a storm"
        assert talk.is_bare(), f"seed {seed}: not bare in the end"
        said += len(talk.ours.said) + len(talk.other.said)
        openings += talk.network.openings.total()
    assert openings <= MOST_OPENINGS * said


@pytest.mark.parametrize("kind", [BrowserUser, OurUser])
def test_whoever_loses_all_sessions_is_understood_again(
    kind: type[BrowserUser | OurUser],
) -> None:
    """What cannot be read meanwhile is known, and the talk heals by itself."""
    for seed in range(LOSSES):
        talk = Talk(seed, kind)
        loser = talk.sides[seed % 2]
        talk.time.after(MESSAGES * SECOND / 2, loser.lose_sessions)
        talk.lively()
        talk.calm()
        for reader, writer in ((talk.ours, talk.other), (talk.other, talk.ours)):
            assert missing(reader, writer) <= reader.unreadable, f"seed {seed}: lost"
            assert writer.said[-1] in reader.read, f"seed {seed}: not healed"
        assert talk.is_quiet(), f"seed {seed}: a storm"
        assert talk.is_bare(), f"seed {seed}: not bare in the end"
