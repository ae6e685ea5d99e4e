"""X3DH, the key agreement that opens a session (PROTOCOL.md 1 and 4.1.4)."""

from __future__ import annotations

from typing import Annotated, Final, TypeAlias

import msgspec
from msgspec import Meta, Struct

from chatbot.client.exceptions import DecryptionError, IdentityError
from chatbot.wire import PrekeyBundleBody

from .identity import SIGNATURE_BYTES, Identity, fingerprint, verify_signature
from .kdf import HASH_BYTES, hkdf
from .key_manager import KeyRing
from .keys import Key, KeyPair, check_public_key, diffie_hellman, generate_key_pair
from .message import X3DHHeader

Signature: TypeAlias = Annotated[
    bytes, Meta(min_length=SIGNATURE_BYTES, max_length=SIGNATURE_BYTES)
]

_INFO: Final = b"WHATSAPP-CLONE-X3DH"


class PublishedSignedPrekey(Struct, frozen=True, gc=False):
    """A peer's signed prekey: its id, X25519 public key (32 bytes) and signature (64 bytes)."""

    key_id: int
    public_key: Key
    signature: Signature


class PublishedOneTimePrekey(Struct, frozen=True, gc=False):
    """A peer's one-time prekey: its id and X25519 public key (32 bytes)."""

    key_id: int
    public_key: Key


class PrekeyBundle(Struct, frozen=True, gc=False):
    """What a peer publishes, so that others can write to it while it is away.

    Make one with `from_body`, which checks it.

    Attributes:
        identity_key: X25519, 32 bytes.
        signing_key: Ed25519, 32 bytes.
        signed_prekey: its signature is the signing key's.
        one_time_prekey: None where the backend had none left.
    """

    identity_key: Key
    signing_key: Key
    signed_prekey: PublishedSignedPrekey
    one_time_prekey: PublishedOneTimePrekey | None = None

    @property
    def fingerprint(self) -> str:
        """Of the identity key. What the backend calls the fingerprint is not believed."""
        return fingerprint(self.identity_key)

    @staticmethod
    def from_body(body: PrekeyBundleBody) -> PrekeyBundle:
        """Decode and check what the backend handed out.

        Raises:
            IdentityError: there is no signed prekey, a key is malformed or of low order, or the
                signature is not genuine.
        """
        try:
            bundle = msgspec.convert(body, PrekeyBundle, from_attributes=True)
            _check_points(bundle)
        except (msgspec.ValidationError, DecryptionError) as error:
            raise IdentityError(f"the peer's prekey bundle cannot be used: {error}") from None
        signed = bundle.signed_prekey
        if not verify_signature(bundle.signing_key, signed.public_key, signed.signature):
            raise IdentityError("the signature in the peer's prekey bundle is not genuine")
        return bundle


def _check_points(bundle: PrekeyBundle) -> None:
    check_public_key(bundle.identity_key)
    check_public_key(bundle.signed_prekey.public_key)
    if bundle.one_time_prekey is not None:
        check_public_key(bundle.one_time_prekey.public_key)


def initiate(
    identity: Identity,
    bundle: PrekeyBundle,
    *,
    use_one_time_prekey: bool = False,
    ephemeral: KeyPair | None = None,
) -> tuple[bytes, X3DHHeader]:
    """Agree on a secret with a peer that is not there.

    Args:
        identity: our own.
        bundle: the peer's.
        use_one_time_prekey: whether to mix in DH4, where the bundle has a one-time prekey. The
            backend may hand out one that the peer no longer has, so the default is not to.
        ephemeral: a pair of its own for every call; by default a new one.

    Returns:
        The shared secret (32 bytes), and the header that tells the peer how to get at it.
    """
    ephemeral = ephemeral or generate_key_pair()
    signed, one_time = bundle.signed_prekey, bundle.one_time_prekey
    secret = (
        diffie_hellman(identity.seed, signed.public_key)
        + diffie_hellman(ephemeral.secret, bundle.identity_key)
        + diffie_hellman(ephemeral.secret, signed.public_key)
    )
    if not use_one_time_prekey or one_time is None:
        header = X3DHHeader(identity.public_key, ephemeral.public, signed.key_id)
        return _derive(secret), header
    secret += diffie_hellman(ephemeral.secret, one_time.public_key)
    header = X3DHHeader(identity.public_key, ephemeral.public, signed.key_id, one_time.key_id)
    return _derive(secret), header


def respond(key_ring: KeyRing, header: X3DHHeader) -> bytes:
    """Agree on the secret (32 bytes) that the initiator already has.

    The key ring is left as it is: a one-time prekey is deleted only once a message has verified.

    Raises:
        DecryptionError: a prekey is not, or no longer, ours (reason `unknown-prekey`), or one of
            the initiator's keys is of low order (`malformed`).
    """
    signed_prekey = key_ring.signed_prekeys.get(header.used_signed_prekey_id)
    if signed_prekey is None:
        raise _unknown_prekey("signed", header.used_signed_prekey_id)
    signed = signed_prekey.key_pair.secret
    secret = (
        diffie_hellman(signed, header.sender_identity_key)
        + diffie_hellman(key_ring.identity.seed, header.sender_ephemeral_key)
        + diffie_hellman(signed, header.sender_ephemeral_key)
    )
    if header.used_one_time_prekey_id is None:
        return _derive(secret)
    one_time = key_ring.one_time_prekeys.get(header.used_one_time_prekey_id)
    if one_time is None:
        raise _unknown_prekey("one-time", header.used_one_time_prekey_id)
    return _derive(secret + diffie_hellman(one_time.key_pair.secret, header.sender_ephemeral_key))


def _derive(secret: bytes) -> bytes:
    return hkdf(secret, salt=bytes(HASH_BYTES), info=_INFO, length=HASH_BYTES)


def _unknown_prekey(kind: str, key_id: int) -> DecryptionError:
    return DecryptionError(
        f"the message was opened with {kind} prekey {key_id}, which is not ours or is deleted",
        reason="unknown-prekey",
    )
