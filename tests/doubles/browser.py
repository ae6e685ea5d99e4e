"""The browser client's encryption as PROTOCOL.md 4 describes it, faults included.

It holds one session per peer and replaces it on every `x3dh`; it changes the session before the tag
is checked; it forgets skipped keys at a DH step; it fetches the bundle for every message and opens
a new session when the signed prekey's id is not the one it has noted, which in a session that the
peer opened is its own. Its cryptography is its own, too: nothing here is ours but the primitives.
No I/O and no clock: bundles are handed in.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from nacl.bindings import (
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_secretbox,
    crypto_secretbox_open,
)
from nacl.exceptions import CryptoError
from nacl.signing import SigningKey, VerifyKey

RandomBytes = Callable[[int], bytes]

MAX_SKIP = 1000
_ZEROS = bytes(32)


class UndecryptableError(Exception):
    """What the browser shows as a message that could not be decrypted."""


@dataclass
class _Session:
    """One ratchet, as the browser keeps it."""

    root: bytes
    signed_prekey_id: int
    sending: bytes | None = None
    receiving: bytes | None = None
    own: tuple[bytes, bytes] | None = None  # secret, public
    remote: bytes | None = None
    sent: int = 0
    received: int = 0
    previous: int = 0
    skipped: dict[int, bytes] = field(default_factory=dict)
    x3dh: dict[str, Any] | None = None


class Browser:
    """One account in one browser.

    Args:
        random: where its keys and nonces come from.
        first_key_id: of its prekeys; a browser's is 1.
    """

    def __init__(self, *, random: RandomBytes = os.urandom, first_key_id: int = 1) -> None:
        self._random = random
        self._first_key_id = first_key_id
        self.reset()

    # ------------------------------------------------------------ keys

    def reset(self) -> None:
        """Begin anew: another identity, and the same key ids again."""
        self._seed = self._random(32)
        self._signing = SigningKey(self._seed)
        self._next_id = self._first_key_id
        self._signed: dict[int, bytes] = {}
        self._one_time: dict[int, bytes] = {}
        self._sessions: dict[str, _Session] = {}
        self.rotate()

    def forget_sessions(self) -> None:
        """Lose what it knows of its conversations, and keep its keys."""
        self._sessions.clear()

    def rotate(self) -> None:
        """Make a new signed prekey; the old ones still open what was sent to them."""
        self._signed_id = self._take_id()
        self._signed[self._signed_id] = self._random(32)

    def refill(self, count: int) -> list[int]:
        """Make one-time prekeys; their ids."""
        ids = [self._take_id() for _ in range(count)]
        self._one_time |= {key_id: self._random(32) for key_id in ids}
        return ids

    def upload(self, one_time: list[int] | None = None) -> dict[str, Any]:
        """The body of POST /api/users/prekeys."""
        public = crypto_scalarmult_base(self._signed[self._signed_id])
        return {
            "identityKey": _b64(self.identity_key),
            "signingKey": _b64(bytes(self._signing.verify_key)),
            "fingerprint": hashlib.sha256(self.identity_key).hexdigest().upper()[:60],
            "signedPrekey": {
                "keyId": self._signed_id,
                "publicKey": _b64(public),
                "signature": _b64(self._signing.sign(public).signature),
            },
            "oneTimePrekeys": [
                {"keyId": i, "publicKey": _b64(crypto_scalarmult_base(self._one_time[i]))}
                for i in one_time or ()
            ],
        }

    @property
    def identity_key(self) -> bytes:
        """Its X25519 identity key (32 bytes)."""
        return crypto_scalarmult_base(self._seed)

    def _take_id(self) -> int:
        self._next_id += 1
        return self._next_id - 1

    # ------------------------------------------------------------ sending

    def encrypt(self, peer: str, text: str, bundle: dict[str, Any]) -> str:
        """The content of its next message to a peer whose bundle it has just fetched."""
        session = self._sessions.get(peer)
        if session is None or session.signed_prekey_id != bundle["signedPrekey"]["keyId"]:
            session = self._sessions[peer] = self._initiate(bundle)
        if session.sending is None:
            self._start_sending(session)
        assert session.own is not None
        assert session.sending is not None
        key, session.sending = _chain_step(session.sending)
        nonce = self._random(24)
        content: dict[str, Any] = {
            "header": {
                "ratchetKey": _b64(session.own[1]),
                "previousChainLength": session.previous,
                "messageNumber": session.sent,
            },
            "ciphertext": _b64(nonce + crypto_secretbox(text.encode(), nonce, key)),
            "authTag": "",
        }
        session.sent += 1
        if session.x3dh is not None:
            content["x3dh"], session.x3dh = session.x3dh, None
        return json.dumps(content)

    def _initiate(self, bundle: dict[str, Any]) -> _Session:
        identity, signed = b64decode(bundle["identityKey"]), bundle["signedPrekey"]
        prekey = b64decode(signed["publicKey"])
        VerifyKey(b64decode(bundle["signingKey"])).verify(prekey, b64decode(signed["signature"]))
        ephemeral = self._random(32)
        secret = _hkdf(
            crypto_scalarmult(self._seed, prekey)
            + crypto_scalarmult(ephemeral, identity)
            + crypto_scalarmult(ephemeral, prekey),
            _ZEROS,
            b"WHATSAPP-CLONE-X3DH",
            32,
        )
        root, chain = _root_step(secret, _ZEROS)
        session = _Session(root, signed["keyId"], sending=chain, own=self._pair())
        session.x3dh = {
            "senderIdentityKey": _b64(self.identity_key),
            "senderEphemeralKey": _b64(crypto_scalarmult_base(ephemeral)),
            "usedSignedPrekeyId": signed["keyId"],
        }
        return session

    def _start_sending(self, session: _Session) -> None:
        assert session.remote is not None
        session.own = self._pair()
        shared = crypto_scalarmult(session.own[0], session.remote)
        session.root, session.sending = _root_step(session.root, shared)

    def _pair(self) -> tuple[bytes, bytes]:
        secret = self._random(32)
        return secret, crypto_scalarmult_base(secret)

    # ------------------------------------------------------------ receiving

    def decrypt(self, peer: str, content: str) -> str:
        """The text of a message, however little is left of the session afterwards.

        Raises:
            UndecryptableError: it cannot be read.
        """
        message = json.loads(content)
        b64decode(message["authTag"])  # unconditionally
        header = message["header"]
        remote = b64decode(header["ratchetKey"])
        if "x3dh" in message:
            self._sessions[peer] = self._respond(message["x3dh"], remote)
        session = self._sessions.get(peer)
        if session is None:
            raise UndecryptableError("no session")
        if remote != session.remote:
            self._step(session, remote)
        box = b64decode(message["ciphertext"])
        key = self._message_key(session, header["messageNumber"])
        try:
            return crypto_secretbox_open(box[24:], box[:24], key).decode()
        except CryptoError:
            raise UndecryptableError("the tag does not verify") from None

    def _respond(self, x3dh: dict[str, Any], remote: bytes) -> _Session:
        signed = self._signed.get(x3dh["usedSignedPrekeyId"])
        if signed is None:
            raise UndecryptableError("an unknown signed prekey")
        identity, ephemeral = (
            b64decode(x3dh[name]) for name in ("senderIdentityKey", "senderEphemeralKey")
        )
        shared = (
            crypto_scalarmult(signed, identity)
            + crypto_scalarmult(self._seed, ephemeral)
            + crypto_scalarmult(signed, ephemeral)
        )
        if "usedOneTimePrekeyId" in x3dh:
            one_time = self._one_time.pop(x3dh["usedOneTimePrekeyId"], None)
            if one_time is None:
                raise UndecryptableError("an unknown one-time prekey")
            shared += crypto_scalarmult(one_time, ephemeral)
        root, chain = _root_step(_hkdf(shared, _ZEROS, b"WHATSAPP-CLONE-X3DH", 32), _ZEROS)
        return _Session(root, x3dh["usedSignedPrekeyId"], receiving=chain, remote=remote)

    def _step(self, session: _Session, remote: bytes) -> None:
        if session.own is None:
            raise UndecryptableError("a ratchet key before it ever sent")
        session.skipped.clear()
        session.remote = remote
        session.root, session.receiving = _root_step(
            session.root, crypto_scalarmult(session.own[0], remote)
        )
        session.previous, session.sent, session.received = session.sent, 0, 0
        self._start_sending(session)

    def _message_key(self, session: _Session, number: int) -> bytes:
        if number in session.skipped:
            return session.skipped.pop(number)
        if session.receiving is None or number - session.received > MAX_SKIP:
            raise UndecryptableError("too far ahead")
        if number < session.received:
            raise UndecryptableError("its key was used")
        while session.received < number:
            key, session.receiving = _chain_step(session.receiving)
            session.skipped[session.received] = key
            session.received += 1
        key, session.receiving = _chain_step(session.receiving)
        session.received += 1
        return key


def _b64(data: bytes) -> str:
    return b64encode(data).decode()


def _chain_step(chain: bytes) -> tuple[bytes, bytes]:
    """The message key, and the chain's next key."""
    return hmac.digest(chain, b"\x02", "sha256"), hmac.digest(chain, b"\x01", "sha256")


def _root_step(root: bytes, shared: bytes) -> tuple[bytes, bytes]:
    output = _hkdf(shared, root, b"WhatsAppCloneRootKey", 64)
    return output[:32], output[32:]


def _hkdf(key: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    secret = hmac.digest(salt, key, "sha256")
    output = block = b""
    while len(output) < length:
        block = hmac.digest(secret, block + info + bytes([len(output) // 32 + 1]), "sha256")
        output += block
    return output[:length]
