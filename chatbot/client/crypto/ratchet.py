"""The Double Ratchet (Perrin and Marlinspike, 2016) in the variant of PROTOCOL.md 1.

A state is a value: every step takes one and returns the next, so a message that fails has changed
nothing. The initiator's first sending chain comes straight from X3DH; so the responder has no key
pair of its own until it first sends, which is the second half of a DH step.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Final

from msgspec import Struct
from nacl.bindings import crypto_secretbox, crypto_secretbox_open
from nacl.exceptions import CryptoError

from chatbot.client.exceptions import DecryptionError, MessageSkipError

from .kdf import chain_step, message_key, next_chain_key, root_step, start
from .keys import KeyPair, RandomBytes, diffie_hellman, generate_key_pair
from .message import NONCE_BYTES, RatchetHeader

MAX_SKIP: Final = 1000
"""Message keys skipped in one chain by one message, at the most."""


class RatchetState(Struct, frozen=True, array_like=True, gc=False):
    """All of a ratchet but its skipped keys. Keys have 32 bytes each.

    Attributes:
        remote_key: the peer's current ratchet public key.
        sending_length: messages sent in the current sending chain.
        receiving_length: messages of the current receiving chain that are accounted for.
        previous_sending_length: messages sent in the sending chain before.
    """

    root_key: bytes
    sending_chain_key: bytes | None = None
    receiving_chain_key: bytes | None = None
    key_pair: KeyPair | None = None
    remote_key: bytes | None = None
    sending_length: int = 0
    receiving_length: int = 0
    previous_sending_length: int = 0

    def __repr__(self) -> str:
        return f"<RatchetState sent={self.sending_length} received={self.receiving_length}>"


class SkippedKey(Struct, frozen=True, gc=False):
    """The key of a message that has not come yet."""

    ratchet_key: bytes
    number: int
    message_key: bytes

    def __repr__(self) -> str:
        return f"<SkippedKey {self.number}>"


class Decryption(Struct, frozen=True):
    """What decrypting a message gives, and what it changes once it is believed.

    Attributes:
        added: keys skipped on the way, oldest first.
        used: the skipped key that opened the message: ratchet key and number.
        stepped: whether a DH step was done.
    """

    plaintext: bytes
    state: RatchetState
    added: tuple[SkippedKey, ...] = ()
    used: tuple[bytes, int] | None = None
    stepped: bool = False

    def __repr__(self) -> str:
        return f"<Decryption added={len(self.added)} stepped={self.stepped}>"


def start_initiator(shared_secret: bytes, key_pair: KeyPair | None = None) -> RatchetState:
    """The state of who opened the session with X3DH secret SK (32 bytes)."""
    root_key, chain_key = start(shared_secret)
    return RatchetState(
        root_key, sending_chain_key=chain_key, key_pair=key_pair or generate_key_pair()
    )


def start_responder(shared_secret: bytes, remote_key: bytes) -> RatchetState:
    """The state of who received the session's first message, with the ratchet key in it."""
    root_key, chain_key = start(shared_secret)
    return RatchetState(root_key, receiving_chain_key=chain_key, remote_key=remote_key)


def encrypt(
    state: RatchetState, plaintext: bytes, *, random: RandomBytes = os.urandom
) -> tuple[RatchetHeader, bytes, RatchetState]:
    """Encrypt the next message.

    Returns:
        Its header, nonce‖box, and the state that must be durable before either is shown.
    """
    if state.sending_chain_key is None or state.key_pair is None:
        state = _sending_half(state, random)
    key_pair, chain_key = state.key_pair, state.sending_chain_key
    if key_pair is None or chain_key is None:  # _sending_half has just set both
        raise AssertionError
    next_chain, key = chain_step(chain_key)
    header = RatchetHeader(key_pair.public, state.previous_sending_length, state.sending_length)
    nonce = random(NONCE_BYTES)
    ciphertext = nonce + crypto_secretbox(plaintext, nonce, key)
    return (
        header,
        ciphertext,
        RatchetState(
            state.root_key,
            next_chain,
            state.receiving_chain_key,
            key_pair,
            state.remote_key,
            state.sending_length + 1,
            state.receiving_length,
            state.previous_sending_length,
        ),
    )


def decrypt(
    state: RatchetState,
    skipped: Mapping[tuple[bytes, int], bytes],
    header: RatchetHeader,
    ciphertext: bytes,
    *,
    random: RandomBytes = os.urandom,
) -> Decryption:
    """Decrypt a message: with a skipped key, in the current chain, or after a DH step.

    Keys of skipped messages are derived, and a new key pair is made, only after the tag has
    verified: a forged message costs chain steps and at most one DH operation.

    Raises:
        DecryptionError: the tag does not verify, or the message's key is used up.
        MessageSkipError: more than 1000 keys of one chain would be skipped.
    """
    if (header.ratchet_key, header.message_number) in skipped:
        return decrypt_skipped(state, skipped, header, ciphertext)
    if header.ratchet_key == state.remote_key:
        return _decrypt_in_chain(state, header, ciphertext)
    return _decrypt_after_step(state, header, ciphertext, random)


def decrypt_skipped(
    state: RatchetState,
    skipped: Mapping[tuple[bytes, int], bytes],
    header: RatchetHeader,
    ciphertext: bytes,
) -> Decryption:
    """Decrypt a late message with the key that was kept for it.

    Raises:
        DecryptionError: there is no such key (any more), or the tag does not verify.
    """
    skipped_id = (header.ratchet_key, header.message_number)
    key = skipped.get(skipped_id)
    if key is None:
        raise DecryptionError("the message's key is used up or forgotten", reason="used-key")
    return Decryption(_open(key, ciphertext), state, used=skipped_id)


def _decrypt_in_chain(state: RatchetState, header: RatchetHeader, ciphertext: bytes) -> Decryption:
    chain_key = state.receiving_chain_key
    number, length = header.message_number, state.receiving_length
    if chain_key is None or number < length:
        raise DecryptionError("the message's key is used up or forgotten", reason="used-key")
    chain = _walk(chain_key, number - length)
    plaintext = _open(message_key(chain[-1]), ciphertext)
    new_state = RatchetState(
        state.root_key,
        state.sending_chain_key,
        next_chain_key(chain[-1]),
        state.key_pair,
        state.remote_key,
        state.sending_length,
        number + 1,
        state.previous_sending_length,
    )
    return Decryption(plaintext, new_state, _skip(header.ratchet_key, length, chain[:-1]))


def _decrypt_after_step(
    state: RatchetState, header: RatchetHeader, ciphertext: bytes, random: RandomBytes
) -> Decryption:
    if state.key_pair is None:
        raise DecryptionError(
            "a new ratchet key, though nothing was ever sent in this session", reason="no-session"
        )
    rest = _rest_of_chain(state, header.previous_chain_length)
    if header.message_number > MAX_SKIP:
        raise MessageSkipError(f"{header.message_number} keys to skip; at most {MAX_SKIP}")
    shared = diffie_hellman(state.key_pair.secret, header.ratchet_key)
    root_key, chain_key = root_step(state.root_key, shared)
    chain = _walk(chain_key, header.message_number)
    plaintext = _open(message_key(chain[-1]), ciphertext)
    added = _skip(header.ratchet_key, 0, chain[:-1])
    if rest and state.remote_key is not None:
        added = _skip(state.remote_key, state.receiving_length, rest) + added
    new_state = RatchetState(
        root_key,
        None,
        next_chain_key(chain[-1]),
        None,
        header.ratchet_key,
        state.sending_length,
        header.message_number + 1,
        state.previous_sending_length,
    )
    return Decryption(plaintext, _sending_half(new_state, random), added, stepped=True)


def _sending_half(state: RatchetState, random: RandomBytes) -> RatchetState:
    """A new key pair of ours and a new sending chain against the peer's current key."""
    if state.remote_key is None:
        raise DecryptionError("a ratchet with neither a sending chain nor a remote key")
    key_pair = generate_key_pair(random)
    root_key, chain_key = root_step(
        state.root_key, diffie_hellman(key_pair.secret, state.remote_key)
    )
    return RatchetState(
        root_key,
        chain_key,
        state.receiving_chain_key,
        key_pair,
        state.remote_key,
        0,
        state.receiving_length,
        state.sending_length,
    )


def _rest_of_chain(state: RatchetState, length: int) -> list[bytes]:
    """The chain keys of what the peer sent in its former chain and we have not seen."""
    missing = length - state.receiving_length
    if state.receiving_chain_key is None or missing <= 0:
        return []
    return _walk(state.receiving_chain_key, missing)[:-1]


def _walk(chain_key: bytes, steps: int) -> list[bytes]:
    """The chain keys from here to `steps` further on, both included."""
    if steps > MAX_SKIP:
        raise MessageSkipError(f"{steps} keys to skip; at most {MAX_SKIP}")
    chain = [chain_key]
    for _ in range(steps):
        chain_key = next_chain_key(chain_key)
        chain.append(chain_key)
    return chain


def _skip(ratchet_key: bytes, first: int, chain_keys: list[bytes]) -> tuple[SkippedKey, ...]:
    return tuple(
        SkippedKey(ratchet_key, number, message_key(chain_key))
        for number, chain_key in enumerate(chain_keys, first)
    )


def _open(key: bytes, ciphertext: bytes) -> bytes:
    try:
        return crypto_secretbox_open(ciphertext[NONCE_BYTES:], ciphertext[:NONCE_BYTES], key)
    except (CryptoError, ValueError) as error:
        raise DecryptionError("the message is forged or damaged", reason="forged") from error
