from __future__ import annotations

import itertools
import json
import time
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chatbot.client.transport.json_stream import ArraySplitter, JsonStreamError

JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)
CUTS = st.lists(st.integers(0, 2000), max_size=30)
STRUCTURE = st.lists(st.sampled_from(list(b'[]{},:"\\ \n1a\xc3')), max_size=40).map(bytes)


def chunks(document: bytes, cuts: list[int]) -> list[bytes]:
    edges = [0, *sorted(min(cut, len(document)) for cut in cuts), len(document)]
    return [document[a:b] for a, b in itertools.pairwise(edges)]


def split(parts: list[bytes], splitter: ArraySplitter | None = None) -> list[bytes]:
    splitter = splitter or ArraySplitter()
    elements = [element for part in parts for element in splitter.feed(part)]
    splitter.finish()
    return elements


@settings(max_examples=50)
@given(st.lists(JSON), CUTS, st.sampled_from([None, 1, 4]), st.booleans())
def test_gives_what_json_gives(
    rows: list[Any], cuts: list[int], indent: int | None, ascii_only: bool
) -> None:
    document = json.dumps(rows, indent=indent, ensure_ascii=ascii_only).encode()
    assert [json.loads(element) for element in split(chunks(document, cuts))] == rows


def decode_whole(document: bytes) -> list[Any] | None:
    try:
        value = msgspec.json.decode(document)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return None
    return value if isinstance(value, list) else None


def decode_split(parts: list[bytes]) -> list[Any] | None:
    try:
        return [msgspec.json.decode(element) for element in split(parts)]
    except (JsonStreamError, msgspec.DecodeError, UnicodeDecodeError):
        return None


@given(STRUCTURE | JSON.map(lambda value: json.dumps(value).encode()), CUTS)
def test_accepts_exactly_what_is_valid_json(document: bytes, cuts: list[int]) -> None:
    assert decode_split(chunks(document, cuts)) == decode_whole(document)


@pytest.mark.parametrize("document", [b"", b" ", b"[", b"[1", b'["a]', b"[[1]", b'[{"a":"]"}'])
def test_an_array_that_ends_early_is_an_error(document: bytes) -> None:
    with pytest.raises(JsonStreamError, match="ends early"):
        split([document])


@pytest.mark.parametrize("document", [b'{"error":"x"}', b"null", b"Not found", b"[1] 2", b"[1}"])
def test_anything_but_one_array_is_an_error(document: bytes) -> None:
    with pytest.raises(JsonStreamError):
        split([document])


def test_an_element_too_long_is_dropped_and_counted() -> None:
    splitter = ArraySplitter(max_element=10)
    parts = [b"[1,", b'"', *[b"x" * 9] * 50, b'",2,"12345678","123456789"]']
    assert split(parts, splitter) == [b"1", b"2", b'"12345678"']
    assert splitter.dropped == 2


def test_an_endless_element_takes_no_memory() -> None:
    splitter = ArraySplitter(max_element=1000)
    splitter.feed(b"[[")
    for _ in range(200):
        assert splitter.feed(b'{"a":[' * 1000) == []
    assert len(splitter._element) <= 1000


def test_a_history_costs_microseconds_a_row() -> None:
    row = json.dumps({"id": "x" * 36, "content": json.dumps({"header": {"a": "b" * 300}})}).encode()
    document = b"[" + b",".join([row] * 5000) + b"]"
    started = time.process_time()
    assert len(split([document[i : i + 65536] for i in range(0, len(document), 65536)])) == 5000
    assert time.process_time() - started < 0.5
