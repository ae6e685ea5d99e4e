"""The specification's own examples (SRS 10.2, 10.3, Appendix A), only the import line changed.

The examples name `http://localhost:8787` and the default storage path: the backend listens there on
a port of the test's own, and the home directory is the test's.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.clients import Collected
from doubles.faulty_backend import CHEAP_HASHER

from chatbot.client import SessionNotFoundError, WhatsAppClient
from chatbot.server import Server


@pytest.fixture
async def url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[str]:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    async with Server(tmp_path / "b.db", port=0, password_hasher=CHEAP_HASHER) as server:
        yield server.url.replace("127.0.0.1", "localhost")


async def test_message_encryption_decryption(url: str) -> None:
    """Test that messages can be encrypted and decrypted."""
    alice = WhatsAppClient(server_url=url)
    bob = WhatsAppClient(server_url=url)

    await alice.register("alice", "password123")
    await bob.register("bob", "password456")

    # Alice sends message to Bob
    plaintext = "Hello, Bob!"
    message = await alice.send_message(bob.user_id, plaintext)

    # Bob receives and decrypts
    received = await bob.receive_message(message)

    assert received.content == plaintext
    assert received.from_user == alice.user_id
    await alice.logout()
    await bob.logout()


async def test_session_establishment(url: str) -> None:
    """Test X3DH session establishment."""
    alice = WhatsAppClient(server_url=url)
    bob = WhatsAppClient(server_url=url)

    await alice.register("alice", "password123")
    await bob.register("bob", "password456")

    # Establish session
    session = await alice._crypto.ensure_session(bob.user_id)

    assert session.peer_id == bob.user_id
    assert session.status == "ready"
    assert session.root_key is not None
    await alice.logout()
    await bob.logout()


async def test_error_handling(url: str) -> None:
    """SRS 10.3: sending to nobody, and establishing a session with nobody."""
    client = WhatsAppClient(server_url=url)
    await client.register("alice", "password123")
    with pytest.raises(SessionNotFoundError):
        await client.send_message("invalid_user", "Hello")
    with pytest.raises(SessionNotFoundError):
        await client._crypto.establish_session("invalid_user")
    await client.logout()


async def test_the_complete_bot_of_appendix_a(url: str) -> None:
    person = WhatsAppClient(server_url=url)
    await person.register("person", "password123")
    answers = Collected(person.on_message)
    before = WhatsAppClient(server_url=url)
    await before.register(username="bot_user", password="secure_password")
    await before.logout()
    running = asyncio.create_task(complete_bot(url))
    online = Collected(person.on_presence)
    while not (await online.next())[1]:
        pass  # until it says that somebody is online

    await person.send_message("bot_user", "/echo hello")
    assert (await answers.next()).content == "Echo: hello"
    await person.send_message("bot_user", "/info")
    assert (await answers.next()).content == (
        f"Your fingerprint: {person.get_fingerprint()}\nVerified: False"
    )
    running.cancel()
    await asyncio.gather(running, return_exceptions=True)
    await person.logout()


async def complete_bot(url: str) -> None:
    """Appendix A: `main`, but for what it prints and for how it ends."""
    # Initialize client
    client = WhatsAppClient(server_url=url)

    # Login
    await client.login(username="bot_user", password="secure_password")

    # Message handler
    @client.on_message
    async def handle_message(message):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
        # Echo bot
        if message.content.startswith("/echo"):
            text = message.content[6:].strip()
            await client.send_message(to=message.from_user, content=f"Echo: {text}")

        # Info command
        elif message.content == "/info":
            peer_fp = await client.get_peer_fingerprint(message.from_user)
            verified = await client.is_fingerprint_verified(message.from_user)
            await client.send_message(
                to=message.from_user, content=f"Your fingerprint: {peer_fp}\nVerified: {verified}"
            )

    # Keep running
    try:
        await asyncio.Event().wait()
    finally:
        await client.logout()
