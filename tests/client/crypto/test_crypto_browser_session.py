"""The browser's sessions: every shape of them is read, and nothing that is not one."""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Callable
from typing import Any

import pytest
from doubles.vectors import Step, Transcript, load, transcripts
from hypothesis import given
from hypothesis import strategies as st

from chatbot.client.crypto.browser_session import export_session, import_session
from chatbot.client.crypto.identity import fingerprint, format_fingerprint
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.session import MAX_SKIPPED_KEYS, Session
from chatbot.client.crypto.session_manager import PeerRecord
from chatbot.client.exceptions import ValidationError

PEER = "the-other"
NOW = 1_765_000_000_000

Record = dict[str, Any]
Shape = Callable[[Record], str]


def index_map(data: bytes) -> dict[str, int]:
    return {str(index): byte for index, byte in enumerate(data)}


def base64(data: bytes) -> str:
    return b64encode(data).decode()


def _with_bytes(record: Record, encode: Callable[[bytes], Any]) -> Record:
    def visit(value: Any) -> Any:
        if isinstance(value, bytes):
            return encode(value)
        if isinstance(value, dict):
            return {name: visit(member) for name, member in value.items()}
        return value

    result: Record = visit(record)
    return result


def stringified(record: Record) -> str:
    """`JSON.stringify` of the record in the browser's memory."""
    return json.dumps(_with_bytes(record, index_map))


def row(record: Record) -> str:
    """The record in the browser's database, as its developer tools copy it."""
    fields = _with_bytes(record, base64)
    encrypted = {"ciphertext": base64(bytes(48)), "iv": base64(bytes(12))}
    fields["rootKey"] = encrypted
    if (pair := fields.pop("localEphemeralKeyPair", None)) is not None:
        fields["localEphemeralKeyPair"] = {"publicKey": pair["publicKey"], "secretKey": encrypted}
        fields["localEphemeralSecret"] = encrypted
    if "x3dhData" in fields:
        fields["x3dhData"] = json.dumps(fields["x3dhData"])
    return json.dumps(fields)


def exported_again(record: Record) -> str:
    """Our own export of what was imported."""
    return export_session(import_session(stringified(record), peer_id=PEER, now=NOW), PEER)


SHAPES = (stringified, row, exported_again)
TRANSCRIPTS = transcripts()
VECTORS = {vector["name"]: vector for vector in load("transcripts")}


def browser_record(transcript: Transcript, side: str, state: str) -> Record:
    """What the browser holds on one side of a transcript."""
    prekey = next(iter(transcript.responder.signed_prekeys.values()))
    opener = side == "initiator"
    peer = transcript.responder.identity if opener else transcript.initiator
    record: Record = {
        "peerId": PEER,
        "sessionId": f"{PEER}-1765000000000" if opener else "session-1765000000000",
        "remoteIdentityKey": peer.public_key,
        "remoteSignedPrekey": prekey.key_pair.public if opener else generate_key_pair().public,
        "remoteSignedPrekeyId": prekey.key_id,
        "remoteFingerprint": peer.fingerprint if opener else "",
        "rootKey": transcript.shared_secret,
        "status": "ready",
        "createdAt": NOW - 1000,
        "updatedAt": NOW - 500,
        "ratchetState": state,
    }
    if opener:
        record["localEphemeralKeyPair"] = {
            "publicKey": transcript.ephemeral.public,
            "secretKey": transcript.ephemeral.secret,
        }
        record["x3dhData"] = {
            "localIdentityKey": transcript.initiator.public_key,
            "localEphemeralKey": transcript.ephemeral.public,
            "usedSignedPrekeyId": prekey.key_id,
        }
    return record


def _moments() -> list[Any]:
    """Every message of every transcript, with the session of who is about to receive it."""
    moments = []
    for transcript in TRANSCRIPTS:
        states = [m["receiverStateBefore"] for m in VECTORS[transcript.name]["messages"]]
        for number, (step, state) in enumerate(zip(transcript.steps, states, strict=True)):
            side = "responder" if step.sender == "initiator" else "initiator"
            record = browser_record(transcript, side, state)
            moments.append(pytest.param(record, step, id=f"{transcript}-{number}"))
    return moments


def record_of(name: str, number: int) -> tuple[Record, Step]:
    """The receiver's session before the n-th message of a transcript, and that message."""
    transcript = next(t for t in TRANSCRIPTS if t.name == name)
    step = transcript.steps[number]
    state = VECTORS[name]["messages"][number]["receiverStateBefore"]
    side = "responder" if step.sender == "initiator" else "initiator"
    return browser_record(transcript, side, state), step


ANSWERED, ANSWER = record_of("ping-pong", 3)
"""A session that its opener has received in before, and the next message."""


def read(text: str) -> Session:
    return import_session(text, peer_id=PEER, now=NOW)


def ratchet(record: Record) -> Record:
    state: Record = json.loads(record["ratchetState"])
    return state


def with_ratchet(**changes: Any) -> Record:
    return ANSWERED | {"ratchetState": json.dumps(ratchet(ANSWERED) | changes)}


@pytest.mark.parametrize("shape", SHAPES)
class TestShapes:
    @pytest.mark.parametrize(("record", "step"), _moments())
    def test_an_imported_session_decrypts_what_comes_next(
        self, shape: Shape, record: Record, step: Step
    ) -> None:
        session = read(shape(record))
        decryption = session.decrypt(step.message)
        assert decryption.plaintext.decode() == step.plaintext

    def test_it_goes_on_both_ways(self, shape: Shape) -> None:
        transcript = next(t for t in TRANSCRIPTS if t.name == "ping-pong")
        record, step = record_of("ping-pong", 2)
        theirs, _ = record_of("ping-pong", 3)
        responder = PeerRecord(PEER, identity_key=transcript.initiator.public_key)
        initiator = PeerRecord(PEER, identity_key=transcript.responder.identity.public_key)
        responder.adopt(read(shape(record)), NOW)
        initiator.adopt(read(shape(theirs)), NOW)
        received = responder.receive(step.message, transcript.responder, NOW)
        assert received.plaintext.decode() == step.plaintext
        for number in range(3):
            for sender, receiver, ring in (
                (responder, initiator, KeyRing(transcript.initiator)),
                (initiator, responder, transcript.responder),
            ):
                _, message = sender.encrypt(f"message {number}".encode(), NOW)
                assert message.x3dh is None
                received = receiver.receive(message, ring, NOW)
                assert received.plaintext == f"message {number}".encode()

    def test_what_is_known_of_it(self, shape: Shape) -> None:
        session = read(shape(ANSWERED))
        transcript = next(t for t in TRANSCRIPTS if t.name == "ping-pong")
        assert session.opened_by_us
        assert session.remote_identity_key == transcript.responder.identity.public_key
        assert session.ephemeral_key == transcript.ephemeral.public
        assert session.signed_prekey_id == ANSWERED["remoteSignedPrekeyId"]
        assert (session.opened_at, session.used_at) == (NOW - 1000, NOW)
        assert session.id == read(shape(ANSWERED)).id

    def test_skipped_keys_come_along(self, shape: Shape) -> None:
        key = generate_key_pair().public
        name = f"{base64(key)}:7"
        entries = [[name, base64(bytes(range(32)))]]
        session = read(shape(with_ratchet(skippedMessageKeys=entries)))
        assert session.skipped == {(key, 7): bytes(range(32))}


def test_a_session_that_the_browser_did_not_open_has_no_fingerprint() -> None:
    record, _ = record_of("ping-pong", 2)
    session = read(stringified(record))
    assert not session.opened_by_us
    assert fingerprint(session.remote_identity_key) == fingerprint(record["remoteIdentityKey"])
    assert session.ephemeral_key == bytes(32)


@pytest.mark.parametrize("write", [str.lower, format_fingerprint])
def test_a_fingerprint_in_any_spacing_and_case(write: Callable[[str], str]) -> None:
    shown = write(str(ANSWERED["remoteFingerprint"]))
    assert read(stringified(ANSWERED | {"remoteFingerprint": shown})).opened_by_us


def test_an_opener_that_has_sent_nothing_yet() -> None:
    record, _ = record_of("one-way", 0)
    transcript = next(t for t in TRANSCRIPTS if t.name == "one-way")
    record = browser_record(transcript, "initiator", "")
    del record["ratchetState"]
    session = read(stringified(record))
    assert session.ratchet.root_key == transcript.start.root_key
    assert session.ratchet.sending_chain_key == transcript.start.sending_chain_key


def test_a_responder_that_has_done_nothing_yet() -> None:
    record, step = record_of("one-way", 0)
    record["ratchetState"] = None
    record["remoteSignedPrekey"] = step.message.header.ratchet_key
    session = read(stringified(record))
    assert session.decrypt(step.message).plaintext.decode() == step.plaintext


class TestRefused:
    def refused(self, record: Record, words: str, shape: Shape = stringified) -> None:
        with pytest.raises(ValidationError, match=words):
            read(shape(record))

    def test_a_session_with_somebody_else(self) -> None:
        self.refused(ANSWERED | {"peerId": "a stranger"}, "somebody else")

    def test_an_encrypted_root_key_with_no_ratchet(self) -> None:
        self.refused(ANSWERED | {"ratchetState": None}, "encrypted field", row)

    def test_an_impossible_fingerprint(self) -> None:
        self.refused(ANSWERED | {"remoteFingerprint": "0" * 60}, "fingerprint")

    @pytest.mark.parametrize(
        "field", ["remoteIdentityKey", "rootKey", "localEphemeralKeyPair", "x3dhData"]
    )
    @pytest.mark.parametrize("length", [0, 31, 33])
    def test_keys_of_a_wrong_length(self, field: str, length: int) -> None:
        wrong: dict[str, Any] = {
            "remoteIdentityKey": bytes(length),
            "rootKey": bytes(length),
            "localEphemeralKeyPair": {"publicKey": bytes(length), "secretKey": bytes(32)},
            "x3dhData": {"localEphemeralKey": bytes(length)},
        }
        record = ANSWERED | {field: wrong[field]}
        if field == "rootKey":
            record["ratchetState"] = None
        if field == "x3dhData":
            del record["localEphemeralKeyPair"]
        self.refused(record, f"{length} bytes")

    @pytest.mark.parametrize(
        "field", ["rootKey", "sendingChainKey", "receivingChainKey", "dhRatchetRemoteKey"]
    )
    def test_ratchet_keys_of_a_wrong_length(self, field: str) -> None:
        self.refused(with_ratchet(**{field: base64(bytes(16))}), f"{field}.* 16 bytes")

    def test_public_keys_that_are_not_of_their_secrets(self) -> None:
        one, other = generate_key_pair(), generate_key_pair()
        pair = {"publicKey": base64(one.public), "secretKey": base64(other.secret)}
        self.refused(with_ratchet(dhRatchetKeyPair=pair), "dhRatchetKeyPair.*another secret")
        mixed = {"publicKey": one.public, "secretKey": other.secret}
        self.refused(ANSWERED | {"localEphemeralKeyPair": mixed}, "localEphemeralKeyPair")

    @pytest.mark.parametrize("public", [bytes(32), b"\x01" + bytes(31)])
    def test_public_keys_that_agree_with_anybody(self, public: bytes) -> None:
        self.refused(ANSWERED | {"remoteIdentityKey": public}, "no usable public key")
        self.refused(with_ratchet(dhRatchetRemoteKey=base64(public)), "no usable public key")

    def test_a_ratchet_that_leads_nowhere(self) -> None:
        dead = with_ratchet(dhRatchetRemoteKey=None, sendingChainKey=None)
        self.refused(dead, "neither send nor receive")

    @pytest.mark.parametrize("length", [-1, 2**31, "1", None, 0.5])
    def test_impossible_chain_lengths(self, length: object) -> None:
        self.refused(with_ratchet(sendingChainLength=length), "ratchetState")

    @pytest.mark.parametrize("name", ["", ":", ":1", "AAAA:1", f"{base64(bytes(32))}:-1"])
    def test_impossible_skipped_keys(self, name: str) -> None:
        self.refused(with_ratchet(skippedMessageKeys=[[name, base64(bytes(32))]]), "skipped")

    @pytest.mark.parametrize("number", ["", "x", "1.5", str(2**31), "٣"])
    def test_skipped_keys_with_no_number(self, number: str) -> None:
        name = f"{base64(bytes(32))}:{number}"
        entries = [[name, base64(bytes(32))]]
        self.refused(with_ratchet(skippedMessageKeys=entries), "without a number")

    def test_too_many_skipped_keys(self) -> None:
        entries = [[f"{base64(bytes(32))}:{n}", base64(bytes(32))] for n in range(2001)]
        assert len(entries) > MAX_SKIPPED_KEYS
        self.refused(with_ratchet(skippedMessageKeys=entries), "more than 2000")

    def test_key_ids_that_fit_no_database(self) -> None:
        self.refused(ANSWERED | {"remoteSignedPrekeyId": 2**70}, "cannot be read")
        self.refused(ANSWERED | {"createdAt": -1}, "cannot be read")

    @pytest.mark.parametrize(
        "text", ["", "null", "[]", "{}", "\ud800", "[" * 10_000, '{"peerId":', "\x00"]
    )
    def test_what_is_no_record_at_all(self, text: str) -> None:
        with pytest.raises(ValidationError, match="cannot be read"):
            read(text)

    def test_what_is_too_large(self) -> None:
        with pytest.raises(ValidationError, match="too large"):
            read(" " * 2_000_001)

    def test_no_secret_is_in_an_error(self) -> None:
        secret = base64(bytes(range(30)))
        with pytest.raises(ValidationError) as caught:
            read(stringified(with_ratchet(sendingChainKey=secret)))
        assert secret not in str(caught.value)
        assert caught.value.__cause__ is None


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(max_size=50)
    | st.binary(max_size=40).map(base64)
    | st.binary(max_size=33).map(index_map),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=5,
)


def _paths(value: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = value.items() if isinstance(value, dict) and "0" not in value else ()
    return [path, *(deeper for name, member in inner for deeper in _paths(member, (*path, name)))]


def _replaced(value: Any, path: tuple[str, ...], by: Any) -> Any:
    if not path:
        return by
    return value | {path[0]: _replaced(value[path[0]], path[1:], by)}


@given(
    st.sampled_from((stringified, row)),
    st.data(),
    junk,
)
def test_whatever_is_changed_it_is_read_or_refused(
    shape: Shape, data: st.DataObject, value: Any
) -> None:
    """Nothing but `ValidationError` ever leaves, and what is read can be stored."""
    record = json.loads(shape(ANSWERED))
    state = json.loads(record["ratchetState"])
    if data.draw(st.booleans()):
        state = _replaced(state, data.draw(st.sampled_from(_paths(state))), value)
        record["ratchetState"] = json.dumps(state)
    else:
        record = _replaced(record, data.draw(st.sampled_from(_paths(record))), value)
    try:
        session = read(json.dumps(record))
    except ValidationError:
        return
    assert Session.from_bytes(session.id, session.to_bytes()).ratchet == session.ratchet
    assert read(export_session(session, PEER)).ratchet == session.ratchet


@given(st.text())
def test_any_text_is_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        read(text)


def test_an_export_holds_all_that_counts() -> None:
    session = read(stringified(ANSWERED))
    again = read(export_session(session, PEER))
    assert again.id == session.id
    assert again.ratchet == session.ratchet
    assert again.ephemeral_key == session.ephemeral_key
    assert again.opened_by_us
    assert b64decode(json.loads(export_session(session, PEER))["remoteIdentityKey"])


def test_a_session_never_answered_is_not_sent_in_before_it_is() -> None:
    transcript = next(t for t in TRANSCRIPTS if t.name == "ping-pong")
    start = VECTORS["ping-pong"]["initiatorStateAtStart"]
    record = PeerRecord(PEER, identity_key=transcript.responder.identity.public_key)
    record.adopt(read(stringified(browser_record(transcript, "initiator", start))), NOW)
    assert record.sending_session(NOW) is None
    before = VECTORS["ping-pong"]["messages"][1]["receiverStateBefore"]
    sent = read(stringified(browser_record(transcript, "initiator", before)))
    record.adopt(sent, NOW)
    assert record.sending_session(NOW) is None
    record.receive(transcript.steps[1].message, KeyRing(transcript.initiator), NOW)
    assert record.sending_session(NOW) is sent


def test_an_x3dh_of_an_adopted_session_belongs_to_it() -> None:
    """The opener of a session that we export ourselves may send its `x3dh` again."""
    transcript = next(t for t in TRANSCRIPTS if t.name == "one-way")
    first, second = transcript.steps[:2]
    exporter = PeerRecord(PEER, identity_key=transcript.initiator.public_key)
    exporter.receive(first.message, transcript.responder, NOW)
    (session,) = exporter.sessions.values()
    importer = PeerRecord(PEER, identity_key=transcript.initiator.public_key)
    importer.adopt(read(export_session(session, PEER)), NOW)
    repeated = type(second.message)(
        second.message.header, second.message.ciphertext, first.message.x3dh
    )
    received = importer.receive(repeated, KeyRing(transcript.responder.identity), NOW)
    assert received.plaintext.decode() == second.plaintext
    assert not received.opened
