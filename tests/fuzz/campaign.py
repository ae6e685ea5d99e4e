"""Feeds targets, and keeps what they could not digest."""

from __future__ import annotations

import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from fuzz.mutation import mutated
from fuzz.targets import Target

HANGS: Final = 1.0
"""Seconds of its own time that no input may take."""

_KEPT: Final = 10


@dataclass(slots=True)
class Result:
    """What became of one target.

    Attributes:
        slowest: seconds (of the process's own time) of the input that took longest.
        failures: the inputs that it could not digest, the first few of them, and why.
    """

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    failed: int = 0
    failures: list[tuple[bytes, str]] = field(default_factory=list)

    def __str__(self) -> str:
        return (
            f"{self.target:<10} {self.inputs:>8} inputs, {self.seconds:6.1f} s, "
            f"slowest {self.slowest * 1000:7.2f} ms, {self.failed} failed"
        )

    def feed(self, target: Target, data: bytes) -> None:
        """Give it one input."""
        started = time.process_time()
        try:
            target.read(data)
        except Exception as error:  # noqa: BLE001 - whatever it is, it is what is looked for
            self._note(data, f"{type(error).__name__}: {error}")
        took = time.process_time() - started
        self.inputs += 1
        self.slowest = max(self.slowest, took)
        if took > HANGS:
            self._note(data, f"took {took:.1f} s")

    def _note(self, data: bytes, why: str) -> None:
        self.failed += 1
        if len(self.failures) < _KEPT:
            self.failures.append((data, why))


def campaign(targets: Iterable[Target], inputs: int, seed: int) -> Iterable[Result]:
    """Feed each target so many inputs."""
    for target in targets:
        random = Random(f"{seed} {target.name}")
        result = Result(target.name)
        started = time.monotonic()
        for data in target.seeds:
            result.feed(target, data)
        for _ in range(inputs - len(target.seeds)):
            result.feed(target, mutated(random, target.seeds))
        result.seconds = time.monotonic() - started
        yield result
