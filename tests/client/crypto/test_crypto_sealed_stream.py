"""A sealed stream gives back what went in, or nothing that did not."""

from __future__ import annotations

import io
import itertools
from collections.abc import Iterator

import pytest
from doubles.clients import CHEAP
from hypothesis import example, given
from hypothesis import strategies as st

from chatbot.client.crypto.sealed_stream import CHUNK_BYTES, seal, unseal
from chatbot.client.exceptions import StorageError, ValidationError, WrongPasswordError

PASSWORD = "a backup's own"
SEALED_CHUNK = CHUNK_BYTES + 16
THREE_CHUNKS = bytes(range(256)) * (2 * CHUNK_BYTES // 256) + b"the rest"


def sealed(plaintext: bytes) -> bytes:
    return b"".join(seal([plaintext], PASSWORD, parameters=CHEAP))


def opened(data: bytes, password: str = PASSWORD) -> bytes:
    return b"".join(unseal(io.BytesIO(data).read, password))


SEALED = sealed(THREE_CHUNKS)
HEADER = len(SEALED) - len(THREE_CHUNKS) - 3 * 16
CHUNKS = [
    SEALED[start : start + SEALED_CHUNK] for start in range(HEADER, len(SEALED), SEALED_CHUNK)
]


@given(st.lists(st.binary(max_size=100)))
def test_pieces_of_any_size(pieces: list[bytes]) -> None:
    stream = b"".join(seal(pieces, PASSWORD, parameters=CHEAP))
    assert opened(stream) == b"".join(pieces)


@pytest.mark.parametrize("size", [0, 1, CHUNK_BYTES - 1, CHUNK_BYTES, CHUNK_BYTES + 1])
@pytest.mark.parametrize("chunks", [0, 1, 2])
def test_every_length_around_a_chunks(size: int, chunks: int) -> None:
    plaintext = bytes(size + chunks * CHUNK_BYTES)
    assert opened(sealed(plaintext)) == plaintext


def test_nothing_is_readable_and_nothing_repeats() -> None:
    assert THREE_CHUNKS[:16] not in SEALED
    assert SEALED[HEADER:] != sealed(THREE_CHUNKS)[HEADER:]
    same = sealed(bytes(2 * CHUNK_BYTES))
    first, second = same[HEADER : HEADER + CHUNK_BYTES], same[HEADER + SEALED_CHUNK :]
    assert first != second[:CHUNK_BYTES]


def test_the_wrong_password() -> None:
    with pytest.raises(WrongPasswordError, match="does not open this backup"):
        opened(SEALED, "another")
    with pytest.raises(ValidationError, match="empty"):
        opened(SEALED, "")
    with pytest.raises(ValidationError, match="empty"):
        list(seal([], "", parameters=CHEAP))


@given(st.integers(0, len(SEALED) - 1), st.integers(1, 255))
@example(len(SEALED) - 1, 1)
def test_no_changed_byte_is_believed(position: int, change: int) -> None:
    damaged = bytearray(SEALED)
    damaged[position] ^= change
    with pytest.raises(StorageError):
        opened(bytes(damaged))


@given(st.integers(0, len(SEALED) - 1))
@example(HEADER)
@example(HEADER + SEALED_CHUNK)
@example(HEADER + 2 * SEALED_CHUNK)
def test_cut_off_anywhere(length: int) -> None:
    with pytest.raises(StorageError):
        opened(SEALED[:length])


@pytest.mark.parametrize(
    "order",
    [order for count in range(5) for order in itertools.product(range(3), repeat=count)],
    ids=str,
)
def test_chunks_left_out_repeated_or_moved(order: tuple[int, ...]) -> None:
    stream = SEALED[:HEADER] + b"".join(CHUNKS[number] for number in order)
    if order == (0, 1, 2):
        assert opened(stream) == THREE_CHUNKS
        return
    with pytest.raises(StorageError):
        opened(stream)


def test_chunks_of_another_stream() -> None:
    other = sealed(THREE_CHUNKS)
    with pytest.raises(StorageError):
        opened(SEALED[: HEADER + SEALED_CHUNK] + other[HEADER + SEALED_CHUNK :])


def test_what_comes_after_the_end() -> None:
    with pytest.raises(StorageError):
        opened(SEALED + b"x")


@pytest.mark.parametrize("data", [b"", b"chatbot sealed 1", b"SQLite format 3\0" * 10])
def test_what_is_no_stream(data: bytes) -> None:
    with pytest.raises(StorageError, match="no backup"):
        opened(data)


def test_neither_side_holds_more_than_a_little() -> None:
    """A gigabyte goes through in pieces that are made and taken one by one."""
    alive = 0

    def pieces() -> Iterator[bytes]:
        nonlocal alive
        for _ in range(100):
            alive += 1
            yield bytes(CHUNK_BYTES)

    stream = seal(pieces(), PASSWORD, parameters=CHEAP)
    for taken, _ in enumerate(stream):
        assert alive <= taken + 2
    data = sealed(bytes(100 * CHUNK_BYTES))
    source = io.BytesIO(data)
    for number, _ in enumerate(unseal(source.read, PASSWORD), 2):
        assert source.tell() <= HEADER + number * SEALED_CHUNK
