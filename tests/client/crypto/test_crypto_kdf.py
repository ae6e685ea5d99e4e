"""The derivations, held against Python's `hmac`, RFC 5869 and the browser's own numbers."""

from __future__ import annotations

import hmac
from base64 import b64decode
from typing import Any

import pytest
from doubles import vectors
from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.crypto import kdf

keys = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("vector", vectors.load("kdf"))
def test_the_browsers_numbers(vector: dict[str, Any]) -> None:
    value = {name: b64decode(text) for name, text in vector.items()}
    chain_key = value["chainKey"]
    assert kdf.root_step(value["rootKey"], value["dhOutput"]) == (
        value["newRootKey"],
        value["chainKeyFromRoot"],
    )
    assert kdf.chain_step(chain_key) == (value["nextChainKey"], value["messageKey"])
    assert kdf.next_chain_key(chain_key) == value["nextChainKey"]
    assert kdf.message_key(chain_key) == value["messageKey"]


@pytest.mark.parametrize(
    ("key", "salt", "info", "output"),
    [
        (
            "0b" * 22,
            bytes(range(13)).hex(),
            bytes(range(0xF0, 0xFA)).hex(),
            "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
        ),
        (
            bytes(range(80)).hex(),
            bytes(range(0x60, 0xB0)).hex(),
            bytes(range(0xB0, 0x100)).hex(),
            (
                "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e"
                "590e09da3275600c2f09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87"
            ),
        ),
        (
            "0b" * 22,
            "",
            "",
            "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
        ),
    ],
)
def test_the_vectors_of_rfc_5869(key: str, salt: str, info: str, output: str) -> None:
    expected = bytes.fromhex(output)
    derived = kdf.hkdf(
        bytes.fromhex(key),
        salt=bytes.fromhex(salt),
        info=bytes.fromhex(info),
        length=len(expected),
    )
    assert derived == expected


@given(st.binary(max_size=200), st.binary(max_size=200), st.integers(1, 255 * 32))
def test_hkdf_is_made_of_hmacs(input_key: bytes, salt: bytes, length: int) -> None:
    key = hmac.digest(salt, input_key, "sha256")
    block = expected = b""
    while len(expected) < length:
        counter = len(expected) // 32 + 1
        block = hmac.digest(key, block + b"info" + bytes([counter]), "sha256")
        expected += block
    assert kdf.hkdf(input_key, salt=salt, info=b"info", length=length) == expected[:length]


@given(keys)
def test_chain_steps_are_hmacs(chain_key: bytes) -> None:
    next_chain_key = hmac.digest(chain_key, b"\x01", "sha256")
    message_key = hmac.digest(chain_key, b"\x02", "sha256")
    assert kdf.chain_step(chain_key) == (next_chain_key, message_key)
    assert kdf.next_chain_key(chain_key) == next_chain_key
    assert kdf.message_key(chain_key) == message_key


@given(keys, keys)
def test_a_root_step_is_one_hkdf(root_key: bytes, dh_output: bytes) -> None:
    output = kdf.hkdf(dh_output, salt=root_key, info=b"WhatsAppCloneRootKey", length=64)
    assert kdf.root_step(root_key, dh_output) == (output[:32], output[32:])
