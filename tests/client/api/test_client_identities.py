"""What a changed identity means under each policy, over real sockets (PROTOCOL.md 4.1.6)."""

from __future__ import annotations

import asyncio

import pytest
from doubles.clients import PASSWORD, Clients, Collected

from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import IdentityError, SessionNotFoundError, ValidationError
from chatbot.client.messaging.identities import IdentityPolicy
from chatbot.client.messaging.messenger import MessagingOptions
from chatbot.client.options import ClientOptions


def under(policy: IdentityPolicy, *, ask_timeout: float = 30) -> ClientOptions:
    messaging = MessagingOptions(identity_policy=policy, ask_timeout=ask_timeout)
    return ClientOptions(messaging=messaging)


async def verified_pair(
    clients: Clients, options: ClientOptions
) -> tuple[WhatsAppClient, WhatsAppClient]:
    """Alice, with these options, and Bob, whom she has verified."""
    alice = await clients.register("alice", options=options)
    bob = await clients.register("bob")
    await bob.receive_message(await alice.send_message("bob", "hello"))
    await alice.receive_message(await bob.send_message("alice", "hello"))
    assert await alice.verify_fingerprint("bob", bob.get_fingerprint())
    assert await alice.is_fingerprint_verified("bob")
    return alice, bob


async def test_tofu_accepts_tells_and_takes_the_verification_away(any_clients: Clients) -> None:
    alice, bob = await verified_pair(any_clients, under("tofu"))
    heard, changed = Collected(alice.on_message), Collected(alice.on_identity_changed)
    await heard.next()
    old = bob.get_fingerprint()
    await bob.reset_encryption()
    await bob.send_message("alice", "I am new")
    assert (await heard.next()).content == "I am new"
    assert await changed.next() == (bob.user_id, old, bob.get_fingerprint())
    assert not await alice.is_fingerprint_verified("bob")
    assert await alice.list_verified() == []
    assert await alice.list_pending_identities() == []
    assert await alice.get_peer_fingerprint("bob") == bob.get_fingerprint()
    assert not await alice.verify_fingerprint("bob", old)
    assert not await alice.is_fingerprint_verified("bob")
    await bob.receive_message(await alice.send_message("bob", "welcome"))
    assert len(changed.all) == 1


async def test_pinned_holds_both_directions_until_it_is_accepted(any_clients: Clients) -> None:
    alice, bob = await verified_pair(any_clients, under("pinned"))
    heard, changed = Collected(alice.on_message), Collected(alice.on_identity_changed)
    await heard.next()
    old = bob.get_fingerprint()
    await bob.reset_encryption()
    for word in ("one", "two"):
        await bob.send_message("alice", word)
    assert await changed.next() == (bob.user_id, old, bob.get_fingerprint())
    (pending,) = await alice.list_pending_identities()
    assert (pending.peer_id, pending.fingerprint, pending.pinned) == (
        bob.user_id,
        bob.get_fingerprint(),
        old,
    )
    with pytest.raises(IdentityError, match="until it is accepted"):
        await alice.send_message("bob", "to whom?")
    assert len(heard.all) == 1
    await alice.accept_identity("bob", bob.get_fingerprint().lower())
    assert [(await heard.next()).content for _ in range(2)] == ["one", "two"]
    assert not await alice.is_fingerprint_verified("bob")
    sent = await alice.send_message("bob", "to you")
    assert (await bob.receive_message(sent)).content == "to you"
    assert len(changed.all) == 1


async def test_what_is_held_back_stays_so_over_a_restart(clients: Clients) -> None:
    alice, bob = await verified_pair(clients, under("pinned"))
    changed = Collected(alice.on_identity_changed)
    await bob.reset_encryption()
    await bob.send_message("alice", "wait for it")
    await changed.next()
    await alice.logout()
    alice = clients.new(options=under("pinned"))
    heard, again = Collected(alice.on_message), Collected(alice.on_identity_changed)
    await alice.login("alice", PASSWORD)
    assert (await heard.next()).content == "hello"
    (pending,) = await alice.list_pending_identities()
    assert pending.fingerprint == bob.get_fingerprint()
    await alice.accept_identity("bob")
    assert (await heard.next()).content == "wait for it"
    assert again.all == []


async def test_only_the_identity_that_waits_can_be_accepted(clients: Clients) -> None:
    alice, bob = await verified_pair(clients, under("pinned"))
    with pytest.raises(ValidationError, match="no changed identity"):
        await alice.accept_identity("bob")
    changed = Collected(alice.on_identity_changed)
    await bob.reset_encryption()
    await bob.send_message("alice", "I am new")
    await changed.next()
    with pytest.raises(IdentityError, match="another fingerprint"):
        await alice.accept_identity("bob", alice.get_fingerprint())
    with pytest.raises(ValidationError):
        await alice.accept_identity("bob", "not a fingerprint")
    assert len(await alice.list_pending_identities()) == 1


async def test_ask_does_as_it_is_told(any_clients: Clients) -> None:
    alice, bob = await verified_pair(any_clients, under("ask"))
    heard = Collected(alice.on_message)
    await heard.next()
    asked: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    answers = iter((False, True))

    @alice.on_identity_changed
    async def decide(_peer: str, old: str, new: str) -> bool:
        asked.put_nowait((old, new))
        return next(answers)

    old = bob.get_fingerprint()
    await bob.reset_encryption()
    await bob.send_message("alice", "refused")
    async with asyncio.timeout(10):
        assert await asked.get() == (old, bob.get_fingerprint())
    with pytest.raises(IdentityError):
        await alice.send_message("bob", "to whom?")
    await bob.reset_encryption()
    await bob.send_message("alice", "accepted")
    async with asyncio.timeout(10):
        assert await asked.get() == (old, bob.get_fingerprint())
    said = await heard.next()
    while said.content == "refused":  # it was held back under an identity that nobody has now
        said = await heard.next()
    assert said.content == "accepted"
    sent = await alice.send_message("bob", "to you")
    assert (await bob.receive_message(sent)).content == "to you"
    assert not await alice.is_fingerprint_verified("bob")


async def test_asked_without_an_answer_it_is_as_pinned(clients: Clients) -> None:
    alice, bob = await verified_pair(clients, under("ask", ask_timeout=0.05))
    heard, given_up = Collected(alice.on_message), asyncio.Event()
    await heard.next()

    @alice.on_identity_changed
    async def ponder(_peer: str, _old: str, _new: str) -> bool:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            given_up.set()
        return True

    await bob.reset_encryption()
    await bob.send_message("alice", "anybody there?")
    async with asyncio.timeout(10):
        await given_up.wait()
    with pytest.raises(IdentityError, match="until it is accepted"):
        await alice.send_message("bob", "to whom?")
    assert len(heard.all) == 1
    await alice.accept_identity("bob")
    assert (await heard.next()).content == "anybody there?"


@pytest.mark.parametrize("shown", ["", "ABCDE", "G" * 60, "0" * 59, "0" * 61])
async def test_a_malformed_fingerprint_is_refused_and_verifies_nobody(
    clients: Clients, shown: str
) -> None:
    alice = await clients.register("alice")
    await clients.register("bob")
    with pytest.raises(ValidationError, match="60"):
        await alice.verify_fingerprint("bob", shown)
    with pytest.raises(SessionNotFoundError):
        await alice.verify_fingerprint("nobody", "0" * 60)
    assert not await alice.is_fingerprint_verified("bob")
    assert not await alice.verify_fingerprint("bob", "0" * 60)
    assert await alice.list_verified() == []


async def test_a_verification_in_any_spacing_is_noted_and_taken_back(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    shown = " ".join(bob.get_fingerprint().lower()[i : i + 5] for i in range(0, 60, 5))
    assert await alice.verify_fingerprint("bob", f"\n{shown}\t", method="qr_code")
    (verification,) = await alice.list_verified()
    assert (verification.peer_id, verification.method) == (bob.user_id, "qr_code")
    assert await alice.verify_fingerprint("bob", shown, verified=False)
    assert not await alice.is_fingerprint_verified("bob")
