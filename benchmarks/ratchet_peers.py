"""Three Double Ratchets behind one face: this package's, vodozemac's and DoubleRatchet's.

What goes over the wire is JSON text for all three, written and read by msgspec.
"""

from __future__ import annotations

import os
from collections.abc import Coroutine
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import msgspec
import vodozemac
from doubleratchet import DoubleRatchet as AbstractDoubleRatchet
from doubleratchet import EncryptedMessage as DoubleRatchetMessage
from doubleratchet import Header
from doubleratchet.recommended import (
    HashFunction,
    aead_aes_hmac,
    diffie_hellman_ratchet_curve25519,
    kdf_hkdf,
    kdf_separate_hmacs,
)

from chatbot.client.crypto import ratchet
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.message import EncryptedMessage, decode_content, encode_content

T = TypeVar("T")


class Peer(Protocol):
    """One side of a session, its state in memory."""

    def send(self, text: str) -> str:
        """Encrypt a text and write it as JSON."""

    def receive(self, wire: str) -> str:
        """Read it from JSON and decrypt it."""


@dataclass
class OurPeer:
    state: ratchet.RatchetState

    def send(self, text: str) -> str:
        header, ciphertext, self.state = ratchet.encrypt(self.state, text.encode())
        return encode_content(EncryptedMessage(header, ciphertext))

    def receive(self, wire: str) -> str:
        message = decode_content(wire)
        decryption = ratchet.decrypt(self.state, {}, message.header, message.ciphertext)
        self.state = decryption.state
        return decryption.plaintext.decode()


def our_peers() -> tuple[Peer, Peer]:
    """Return a session's initiator and responder."""
    secret, pair = os.urandom(32), generate_key_pair()
    initiator = ratchet.start_initiator(secret, pair)
    return OurPeer(initiator), OurPeer(ratchet.start_responder(secret, pair.public))


class OlmBody(msgspec.Struct):
    """What libolm's clients send, as Matrix writes it."""

    type: int
    body: bytes


_olm_decoder: Final = msgspec.json.Decoder(OlmBody)


@dataclass
class OlmPeer:
    session: vodozemac.Session

    def send(self, text: str) -> str:
        message = self.session.encrypt(text.encode())
        return msgspec.json.encode(OlmBody(*message.to_parts())).decode()

    def receive(self, wire: str) -> str:
        body = _olm_decoder.decode(wire)
        message = vodozemac.AnyOlmMessage.from_parts(body.type, body.body)
        return self.session.decrypt(message).decode()


def olm_peers() -> tuple[Peer, Peer]:
    """Return a session's initiator and responder."""
    alice, bob = vodozemac.Account(), vodozemac.Account()
    bob.generate_one_time_keys(1)
    (one_time_key,) = bob.one_time_keys.values()
    outbound = alice.create_outbound_session(bob.curve25519_key, one_time_key)
    first = outbound.encrypt(b"").to_pre_key()
    assert first is not None
    inbound, _ = bob.create_inbound_session(alice.curve25519_key, first)
    return OlmPeer(outbound), OlmPeer(inbound)


class RootKdf(kdf_hkdf.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"benchmark root"


class ChainKdf(kdf_separate_hmacs.KDF):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256


class Aead(aead_aes_hmac.AEAD):
    @staticmethod
    def _get_hash_function() -> HashFunction:
        return HashFunction.SHA_256

    @staticmethod
    def _get_info() -> bytes:
        return b"benchmark message"


class DoubleRatchet(AbstractDoubleRatchet):
    @staticmethod
    def _build_associated_data(associated_data: bytes, header: Header) -> bytes:
        lengths = (header.previous_sending_chain_length, header.sending_chain_length)
        return b"".join(
            (associated_data, header.ratchet_pub, *(n.to_bytes(8, "big") for n in lengths))
        )


class DoubleRatchetBody(msgspec.Struct):
    """The same members that our own wire format has."""

    ratchet_key: bytes
    previous_chain_length: int
    message_number: int
    ciphertext: bytes


_double_ratchet_decoder: Final = msgspec.json.Decoder(DoubleRatchetBody)


@dataclass
class DoubleRatchetPeer:
    session: DoubleRatchet

    def send(self, text: str) -> str:
        header, ciphertext = run(self.session.encrypt_message(text.encode(), b""))
        return msgspec.json.encode(DoubleRatchetBody(*header, ciphertext)).decode()

    def receive(self, wire: str) -> str:
        body = _double_ratchet_decoder.decode(wire)
        header = Header(body.ratchet_key, body.previous_chain_length, body.message_number)
        message = DoubleRatchetMessage(header, body.ciphertext)
        return run(self.session.decrypt_message(message, b"")).decode()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run one of DoubleRatchet's coroutines, which never wait: an event loop would only cost."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        value: T = done.value
        return value
    raise RuntimeError("a coroutine of DoubleRatchet waits for something")


def double_ratchet_peers() -> tuple[Peer, Peer]:
    """Return a session's initiator and responder."""
    secret, pair = os.urandom(32), generate_key_pair()
    parts = (
        diffie_hellman_ratchet_curve25519.DiffieHellmanRatchet,
        RootKdf,
        ChainKdf,
        b"\x01\x02",
        ratchet.MAX_SKIP,
        2 * ratchet.MAX_SKIP,
        Aead,
        secret,
    )
    alice, first = run(DoubleRatchet.encrypt_initial_message(*parts, pair.public, b"", b""))
    bob, _ = run(DoubleRatchet.decrypt_initial_message(*parts, pair.secret, first, b""))
    return DoubleRatchetPeer(alice), DoubleRatchetPeer(bob)
