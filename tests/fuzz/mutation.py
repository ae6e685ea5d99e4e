"""Damage to an input: what a careless program, a bad line or an attacker would make of it."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Final

_TOKENS: Final = (
    b"null",
    b"true",
    b"-1",
    b"0",
    b"1e999",
    b"4294967296",
    b"9223372036854775808",
    b'"\\ud800"',
    b'""',
    b"[]",
    b"{}",
    b"[" * 600,
    b'{"a":' * 600,
    b"A" * 43 + b"=",
    b"=" * 8,
    b"\x00",
    b"\xff\xfe",
    b"\xf0\x9f\x93\xb7",
    b"\r\n",
    b"E2EE:",
    b"/",
    b"--",
    b'"',
    b"\\",
)

_CHANGES: Final = (1, 1, 1, 2, 4)


def mutated(random: Random, seeds: Sequence[bytes]) -> bytes:
    """One of the seeds, harmed a few times."""
    data = bytearray(random.choice(seeds))
    for _ in range(random.choice(_CHANGES)):
        _harm(random, data, seeds)
    return bytes(data)


def _harm(random: Random, data: bytearray, seeds: Sequence[bytes]) -> None:
    start = random.randrange(len(data) + 1)
    end = min(len(data), start + random.randrange(32))
    match random.randrange(6):
        case 0 if start < len(data):
            data[start] ^= 1 << random.randrange(8)
        case 1:
            del data[start:end]
        case 2:
            data[start:start] = data[start:end] * random.randint(1, 3)
        case 3:
            data[start:end] = random.choice(_TOKENS)
        case 4:
            data[start:end] = random.randbytes(random.randrange(8))
        case _:
            other = random.choice(seeds)
            cut = random.randrange(len(other) + 1)
            data[start:] = other[cut:]
