"""Identities: one seed, both key pairs, and the digits people compare."""

from __future__ import annotations

import string
from base64 import b64decode
from typing import Any

import pytest
from doubles import vectors
from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.crypto.identity import (
    Identity,
    fingerprint,
    format_fingerprint,
    normalize_fingerprint,
    verify_signature,
)
from chatbot.client.crypto.keys import KeyPair
from chatbot.client.exceptions import ValidationError

seeds = st.binary(min_size=32, max_size=32)


@pytest.mark.parametrize("vector", vectors.load("identity"))
class TestTheBrowsersIdentities:
    def test_keys_and_fingerprint_follow_from_the_seed(self, vector: dict[str, Any]) -> None:
        identity = vectors.identity(vector["seed"])
        assert identity.public_key == b64decode(vector["x25519PublicKey"])
        assert identity.signing_key == b64decode(vector["signingPublicKey"])
        assert identity.fingerprint == vector["fingerprint"]

    def test_signs_prekeys_with_the_same_bytes(self, vector: dict[str, Any]) -> None:
        identity = vectors.identity(vector["seed"])
        prekey = vectors.signed_prekey(vector["signedPrekey"])
        assert KeyPair.from_secret(prekey.key_pair.secret) == prekey.key_pair
        assert identity.sign(prekey.key_pair.public) == prekey.signature
        assert verify_signature(identity.signing_key, prekey.key_pair.public, prekey.signature)


def test_a_new_one_is_made_of_the_randomness_given() -> None:
    assert Identity.generate(lambda count: b"\x05" * count) == Identity.from_seed(b"\x05" * 32)
    assert Identity.generate() != Identity.generate()


def test_the_x25519_secret_is_the_seed_itself() -> None:
    identity = Identity.generate()
    assert identity.key_pair == KeyPair.from_secret(identity.seed)


@pytest.mark.parametrize("length", [0, 31, 33, 64])
def test_a_seed_of_another_length_is_refused(length: int) -> None:
    with pytest.raises(ValidationError, match=f"32 bytes, not {length}"):
        Identity.from_seed(bytes(length))


def test_the_seed_is_not_shown() -> None:
    identity = Identity.generate()
    assert identity.fingerprint in repr(identity)
    assert identity.seed.hex() not in repr(identity)
    assert repr(identity.seed) not in repr(identity)


class TestSignatures:
    @given(seeds, st.binary(max_size=100), st.integers(0, 63), st.integers(1, 255))
    def test_one_changed_byte_is_noticed(
        self, seed: bytes, data: bytes, place: int, change: int
    ) -> None:
        identity = Identity.from_seed(seed)
        signature = bytearray(identity.sign(data))
        assert verify_signature(identity.signing_key, data, bytes(signature))
        signature[place] ^= change
        assert not verify_signature(identity.signing_key, data, bytes(signature))

    def test_belong_to_one_key_and_one_text(self) -> None:
        identity, other = Identity.generate(), Identity.generate()
        signature = identity.sign(b"data")
        assert not verify_signature(identity.signing_key, b"date", signature)
        assert not verify_signature(other.signing_key, b"data", signature)

    @pytest.mark.parametrize("length", [0, 63, 65])
    def test_of_another_length_are_none(self, length: int) -> None:
        identity = Identity.generate()
        signature = (identity.sign(b"ta") + b"ta")[:length]
        assert not verify_signature(identity.signing_key, b"", signature)
        assert not verify_signature(identity.signing_key, b"data", bytes(length))

    def test_under_a_key_of_another_length_are_none(self) -> None:
        identity = Identity.generate()
        assert not verify_signature(identity.signing_key[:31], b"data", identity.sign(b"data"))


class TestFingerprints:
    @given(seeds, st.integers(0, 2**32))
    def test_are_read_in_any_spacing_and_case(self, public_key: bytes, seed: int) -> None:
        bare = fingerprint(public_key)
        assert len(bare) == 60
        typed = "".join(
            (digit.lower() if seed >> (i % 32) & 1 else digit)
            + ("", " ", "\n", "-", ":", "\u00a0")[(seed + i) % 6]
            for i, digit in enumerate(bare)
        )
        assert normalize_fingerprint(typed) == bare

    def test_are_shown_in_groups_of_five(self) -> None:
        shown = format_fingerprint(fingerprint(bytes(32)))
        groups = shown.split(" ")
        assert [len(group) for group in groups] == [5] * 12
        assert normalize_fingerprint(shown) == "".join(groups)

    @pytest.mark.parametrize(
        "text", ["", "A" * 59, "A" * 61, "G" + "A" * 59, "A" * 59 + "\u0661", "0x" + "A" * 58]
    )
    def test_anything_else_is_refused(self, text: str) -> None:
        with pytest.raises(ValidationError, match="60 hexadecimal digits"):
            normalize_fingerprint(text)

    def test_are_uppercase_hex(self) -> None:
        assert set(fingerprint(b"\x01" * 32)) <= set(string.digits + "ABCDEF")
