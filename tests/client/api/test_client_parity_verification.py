"""Fingerprints compared: noted here, told to the backend, and taken back."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.clients import PASSWORD, Clients

from chatbot.client import SessionNotFoundError, ValidationError, WhatsAppClient


async def on_the_backend(client: WhatsAppClient, peer: WhatsAppClient) -> tuple[bool, str | None]:
    """What the backend was told: whether, and how it was compared."""
    found = await client._account.rest.verification(peer.user_id)
    return found.verified, found.method


async def test_comparing_and_taking_it_back(any_clients: Clients) -> None:
    alice, bob = await any_clients.register("alice"), await any_clients.register("bob")
    shown = bob.get_fingerprint()
    groups = " ".join(shown[i : i + 5] for i in range(0, 60, 5)).lower()
    assert await alice.verify_fingerprint("bob", groups, method="qr_code")
    assert await alice.is_fingerprint_verified(bob.user_id)
    [entry] = await alice.list_verified()
    assert (entry.peer_id, entry.fingerprint, entry.method) == (bob.user_id, shown, "qr_code")
    assert entry.verified_at > 0
    assert await on_the_backend(alice, bob) == (True, "qr_code")
    assert await alice.verify_fingerprint("bob", shown, verified=False)
    assert not await alice.is_fingerprint_verified("bob")
    assert await on_the_backend(alice, bob) == (False, None)


async def test_a_mismatch_notes_nothing(any_clients: Clients) -> None:
    alice, bob = await any_clients.register("alice"), await any_clients.register("bob")
    assert not await alice.verify_fingerprint("bob", alice.get_fingerprint())
    assert await alice.list_verified() == []
    assert await on_the_backend(alice, bob) == (False, None)


async def test_it_survives_a_restart(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await alice.verify_fingerprint("bob", bob.get_fingerprint())
    await alice.logout()
    await alice.login("alice", PASSWORD)
    assert await alice.is_fingerprint_verified("bob")


@pytest.mark.parametrize("text", ["", "bob", "0" * 59, "G" * 60])
async def test_what_is_no_fingerprint(clients: Clients, text: str) -> None:
    alice = await clients.register("alice")
    await clients.register("bob")
    with pytest.raises(ValidationError):
        await alice.verify_fingerprint("bob", text)


async def test_nobody_to_compare_with(clients: Clients) -> None:
    alice = await clients.register("alice")
    with pytest.raises(SessionNotFoundError):
        await alice.verify_fingerprint("nobody", alice.get_fingerprint())
    with pytest.raises(SessionNotFoundError):
        await alice.get_peer_fingerprint("nobody")


async def test_a_qr_code_holds_the_fingerprint(clients: Clients, tmp_path: Path) -> None:
    alice = await clients.register("alice")
    code = alice.generate_fingerprint_qr()
    code.save(tmp_path / "me.png")
    assert (tmp_path / "me.png").read_bytes().startswith(b"\x89PNG")
