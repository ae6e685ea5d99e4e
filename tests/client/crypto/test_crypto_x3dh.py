"""X3DH both ways, and what is refused before anything is computed with it."""

from __future__ import annotations

from base64 import b64decode, b64encode
from typing import Any

import msgspec
import pytest
from doubles import vectors
from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.crypto import x3dh
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing, OneTimePrekey, SignedPrekey
from chatbot.client.crypto.keys import KeyPair, generate_key_pair
from chatbot.client.crypto.message import X3DHHeader
from chatbot.client.crypto.x3dh import PrekeyBundle
from chatbot.client.exceptions import DecryptionError, IdentityError
from chatbot.wire import OneTimePrekeyBody, PrekeyBundleBody

LOW_ORDER = b64encode(bytes(32)).decode()


def bundle_of(ring: KeyRing) -> PrekeyBundleBody:
    """Publish a ring's newest signed prekey and its first one-time prekey."""
    upload = ring.upload_body(ring.current_signed_prekey, list(ring.one_time_prekeys.values()))
    return PrekeyBundleBody(
        upload.identity_key,
        upload.signing_key,
        upload.fingerprint,
        upload.signed_prekey,
        upload.one_time_prekeys[0] if upload.one_time_prekeys else None,
    )


@pytest.fixture
def ring() -> KeyRing:
    ring = KeyRing(Identity.generate())
    ring.new_signed_prekey(0)
    ring.new_one_time_prekeys(1, 0)
    return ring


@pytest.fixture
def alice() -> Identity:
    return Identity.generate()


class TestTheBrowsersVectors:
    @pytest.fixture(params=vectors.load("x3dh"))
    def vector(self, request: pytest.FixtureRequest) -> dict[str, Any]:
        vector: dict[str, Any] = request.param
        return vector

    @pytest.fixture
    def bundle(self, vector: dict[str, Any]) -> PrekeyBundle:
        return PrekeyBundle.from_body(msgspec.convert(vector["bundle"], PrekeyBundleBody))

    @pytest.fixture
    def ephemeral(self, vector: dict[str, Any]) -> KeyPair:
        ephemeral = KeyPair.from_secret(b64decode(vector["ephemeralSecretKey"]))
        assert ephemeral.public == b64decode(vector["ephemeralPublicKey"])
        return ephemeral

    @pytest.fixture
    def responder(self, vector: dict[str, Any]) -> KeyRing:
        signed, one_time = vector["bundle"]["signedPrekey"], vector["bundle"]["oneTimePrekey"]
        one_time_pair = KeyPair.from_secret(b64decode(vector["responderOneTimePrekeySecret"]))
        return vectors.key_ring(
            vector["responderSeed"],
            vectors.signed_prekey(signed | {"secretKey": vector["responderSignedPrekeySecret"]}),
            OneTimePrekey(one_time["keyId"], one_time_pair, created_at=0),
        )

    @pytest.mark.parametrize("use_one_time_prekey", [False, True])
    def test_both_sides(
        self,
        vector: dict[str, Any],
        bundle: PrekeyBundle,
        ephemeral: KeyPair,
        responder: KeyRing,
        *,
        use_one_time_prekey: bool,
    ) -> None:
        expected = vector[
            f"sharedSecret{'With' if use_one_time_prekey else 'Without'}OneTimePrekey"
        ]
        initiator = vectors.identity(vector["initiatorSeed"])
        secret, header = x3dh.initiate(
            initiator, bundle, use_one_time_prekey=use_one_time_prekey, ephemeral=ephemeral
        )
        assert secret == b64decode(expected)
        assert x3dh.respond(responder, header) == secret
        assert header == X3DHHeader(
            initiator.public_key,
            ephemeral.public,
            vector["bundle"]["signedPrekey"]["keyId"],
            vector["bundle"]["oneTimePrekey"]["keyId"] if use_one_time_prekey else None,
        )

    def test_the_fingerprint_is_our_own_computation(
        self, vector: dict[str, Any], bundle: PrekeyBundle
    ) -> None:
        assert bundle.fingerprint == vector["bundle"]["fingerprint"]
        lying = vector["bundle"] | {"fingerprint": "0" * 60}
        checked = PrekeyBundle.from_body(msgspec.convert(lying, PrekeyBundleBody))
        assert checked.fingerprint == bundle.fingerprint


class TestAgreement:
    def test_the_one_time_prekey_is_left_out_unless_asked_for(
        self, ring: KeyRing, alice: Identity
    ) -> None:
        bundle = PrekeyBundle.from_body(bundle_of(ring))
        assert bundle.one_time_prekey is not None
        secret, header = x3dh.initiate(alice, bundle)
        assert header.used_one_time_prekey_id is None
        assert x3dh.respond(ring, header) == secret

    def test_no_one_time_prekey_is_no_obstacle(self, ring: KeyRing, alice: Identity) -> None:
        ring.one_time_prekeys.clear()
        bundle = PrekeyBundle.from_body(bundle_of(ring))
        secret, header = x3dh.initiate(alice, bundle, use_one_time_prekey=True)
        assert header.used_one_time_prekey_id is None
        assert x3dh.respond(ring, header) == secret

    def test_every_call_has_its_own_ephemeral_key(self, ring: KeyRing, alice: Identity) -> None:
        bundle = PrekeyBundle.from_body(bundle_of(ring))
        assert x3dh.initiate(alice, bundle) != x3dh.initiate(alice, bundle)

    def test_a_former_signed_prekey_still_answers(self, ring: KeyRing, alice: Identity) -> None:
        secret, header = x3dh.initiate(alice, PrekeyBundle.from_body(bundle_of(ring)))
        ring.new_signed_prekey(1)
        assert x3dh.respond(ring, header) == secret

    def test_the_ring_is_left_as_it_is(self, ring: KeyRing, alice: Identity) -> None:
        bundle = PrekeyBundle.from_body(bundle_of(ring))
        _, header = x3dh.initiate(alice, bundle, use_one_time_prekey=True)
        before = dict(ring.one_time_prekeys)
        assert x3dh.respond(ring, header) == x3dh.respond(ring, header)
        assert ring.one_time_prekeys == before

    def test_every_key_matters(self, ring: KeyRing, alice: Identity) -> None:
        bundle = PrekeyBundle.from_body(bundle_of(ring))
        secret, header = x3dh.initiate(alice, bundle, use_one_time_prekey=True)
        other = generate_key_pair().public
        for change in (
            {"sender_identity_key": other},
            {"sender_ephemeral_key": other},
            {"used_one_time_prekey_id": None},
        ):
            assert x3dh.respond(ring, msgspec.structs.replace(header, **change)) != secret


class TestRefusedHeaders:
    @pytest.mark.parametrize(
        "change", [{"used_signed_prekey_id": 99}, {"used_one_time_prekey_id": 99}]
    )
    def test_prekeys_we_do_not_hold(
        self, ring: KeyRing, alice: Identity, change: dict[str, int]
    ) -> None:
        _, header = x3dh.initiate(alice, PrekeyBundle.from_body(bundle_of(ring)))
        with pytest.raises(DecryptionError, match="prekey 99") as raised:
            x3dh.respond(ring, msgspec.structs.replace(header, **change))
        assert raised.value.reason == "unknown-prekey"

    @pytest.mark.parametrize("name", ["sender_identity_key", "sender_ephemeral_key"])
    def test_keys_of_low_order(self, ring: KeyRing, alice: Identity, name: str) -> None:
        _, header = x3dh.initiate(alice, PrekeyBundle.from_body(bundle_of(ring)))
        with pytest.raises(DecryptionError) as raised:
            x3dh.respond(ring, msgspec.structs.replace(header, **{name: bytes(32)}))
        assert raised.value.reason == "malformed"


class TestRefusedBundles:
    def test_without_a_signed_prekey(self, ring: KeyRing) -> None:
        body = bundle_of(ring)
        body.signed_prekey = None
        with pytest.raises(IdentityError, match="signed_prekey"):
            PrekeyBundle.from_body(body)

    def test_signed_by_somebody_else(self, ring: KeyRing) -> None:
        body = bundle_of(ring)
        body.signing_key = b64encode(Identity.generate().signing_key).decode()
        with pytest.raises(IdentityError, match="not genuine"):
            PrekeyBundle.from_body(body)

    def test_with_another_prekey_than_the_signed_one(self, ring: KeyRing) -> None:
        body = bundle_of(ring)
        assert body.signed_prekey is not None
        body.signed_prekey.public_key = b64encode(generate_key_pair().public).decode()
        with pytest.raises(IdentityError, match="not genuine"):
            PrekeyBundle.from_body(body)

    @pytest.mark.parametrize("place", ["identity", "signed", "one-time"])
    @pytest.mark.parametrize("text", ["", "x", LOW_ORDER, LOW_ORDER[:-1], "QUJD"])
    def test_with_keys_that_are_none(self, ring: KeyRing, place: str, text: str) -> None:
        body = bundle_of(ring)
        assert body.signed_prekey is not None
        if place == "identity":
            body.identity_key = text
        elif place == "signed":
            body.signed_prekey.public_key = text
        else:
            body.one_time_prekey = OneTimePrekeyBody(9, text)
        with pytest.raises(IdentityError, match="cannot be used"):
            PrekeyBundle.from_body(body)

    @pytest.mark.parametrize("text", ["", "x", LOW_ORDER])
    def test_with_a_signature_that_is_none(self, ring: KeyRing, text: str) -> None:
        body = bundle_of(ring)
        assert body.signed_prekey is not None
        body.signed_prekey.signature = text
        with pytest.raises(IdentityError, match="signature"):
            PrekeyBundle.from_body(body)

    @given(st.tuples(*[st.text()] * 4))
    def test_with_anything_else_in_it(self, texts: tuple[str, str, str, str]) -> None:
        ring = KeyRing(Identity.generate())
        ring.new_signed_prekey(0)
        body = bundle_of(ring)
        assert body.signed_prekey is not None
        body.identity_key, body.signing_key = texts[:2]
        body.signed_prekey.public_key, body.signed_prekey.signature = texts[2:]
        with pytest.raises(IdentityError):
            PrekeyBundle.from_body(body)


def test_prekeys_do_not_show_their_secrets(ring: KeyRing) -> None:
    prekeys: list[SignedPrekey | OneTimePrekey] = [
        *ring.signed_prekeys.values(),
        *ring.one_time_prekeys.values(),
    ]
    for shown in (repr(ring), *map(repr, prekeys)):
        for prekey in prekeys:
            assert repr(prekey.key_pair.secret) not in shown
            assert prekey.key_pair.secret.hex() not in shown
