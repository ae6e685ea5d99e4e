"""Sessions of the browser client, taken over and handed out (PROTOCOL.md 5, SRS Appendix B).

Three shapes are read: `JSON.stringify` of the browser's session record, whose byte arrays are
index maps `{"0": 12, "1": 7, …}`; its raw IndexedDB row, whose bytes are base64; and our own
export, which is the second one with nothing encrypted.
"""

from __future__ import annotations

from base64 import b64encode
from typing import Any, Final, TypeVar

import msgspec
from msgspec import Struct

from chatbot.client.exceptions import DecryptionError, ValidationError
from chatbot.wire import KeyId, Timestamp

from .identity import fingerprint, normalize_fingerprint
from .kdf import HASH_BYTES, hkdf
from .keys import KEY_BYTES, KeyPair, check_public_key
from .message import Counter
from .ratchet import RatchetState, start_initiator, start_responder
from .session import MAX_SKIPPED_KEYS, Session, SessionHead, SkippedId

T = TypeVar("T", bound=Struct)

_MAX_SIZE: Final = 2_000_000
_RESPONDER_ID: Final = "session-"
"""How the browser's ids of sessions begin that it did not open itself."""

_ID_INFO: Final = b"chatbot imported session"


class _Pair(Struct, rename="camel"):
    public_key: Any
    secret_key: Any = None


class _X3DHData(Struct, rename="camel"):
    local_ephemeral_key: Any = None


class _Record(Struct, rename="camel"):
    peer_id: str
    session_id: str
    remote_identity_key: Any
    remote_signed_prekey: Any = None
    remote_signed_prekey_id: KeyId | None = None
    remote_fingerprint: str | None = None
    root_key: Any = None
    local_ephemeral_key_pair: _Pair | None = None
    used_one_time_prekey_id: KeyId | None = None
    created_at: Timestamp | None = None
    ratchet_state: str | None = None
    x3dh_data: _X3DHData | str | None = None

    @property
    def opened_by_us(self) -> bool:
        return not self.session_id.startswith(_RESPONDER_ID)


class _Ratchet(Struct, rename="camel"):
    root_key: Any
    sending_chain_key: Any = None
    receiving_chain_key: Any = None
    dh_ratchet_key_pair: _Pair | None = None
    dh_ratchet_remote_key: Any = None
    sending_chain_length: Counter = 0
    receiving_chain_length: Counter = 0
    previous_sending_chain_length: Counter = 0
    skipped_message_keys: list[tuple[str, Any]] = []


def import_session(text: str, *, peer_id: str, now: int) -> Session:
    """Read a session that somebody else led until now. That somebody must stop using it.

    Args:
        text: JSON in one of the three shapes.
        peer_id: whom the session has to be with.
        now: ms.

    Returns:
        The session. Its id follows from its root key, so that the same one is known again; its
        ephemeral key is zeros where the record does not hold it.

    Raises:
        ValidationError: it is none of the shapes, a session with somebody else, or its keys have
            the wrong length or do not belong together.
    """
    if len(text) > _MAX_SIZE:
        raise ValidationError("the session export is too large to be one")
    record = _decode(text, _Record, "session export")
    if record.peer_id != peer_id:
        raise ValidationError("the session export is of a session with somebody else")
    identity_key = _public_key(record.remote_identity_key, "remoteIdentityKey")
    shown = record.remote_fingerprint
    if shown and normalize_fingerprint(shown) != fingerprint(identity_key):
        raise ValidationError("the session export's fingerprint is not that of its identity key")
    state, skipped = _read_ratchet(record)
    head = SessionHead(
        opened_by_us=record.opened_by_us,
        remote_identity_key=identity_key,
        ephemeral_key=_ephemeral_key(record),
        signed_prekey_id=record.remote_signed_prekey_id or 0,
        one_time_prekey_id=record.used_one_time_prekey_id,
        opened_at=min(record.created_at or now, now),
        used_at=now,
        ratchet=state,
    )
    return Session(_session_id(state), head, skipped)


def export_session(session: Session, peer_id: str) -> str:
    """A session as `import_session` reads it. It holds secrets, and must be used once only."""
    state = session.ratchet
    ratchet = {
        "rootKey": _base64(state.root_key),
        "sendingChainKey": _optional(state.sending_chain_key),
        "receivingChainKey": _optional(state.receiving_chain_key),
        "dhRatchetKeyPair": None if state.key_pair is None else _export_pair(state.key_pair),
        "dhRatchetRemoteKey": _optional(state.remote_key),
        "sendingChainLength": state.sending_length,
        "receivingChainLength": state.receiving_length,
        "previousSendingChainLength": state.previous_sending_length,
        "skippedMessageKeys": [
            [f"{_base64(ratchet_key)}:{number}", _base64(message_key)]
            for (ratchet_key, number), message_key in session.skipped.items()
        ],
    }
    record = {
        "peerId": peer_id,
        "sessionId": session.id if session.opened_by_us else f"{_RESPONDER_ID}{session.id}",
        "remoteIdentityKey": _base64(session.remote_identity_key),
        "remoteSignedPrekeyId": session.signed_prekey_id,
        "remoteFingerprint": fingerprint(session.remote_identity_key),
        "usedOneTimePrekeyId": session.one_time_prekey_id,
        "status": "ready",
        "createdAt": session.opened_at,
        "updatedAt": session.used_at,
        "ratchetState": msgspec.json.encode(ratchet).decode(),
        "x3dhData": {
            "localEphemeralKey": _base64(session.ephemeral_key),
            "usedSignedPrekeyId": session.signed_prekey_id,
        },
    }
    return msgspec.json.encode(record).decode()


def _session_id(state: RatchetState) -> str:
    digest = hkdf(state.root_key, salt=bytes(HASH_BYTES), info=_ID_INFO, length=16)
    return f"b-{digest.hex()}"


def _read_ratchet(record: _Record) -> tuple[RatchetState, dict[SkippedId, bytes]]:
    if record.ratchet_state is None:
        return _first_state(record), {}
    body = _decode(record.ratchet_state, _Ratchet, "ratchetState")
    pair, remote_key = body.dh_ratchet_key_pair, body.dh_ratchet_remote_key
    state = RatchetState(
        _key(body.root_key, "rootKey"),
        _maybe_key(body.sending_chain_key, "sendingChainKey"),
        _maybe_key(body.receiving_chain_key, "receivingChainKey"),
        None if pair is None else _key_pair(pair, "dhRatchetKeyPair"),
        None if remote_key is None else _public_key(remote_key, "dhRatchetRemoteKey"),
        body.sending_chain_length,
        body.receiving_chain_length,
        body.previous_sending_chain_length,
    )
    if state.remote_key is None and (state.sending_chain_key is None or state.key_pair is None):
        raise ValidationError("the session export can neither send nor receive")
    return state, _skipped(body.skipped_message_keys)


def _first_state(record: _Record) -> RatchetState:
    """A session in which nothing has been sent: its `rootKey` is the X3DH secret.

    Where the peer opened it, `remoteSignedPrekey` is the peer's ratchet key.
    """
    secret = _key(record.root_key, "rootKey")
    if record.opened_by_us:
        return start_initiator(secret)
    return start_responder(secret, _public_key(record.remote_signed_prekey, "remoteSignedPrekey"))


def _skipped(entries: list[tuple[str, Any]]) -> dict[SkippedId, bytes]:
    if len(entries) > MAX_SKIPPED_KEYS:
        raise ValidationError(f"the session export has more than {MAX_SKIPPED_KEYS} skipped keys")
    return {_skipped_id(name): _key(key, "skippedMessageKeys") for name, key in entries}


def _skipped_id(name: str) -> SkippedId:
    ratchet_key, _, number = name.rpartition(":")
    try:
        return _key(ratchet_key, "skippedMessageKeys"), msgspec.json.decode(number, type=Counter)
    except msgspec.DecodeError:
        raise ValidationError("the session export has a skipped key without a number") from None


def _ephemeral_key(record: _Record) -> bytes:
    """The public ephemeral key, wherever the record has it; zeros where it has none."""
    data, pair = record.x3dh_data, record.local_ephemeral_key_pair
    if isinstance(data, str):
        data = _decode(data, _X3DHData, "x3dhData")
    if pair is not None and not _is_encrypted(pair.secret_key):
        return _key_pair(pair, "localEphemeralKeyPair").public
    if data is not None and data.local_ephemeral_key is not None:
        return _key(data.local_ephemeral_key, "localEphemeralKey")
    return bytes(KEY_BYTES)


def _decode(text: str, kind: type[T], name: str) -> T:
    try:
        return msgspec.json.decode(text, type=kind)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValidationError(f"the {name} cannot be read: {error}") from None


def _key_pair(body: _Pair, name: str) -> KeyPair:
    pair = KeyPair.from_secret(_key(body.secret_key, f"{name}.secretKey"))
    if pair.public != _key(body.public_key, f"{name}.publicKey"):
        raise ValidationError(f"{name} in the session export: the public key is another secret's")
    return pair


def _public_key(value: Any, name: str) -> bytes:
    key = _key(value, name)
    try:
        check_public_key(key)
    except DecryptionError:
        raise ValidationError(f"{name} in the session export is no usable public key") from None
    return key


def _maybe_key(value: Any, name: str) -> bytes | None:
    return None if value is None else _key(value, name)


def _key(value: Any, name: str) -> bytes:
    """32 bytes, from base64 or from an index map."""
    try:
        key = _from_index_map(value) if isinstance(value, dict) else msgspec.convert(value, bytes)
    except (msgspec.ValidationError, KeyError, TypeError, ValueError):
        raise ValidationError(
            f"{name} in the session export is not readable; an encrypted field of the browser's"
            " database cannot be imported: export the session itself"
        ) from None
    if len(key) != KEY_BYTES:
        raise ValidationError(f"{name} in the session export has {len(key)} bytes, not {KEY_BYTES}")
    return key


def _is_encrypted(value: Any) -> bool:
    """Whether this is a secret as the browser's database holds it, or none at all."""
    return value is None or (isinstance(value, dict) and "ciphertext" in value)


def _from_index_map(value: dict[str, Any]) -> bytes:
    return bytes([value[str(index)] for index in range(len(value))])


def _export_pair(pair: KeyPair) -> dict[str, str]:
    return {"publicKey": _base64(pair.public), "secretKey": _base64(pair.secret)}


def _optional(data: bytes | None) -> str | None:
    return None if data is None else _base64(data)


def _base64(data: bytes) -> str:
    return b64encode(data).decode()
