"""Our Double Ratchet beside vodozemac (Rust) and DoubleRatchet (Python), and what it is made of.

    python -m benchmarks.ratchet

One message is: a text is encrypted, written as JSON, read from JSON, and decrypted to that text. In
the *same chain* one side does all the talking, which takes no Diffie-Hellman; in *ping-pong* every
message answers the one before, which takes a whole DH step.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable, Mapping
from statistics import median
from typing import Final

from nacl.bindings import (
    crypto_scalarmult,
    crypto_scalarmult_base,
    crypto_secretbox_easy,
    crypto_secretbox_open_easy,
)

from benchmarks.ratchet_peers import Peer, double_ratchet_peers, olm_peers, our_peers
from benchmarks.report import Rates, print_table, race, ratio, repeat
from chatbot.client.crypto import ratchet, x3dh
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.message import EncryptedMessage, decode_content, encode_content
from chatbot.wire import PrekeyBundleBody

TEXT: Final = (
    "Shall we meet at the café at half past seven? I'd be glad to, and I bring the book. 📚"
)

OURS: Final = "chatbot"
VODOZEMAC: Final = "vodozemac"
DOUBLE_RATCHET: Final = "DoubleRatchet"

SAME_CHAIN_GOALS: Final = {VODOZEMAC: 0.6, DOUBLE_RATCHET: 3.0}
PING_PONG_GOALS: Final = {VODOZEMAC: 1.0, DOUBLE_RATCHET: 2.5}
MESSAGE_GOAL: Final = 200.0
"""Microseconds that encrypting or decrypting one message may take."""
X3DH_GOAL: Final = 2000.0
"""Microseconds for one side of X3DH."""

Row = tuple[str, float, str, str]


def same_chain(alice: Peer, bob: Peer) -> Callable[[int], None]:
    """Let one side do all the talking."""

    def talk(count: int) -> None:
        for _ in range(count):
            assert bob.receive(alice.send(TEXT)) == TEXT

    return talk


def ping_pong(alice: Peer, bob: Peer) -> Callable[[int], None]:
    """Let the two sides answer each other."""

    def talk(count: int) -> None:
        for _ in range(count // 2):
            assert bob.receive(alice.send(TEXT)) == TEXT
            assert alice.receive(bob.send(TEXT)) == TEXT

    return talk


def compare(
    conversation: Callable[[Peer, Peer], Callable[[int], None]], *, count: int, rounds: int
) -> Rates:
    """Messages a second of CPU time of all three, in one kind of conversation."""
    peers = {OURS: our_peers(), VODOZEMAC: olm_peers(), DOUBLE_RATCHET: double_ratchet_peers()}
    for pair in peers.values():
        ping_pong(*pair)(2)  # what is special about the first messages is over
    contenders = {name: conversation(*pair) for name, pair in peers.items()}
    return race(contenders, count=count, rounds=rounds)


def comparison_rows(rates: Rates, goals: Mapping[str, float]) -> list[Row]:
    """Ours, then the others with how many times as fast we are."""
    rows: list[Row] = [(OURS, median(rates[OURS]), "", "")]
    for name, goal in goals.items():
        times = ratio(rates, OURS, name)
        verdict = "reached" if times >= goal else "MISSED"
        rows.append((name, median(rates[name]), f"{times:.2f}x", f"{goal}x {verdict}"))
    return rows


def primitives() -> dict[str, Callable[[], object]]:
    """What no ratchet can do without."""
    key, nonce, text = os.urandom(32), os.urandom(24), TEXT.encode()
    public = crypto_scalarmult_base(os.urandom(32))
    box = crypto_secretbox_easy(text, nonce, key)
    return {
        "X25519": lambda: crypto_scalarmult(key, public),
        "X25519 of a new secret": lambda: crypto_scalarmult_base(os.urandom(32)),
        "HMAC-SHA256": lambda: hmac.digest(key, b"\x01", "sha256"),
        "secretbox": lambda: crypto_secretbox_easy(text, nonce, key),
        "secretbox, opened": lambda: crypto_secretbox_open_easy(box, nonce, key),
    }


def ratchet_operations() -> dict[str, Callable[[], object]]:
    """The steps of a message; they change nothing, so the same one can be taken again and again."""
    secret, pair, text = os.urandom(32), generate_key_pair(), TEXT.encode()
    alice = ratchet.start_initiator(secret, pair)
    bob = ratchet.start_responder(secret, pair.public)
    header, ciphertext, _ = ratchet.encrypt(alice, text)
    reply_header, reply, bob_after = ratchet.encrypt(bob, text)
    message = EncryptedMessage(header, ciphertext)
    content = encode_content(message)
    return {
        "encrypt": lambda: ratchet.encrypt(bob_after, text),
        "encode": lambda: encode_content(message),
        "decode": lambda: decode_content(content),
        "decrypt": lambda: ratchet.decrypt(bob, {}, header, ciphertext),
        "decrypt with a DH step": lambda: ratchet.decrypt(alice, {}, reply_header, reply),
    }


def x3dh_operations() -> dict[str, Callable[[], object]]:
    """Both sides of X3DH, with a one-time prekey, and the check of the bundle before."""
    alice, ring = Identity.generate(), KeyRing(Identity.generate())
    signed = ring.new_signed_prekey(0)
    one_time_prekeys = ring.new_one_time_prekeys(1, 0)
    upload = ring.upload_body(signed, one_time_prekeys)
    body = PrekeyBundleBody(
        upload.identity_key,
        upload.signing_key,
        upload.fingerprint,
        upload.signed_prekey,
        upload.one_time_prekeys[0],
    )
    bundle = x3dh.PrekeyBundle.from_body(body)
    _, header = x3dh.initiate(alice, bundle, use_one_time_prekey=True)
    return {
        "check a bundle": lambda: x3dh.PrekeyBundle.from_body(body),
        "X3DH, initiator": lambda: x3dh.initiate(alice, bundle, use_one_time_prekey=True),
        "X3DH, responder": lambda: x3dh.respond(ring, header),
    }


def cost_rows(
    operations: Mapping[str, Callable[[], object]], goal: float | None, *, rounds: int
) -> list[Row]:
    """Microseconds of each operation."""
    contenders = {name: repeat(operation) for name, operation in operations.items()}
    rows: list[Row] = []
    for name, rates in race(contenders, count=50, rounds=rounds).items():
        cost = 1e6 / median(rates)
        verdict = "" if goal is None else "reached" if cost < goal else "MISSED"
        rows.append((name, cost, "" if goal is None else f"{goal:,.0f}", verdict))
    return rows


def main(*, rounds: int = 41) -> None:
    """Measure everything and print it."""
    columns = ("", "messages/CPU s", "we are", "goal")
    for title, conversation, goals in (
        ("Same chain", same_chain, SAME_CHAIN_GOALS),
        ("Ping-pong", ping_pong, PING_PONG_GOALS),
    ):
        rates = compare(conversation, count=100, rounds=rounds)
        print_table(title, columns, comparison_rows(rates, goals))
    columns = ("", "µs", "goal <", "")
    print_table("Bare primitives", columns, cost_rows(primitives(), None, rounds=rounds))
    rows = cost_rows(ratchet_operations(), MESSAGE_GOAL, rounds=rounds)
    print_table("Our ratchet", columns, rows)
    rows = cost_rows(x3dh_operations(), X3DH_GOAL, rounds=rounds)
    print_table("Our X3DH", columns, rows)


if __name__ == "__main__":
    main()
