"""The chaos run in small: `make chaos` is the whole of it."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from faults.chaos import Chaos, Scale
from faults.report import Evidence, Tally, judge

SMALL = Scale(
    clients=2,
    browsers=2,
    messages=60,
    dialogs=1,
    kills=4,
    restarts=1,
    lifetime=1.0,
    settling=60,
)


@pytest.mark.parametrize("seed", [1])
async def test_nothing_is_lost_and_nothing_happens_twice(tmp_path: Path, seed: int) -> None:
    async with asyncio.timeout(110):
        report = await Chaos(SMALL, seed, tmp_path).run()
    assert report.passed, str(report)
    assert report.messages == SMALL.messages


def test_whatever_went_wrong_is_counted() -> None:
    tally = Tally(total=6, begun=3, told=1, finished=1, handled=[1, 3, 2, 2])
    good = Evidence(peer="bob", reached=[1], tally=None, replies={})
    bad = Evidence(peer="alice", reached=[1, 2, 3, 4], tally=tally, replies={1: ["a", "b"]})
    faults, found = judge([good, bad])
    assert faults == {
        "lost": 1,
        "handled twice": 1,
        "answered twice": 1,
        "unanswered": 2,
        "out of order": 1,
        "conversations broken": 1,
        "counter off by": 2,
        "dialogs left open": 1,
    }
    assert found["lost"] == {"alice": [4]}
    assert found["out of order"] == {"alice": [3]}
