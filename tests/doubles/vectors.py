"""The browser client's own crypto, as the files in tests/vectors hold it."""

from __future__ import annotations

import json
from base64 import b64decode
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing, OneTimePrekey, SignedPrekey
from chatbot.client.crypto.keys import KeyPair
from chatbot.client.crypto.message import EncryptedMessage, decode_content
from chatbot.client.crypto.ratchet import RatchetState

FOLDER: Final = Path(__file__).parents[1] / "vectors"


def load(name: str) -> list[dict[str, Any]]:
    """Read one file: a list of vectors."""
    vectors: list[dict[str, Any]] = json.loads((FOLDER / f"{name}.json").read_bytes())
    return vectors


def identity(seed: str) -> Identity:
    return Identity.from_seed(b64decode(seed))


def key_ring(seed: str, *prekeys: SignedPrekey | OneTimePrekey) -> KeyRing:
    ring = KeyRing(identity(seed))
    for prekey in prekeys:
        if isinstance(prekey, SignedPrekey):
            ring.signed_prekeys[prekey.key_id] = prekey
        else:
            ring.one_time_prekeys[prekey.key_id] = prekey
    return ring


def signed_prekey(vector: dict[str, Any]) -> SignedPrekey:
    pair = KeyPair(b64decode(vector["publicKey"]), b64decode(vector["secretKey"]))
    return SignedPrekey(vector["keyId"], pair, b64decode(vector["signature"]), created_at=0)


@dataclass(frozen=True)
class Step:
    """One message of a transcript."""

    sender: str
    plaintext: str
    wire: str
    message: EncryptedMessage
    before: RatchetState
    after: RatchetState

    @property
    def nonce(self) -> bytes:
        return self.message.ciphertext[:24]

    @property
    def place(self) -> tuple[bytes, int]:
        """Which message it is: of which chain, and its number there."""
        return self.message.header.ratchet_key, self.message.header.message_number


@dataclass(frozen=True)
class Transcript:
    """A conversation, and what is needed to have it again.

    Attributes:
        first_pair: the ratchet pair of the responder's first answer, if there is one.
    """

    name: str
    initiator: Identity
    responder: KeyRing
    ephemeral: KeyPair
    shared_secret: bytes
    start: RatchetState
    steps: tuple[Step, ...]
    first_pair: KeyPair | None

    def __str__(self) -> str:
        return self.name


def transcripts() -> list[Transcript]:
    return [_transcript(vector) for vector in load("transcripts")]


def _transcript(vector: dict[str, Any]) -> Transcript:
    steps = tuple(map(_step, vector["messages"]))
    prekey = signed_prekey(vector["responderSignedPrekey"])
    received = (step.before for step in steps if step.sender == "initiator")
    return Transcript(
        name=vector["name"],
        initiator=identity(vector["initiatorSeed"]),
        responder=key_ring(vector["responderSeed"], prekey),
        ephemeral=KeyPair.from_secret(b64decode(vector["initiatorEphemeralSecretKey"])),
        shared_secret=b64decode(vector["sharedSecret"]),
        start=state(vector["initiatorStateAtStart"]),
        steps=steps,
        first_pair=next((s.key_pair for s in received if s.key_pair is not None), None),
    )


def _step(vector: dict[str, str]) -> Step:
    return Step(
        sender=vector["from"],
        plaintext=vector["plaintext"],
        wire=vector["wire"],
        message=decode_content(vector["wire"]),
        before=state(vector["receiverStateBefore"]),
        after=state(vector["receiverStateAfter"]),
    )


def state(text: str) -> RatchetState:
    """Read a ratchet state as the browser writes it."""
    record = json.loads(text)
    pair = record["dhRatchetKeyPair"]
    return RatchetState(
        root_key=b64decode(record["rootKey"]),
        sending_chain_key=_optional(record["sendingChainKey"]),
        receiving_chain_key=_optional(record["receivingChainKey"]),
        key_pair=pair and KeyPair(b64decode(pair["publicKey"]), b64decode(pair["secretKey"])),
        remote_key=_optional(record["dhRatchetRemoteKey"]),
        sending_length=record["sendingChainLength"],
        receiving_length=record["receivingChainLength"],
        previous_sending_length=record["previousSendingChainLength"],
    )


def _optional(text: str | None) -> bytes | None:
    return None if text is None else b64decode(text)
