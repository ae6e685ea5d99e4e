"""The Double Ratchet (PROTOCOL.md 1), as pure functions from one state to the next.

Nothing is ever changed in place: `decrypt` returns the state that *would* follow, and a message
that does not verify returns nothing at all. Until the tag has verified it costs no more than the DH
and the chain steps that lead to its key; message keys of skipped messages, and our own next key
pair, are made afterwards.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Final

from msgspec import Struct
from nacl.bindings import crypto_secretbox_easy, crypto_secretbox_open_easy
from nacl.exceptions import CryptoError

from chatbot.client.exceptions import DecryptionError, MessageSkipError

from .kdf import HASH_BYTES, chain_step, message_key, next_chain_key, root_step
from .keys import Key, KeyPair, RandomBytes, check_public_key, diffie_hellman, generate_key_pair
from .message import NONCE_BYTES, OVERHEAD, RatchetHeader

MAX_SKIP: Final = 1000
"""How many message keys one chain may skip at once."""


ReceivingStep = Callable[["RatchetState", bytes], tuple[Key, Key]]
"""What `receiving_step` is, or something that remembers what it gave."""


class RatchetState(Struct, frozen=True, array_like=True, gc=False):
    """Everything a ratchet knows but the keys of skipped messages. All keys are 32 bytes.

    Attributes:
        root_key: what the next DH output is mixed into.
        sending_chain_key: None for a responder that has not sent yet.
        receiving_chain_key: None for an initiator that has not received yet.
        key_pair: our own ratchet pair; None for a responder that has not sent yet.
        remote_key: the peer's ratchet public key; None for an initiator that has not received yet.
        sending_length: messages sent in the sending chain.
        receiving_length: the number that the next message of the receiving chain has.
        previous_sending_length: messages sent in the sending chain before this one.
    """

    root_key: Key
    sending_chain_key: Key | None
    receiving_chain_key: Key | None
    key_pair: KeyPair | None
    remote_key: Key | None
    sending_length: int = 0
    receiving_length: int = 0
    previous_sending_length: int = 0

    def __repr__(self) -> str:
        return f"<RatchetState sent={self.sending_length} received={self.receiving_length}>"


class SkippedKey(Struct, frozen=True, gc=False):
    """The key of a message that has not come yet.

    Attributes:
        ratchet_key: the peer's ratchet public key (32 bytes) of that message's chain.
        number: its number in the chain.
        message_key: 32 bytes, secret.
    """

    ratchet_key: bytes
    number: int
    message_key: bytes

    def __repr__(self) -> str:
        return f"<SkippedKey {self.ratchet_key.hex()}:{self.number}>"


class Decryption(Struct, frozen=True, gc=False):
    """A message decrypted, and what follows from it once it is believed.

    Attributes:
        plaintext: as the peer encrypted it.
        state: the state that takes the place of the one that was given.
        added: keys of messages now known to be missing, to be kept.
        used: the kept key (ratchet key, number) that decrypted it, to be forgotten.
        stepped: whether it took a DH step.
    """

    plaintext: bytes
    state: RatchetState
    added: tuple[SkippedKey, ...] = ()
    used: tuple[bytes, int] | None = None
    stepped: bool = False

    def __repr__(self) -> str:
        return f"<Decryption {self.state} added={len(self.added)} stepped={self.stepped}>"


def start_initiator(shared_secret: bytes, key_pair: KeyPair | None = None) -> RatchetState:
    """The state of who opened the session and may send at once.

    Args:
        shared_secret: of X3DH, 32 bytes.
        key_pair: the first ratchet pair, which is not mixed in; by default a new one.
    """
    root_key, chain_key = _first_keys(shared_secret)
    return RatchetState(root_key, chain_key, None, key_pair or generate_key_pair(), None)


def start_responder(shared_secret: bytes, remote_key: bytes) -> RatchetState:
    """The state of who was written to, and has no ratchet pair of its own before it answers.

    Args:
        shared_secret: of X3DH, 32 bytes.
        remote_key: the ratchet public key (32 bytes) in the header of the message that opened it.

    Raises:
        DecryptionError: `remote_key` could never be answered.
    """
    check_public_key(remote_key)
    root_key, chain_key = _first_keys(shared_secret)
    return RatchetState(root_key, None, chain_key, None, remote_key)


def _first_keys(shared_secret: bytes) -> tuple[bytes, bytes]:
    return root_step(shared_secret, bytes(HASH_BYTES))


def encrypt(
    state: RatchetState, plaintext: bytes, *, random: RandomBytes = os.urandom
) -> tuple[RatchetHeader, bytes, RatchetState]:
    """Encrypt the next message.

    Args:
        state: left as it is; encrypting from it twice would use a key twice.
        plaintext: any bytes; what the browser shows is UTF-8.
        random: gives that many random bytes: a responder's first ratchet secret, then the nonce.

    Returns:
        The header, the ciphertext (nonce‖box, 40 bytes longer than the plaintext) and the state
        that has to be durable before the ciphertext leaves.
    """
    chain_key, key_pair = state.sending_chain_key, state.key_pair
    if chain_key is None or key_pair is None:
        return encrypt(_start_sending(state, random), plaintext, random=random)
    chain_key, key = chain_step(chain_key)
    header = RatchetHeader(key_pair.public, state.previous_sending_length, state.sending_length)
    nonce = random(NONCE_BYTES)
    after = RatchetState(
        state.root_key,
        chain_key,
        state.receiving_chain_key,
        key_pair,
        state.remote_key,
        state.sending_length + 1,
        state.receiving_length,
        state.previous_sending_length,
    )
    return header, nonce + crypto_secretbox_easy(plaintext, nonce, key), after


def _start_sending(state: RatchetState, random: RandomBytes) -> RatchetState:
    """Take a new ratchet pair, and from it a new sending chain: the second half of a DH step."""
    if state.remote_key is None:
        raise ValueError("a ratchet state needs a sending chain or a remote key")
    key_pair = generate_key_pair(random)
    dh_output = diffie_hellman(key_pair.secret, state.remote_key)
    root_key, chain_key = root_step(state.root_key, dh_output)
    return RatchetState(
        root_key,
        chain_key,
        state.receiving_chain_key,
        key_pair,
        state.remote_key,
        0,
        state.receiving_length,
        state.previous_sending_length,
    )


def receiving_step(state: RatchetState, ratchet_key: bytes) -> tuple[Key, Key]:
    """The first half of a DH step: the root key and the chain key (32 bytes each) that it leads to.

    Raises:
        DecryptionError: nobody has answered in the session, so that the peer cannot step (reason
            `no-session`), or the ratchet key is of low order (`malformed`).
    """
    if state.key_pair is None:
        raise DecryptionError(
            "a new ratchet key in a session that was never answered", reason="no-session"
        )
    return root_step(state.root_key, diffie_hellman(state.key_pair.secret, ratchet_key))


def decrypt(
    state: RatchetState,
    skipped: Mapping[tuple[bytes, int], bytes],
    header: RatchetHeader,
    ciphertext: bytes,
    *,
    step: ReceivingStep = receiving_step,
    random: RandomBytes = os.urandom,
) -> Decryption:
    """Decrypt a message of any chain: with a kept key, in the receiving chain, or by a DH step.

    Args:
        state: left as it is.
        skipped: the kept message keys (32 bytes) by ratchet key and number; left as they are.
        header: the message's header.
        ciphertext: nonce‖box.
        step: how to take the first half of a DH step.
        random: gives that many random bytes: the secret of our next ratchet pair.

    Raises:
        MessageSkipError: it would skip more than 1000 keys of a chain.
        DecryptionError: the tag does not verify (reason `forged`), the key was used or forgotten
            (`used-key`), the ratchet key cannot be this session's (`no-session`) or is of low order
            (`malformed`).
    """
    if (header.ratchet_key, header.message_number) in skipped:
        return decrypt_skipped(state, skipped, header, ciphertext)
    if header.ratchet_key == state.remote_key:
        return _decrypt_in_chain(state, header, ciphertext)
    return _decrypt_with_step(state, header, ciphertext, step, random)


def decrypt_skipped(
    state: RatchetState,
    skipped: Mapping[tuple[bytes, int], bytes],
    header: RatchetHeader,
    ciphertext: bytes,
) -> Decryption:
    """Decrypt a message of a former chain: with a kept key or not at all.

    Raises:
        DecryptionError: the tag does not verify (reason `forged`), or there is no key (`used-key`).
    """
    skipped_id = header.ratchet_key, header.message_number
    key = skipped.get(skipped_id)
    if key is None:
        raise _used_key(header)
    return Decryption(_open(key, ciphertext), state, used=skipped_id)


def _decrypt_in_chain(state: RatchetState, header: RatchetHeader, ciphertext: bytes) -> Decryption:
    start, number = state.receiving_length, header.message_number
    if state.receiving_chain_key is None or number < start:
        raise _used_key(header)
    passed, chain_key = _walk(state.receiving_chain_key, start, number)
    chain_key, key = chain_step(chain_key)
    plaintext = _open(key, ciphertext)
    after = RatchetState(
        state.root_key,
        state.sending_chain_key,
        chain_key,
        state.key_pair,
        state.remote_key,
        state.sending_length,
        number + 1,
        state.previous_sending_length,
    )
    return Decryption(plaintext, after, _keep(header.ratchet_key, start, passed))


def _decrypt_with_step(
    state: RatchetState,
    header: RatchetHeader,
    ciphertext: bytes,
    step: ReceivingStep,
    random: RandomBytes,
) -> Decryption:
    number = header.message_number
    _check_skip(state.receiving_length, header.previous_chain_length)
    _check_skip(0, number)
    root_key, chain_key = step(state, header.ratchet_key)
    passed, chain_key = _walk(chain_key, 0, number)
    chain_key, key = chain_step(chain_key)
    plaintext = _open(key, ciphertext)
    received = RatchetState(
        root_key,
        None,
        chain_key,
        None,
        header.ratchet_key,
        0,
        number + 1,
        state.sending_length,
    )
    added = _rest_of_chain(state, header) + _keep(header.ratchet_key, 0, passed)
    return Decryption(plaintext, _start_sending(received, random), added, stepped=True)


def _rest_of_chain(state: RatchetState, header: RatchetHeader) -> tuple[SkippedKey, ...]:
    """The keys of the receiving chain that a DH step would leave behind."""
    start, length = state.receiving_length, header.previous_chain_length
    if state.remote_key is None or state.receiving_chain_key is None or length <= start:
        return ()
    passed, _ = _walk(state.receiving_chain_key, start, length)
    return _keep(state.remote_key, start, passed)


def _check_skip(start: int, number: int) -> None:
    if number - start > MAX_SKIP:
        raise MessageSkipError(
            f"message {number} skips {number - start} keys of its chain; {MAX_SKIP} are the limit"
        )


def _walk(chain_key: bytes, start: int, number: int) -> tuple[list[bytes], bytes]:
    """Advance a chain from message `start` to message `number`.

    Returns:
        The chain keys of the messages passed on the way, and that of `number`.
    """
    _check_skip(start, number)
    passed = []
    for _ in range(start, number):
        passed.append(chain_key)
        chain_key = next_chain_key(chain_key)
    return passed, chain_key


def _keep(ratchet_key: bytes, start: int, passed: list[bytes]) -> tuple[SkippedKey, ...]:
    """Derive the keys of messages that were passed, from number `start` on."""
    if not passed:
        return ()
    return tuple(
        SkippedKey(ratchet_key, number, message_key(chain_key))
        for number, chain_key in enumerate(passed, start)
    )


def _open(key: bytes, ciphertext: bytes) -> bytes:
    if len(ciphertext) < OVERHEAD:
        raise DecryptionError("the ciphertext is too short", reason="malformed")
    try:
        return crypto_secretbox_open_easy(ciphertext[NONCE_BYTES:], ciphertext[:NONCE_BYTES], key)
    except CryptoError:
        raise DecryptionError("the tag does not verify", reason="forged") from None


def _used_key(header: RatchetHeader) -> DecryptionError:
    return DecryptionError(
        f"the key of message {header.message_number} was used already, or was forgotten",
        reason="used-key",
    )
