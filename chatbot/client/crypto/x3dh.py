"""X3DH (Marlinspike and Perrin, 2016) in the variant of PROTOCOL.md 1."""

from __future__ import annotations

from msgspec import Struct

from chatbot.client.exceptions import DecryptionError, IdentityError
from chatbot.wire import PrekeyBundleBody

from .identity import SIGNATURE_BYTES, Identity, verify_signature
from .kdf import x3dh_secret
from .key_manager import KeyRing
from .keys import KEY_BYTES, KeyPair, diffie_hellman, generate_key_pair
from .message import X3DHHeader, decode_base64


class PrekeyBundle(Struct, frozen=True):
    """What a user has published, checked: lengths, and the signed prekey's signature.

    Attributes:
        identity_key: the X25519 identity key (32 bytes).
        signing_key: the Ed25519 key (32 bytes).
        one_time_prekey_id: with its key, where the backend had one to give.
    """

    identity_key: bytes
    signing_key: bytes
    signed_prekey_id: int
    signed_prekey: bytes
    one_time_prekey_id: int | None = None
    one_time_prekey: bytes | None = None

    @classmethod
    def from_body(cls, body: PrekeyBundleBody) -> PrekeyBundle:
        """Check what the backend answered.

        Raises:
            IdentityError: there is no signed prekey, a key is malformed, or the signature is not
                the identity's.
        """
        if body.signed_prekey is None:
            raise IdentityError("the bundle has no signed prekey")
        one_time = body.one_time_prekey
        try:
            bundle = cls(
                _key(body.identity_key),
                _key(body.signing_key),
                body.signed_prekey.key_id,
                _key(body.signed_prekey.public_key),
                None if one_time is None else one_time.key_id,
                None if one_time is None else _key(one_time.public_key),
            )
            signature = decode_base64(body.signed_prekey.signature)
        except DecryptionError as error:
            raise IdentityError(f"the bundle is malformed: {error}") from error
        if len(signature) != SIGNATURE_BYTES or not verify_signature(
            bundle.signing_key, bundle.signed_prekey, signature
        ):
            raise IdentityError("the signed prekey's signature is not the identity's")
        return bundle


def initiate(
    identity: Identity,
    bundle: PrekeyBundle,
    *,
    use_one_time_prekey: bool = False,
    ephemeral: KeyPair | None = None,
) -> tuple[bytes, X3DHHeader]:
    """Compute SK (32 bytes) as the initiator, and the header that lets the responder do so.

    Args:
        use_one_time_prekey: whether DH4 takes part. Off by default: the backend hands out stale
            one-time prekeys, and a responder without the secret could never read the message.
        ephemeral: a fresh key pair; made here if it is not given.

    Raises:
        DecryptionError: a key of the bundle is of low order.
    """
    ephemeral = ephemeral or generate_key_pair()
    secret = identity.key_pair.secret
    shared = [
        diffie_hellman(secret, bundle.signed_prekey),
        diffie_hellman(ephemeral.secret, bundle.identity_key),
        diffie_hellman(ephemeral.secret, bundle.signed_prekey),
    ]
    one_time_prekey_id = None
    if use_one_time_prekey and bundle.one_time_prekey is not None:
        one_time_prekey_id = bundle.one_time_prekey_id
        shared.append(diffie_hellman(ephemeral.secret, bundle.one_time_prekey))
    header = X3DHHeader(
        identity.public_key, ephemeral.public, bundle.signed_prekey_id, one_time_prekey_id
    )
    return x3dh_secret(*shared), header


def respond(key_ring: KeyRing, header: X3DHHeader) -> bytes:
    """Compute SK (32 bytes) as the responder.

    Raises:
        DecryptionError: it names a prekey that we do not hold (any more), or holds a key of low
            order.
    """
    signed_prekey = key_ring.signed_prekeys.get(header.used_signed_prekey_id)
    if signed_prekey is None:
        raise DecryptionError("the x3dh names an unknown signed prekey", reason="unknown-prekey")
    shared = [
        diffie_hellman(signed_prekey.key_pair.secret, header.sender_identity_key),
        diffie_hellman(key_ring.identity.key_pair.secret, header.sender_ephemeral_key),
        diffie_hellman(signed_prekey.key_pair.secret, header.sender_ephemeral_key),
    ]
    if header.used_one_time_prekey_id is not None:
        one_time = key_ring.one_time_prekeys.get(header.used_one_time_prekey_id)
        if one_time is None:
            raise DecryptionError(
                "the x3dh names an unknown one-time prekey", reason="unknown-prekey"
            )
        shared.append(diffie_hellman(one_time.key_pair.secret, header.sender_ephemeral_key))
    return x3dh_secret(*shared)


def _key(text: str) -> bytes:
    key = decode_base64(text)
    if len(key) != KEY_BYTES or not any(key):
        raise DecryptionError("not a 32-byte key", reason="malformed")
    return key
