"""X25519: what two keys agree on, and which keys nobody may agree with."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.crypto.keys import (
    KeyPair,
    check_public_key,
    diffie_hellman,
    generate_key_pair,
)
from chatbot.client.exceptions import DecryptionError, ValidationError

secrets = st.binary(min_size=32, max_size=32)
wrong_lengths = st.binary(max_size=64).filter(lambda key: len(key) != 32)

PRIME = 2**255 - 19
LOW_ORDER = [
    0,
    1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
    PRIME - 1,
    PRIME,
    PRIME + 1,
]


def test_the_vector_of_rfc_7748() -> None:
    bob = KeyPair.from_secret(
        bytes.fromhex("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb")
    )
    alice = bytes.fromhex("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a")
    shared = bytes.fromhex("4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742")
    assert bob.public == bytes.fromhex(
        "de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f"
    )
    assert diffie_hellman(bob.secret, alice) == shared


@given(secrets, secrets)
def test_both_sides_agree(one: bytes, other: bytes) -> None:
    alice, bob = KeyPair.from_secret(one), KeyPair.from_secret(other)
    assert diffie_hellman(one, bob.public) == diffie_hellman(other, alice.public)


def test_a_pair_is_made_of_the_randomness_given() -> None:
    assert generate_key_pair(lambda count: b"\x07" * count) == KeyPair.from_secret(b"\x07" * 32)
    assert generate_key_pair() != generate_key_pair()


@pytest.mark.parametrize("point", LOW_ORDER)
@pytest.mark.parametrize("high_bit", [0, 1])
def test_points_of_low_order_are_refused(point: int, high_bit: int) -> None:
    public = (point | high_bit << 255).to_bytes(32, "little")
    with pytest.raises(DecryptionError) as raised:
        diffie_hellman(generate_key_pair().secret, public)
    assert raised.value.reason == "malformed"
    with pytest.raises(DecryptionError):
        check_public_key(public)


@given(secrets)
def test_every_public_half_of_a_pair_is_fit_for_use(secret: bytes) -> None:
    check_public_key(KeyPair.from_secret(secret).public)


@given(wrong_lengths)
def test_keys_of_another_length_are_refused(key: bytes) -> None:
    pair = generate_key_pair()
    for secret, public in ((key, pair.public), (pair.secret, key)):
        with pytest.raises(DecryptionError) as raised:
            diffie_hellman(secret, public)
        assert raised.value.reason == "malformed"
    with pytest.raises(ValidationError):
        KeyPair.from_secret(key)


def test_a_stored_pair_comes_back_and_its_lengths_are_checked() -> None:
    pair = generate_key_pair()
    stored = msgspec.msgpack.encode(pair)
    assert msgspec.msgpack.decode(stored, type=KeyPair) == pair
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgspec.msgpack.encode((pair.public, b"short")), type=KeyPair)


def test_the_secret_is_not_shown() -> None:
    pair = generate_key_pair()
    assert pair.public.hex() in repr(pair)
    assert pair.secret.hex() not in repr(pair)
    assert repr(pair.secret) not in repr(pair)
