"""Messages that cannot be decrypted, and sessions that are too old, over real sockets."""

from __future__ import annotations

import json
import os
import uuid

import pytest
from doubles.clients import PASSWORD, Clients, Collected, texts
from doubles.faulty_backend import FaultyServer
from doubles.raw_client import raw_backend

from chatbot.client.client import WhatsAppClient
from chatbot.client.crypto.message import EncryptedMessage, RatchetHeader, encode_content
from chatbot.client.messaging.messenger import HEAL_NOTICE, MessagingOptions
from chatbot.client.options import ClientOptions
from chatbot.testing.clock import MovableClock

DAY = 86_400_000


async def damage(backend: FaultyServer, sender_id: str, receiver: WhatsAppClient) -> None:
    """Have the receiver get what it cannot decrypt, in the name of the sender, who is away.

    Anybody can claim any user id on the socket of the real backend.
    """
    noise = EncryptedMessage(RatchetHeader(os.urandom(32), 0, 0), os.urandom(64))
    async with raw_backend(backend.url) as raw, raw.socket() as socket:
        await socket.send("auth", userId=sender_id, username="whatever")
        await socket.next("online")
        await socket.send(
            "message",
            to=receiver.user_id,
            content=encode_content(noise),
            messageType="text",
            encrypted=True,
            messageId=str(uuid.uuid4()),
        )
        await socket.next("message")


async def pair(
    clients: Clients, options: ClientOptions | None = None
) -> tuple[WhatsAppClient, WhatsAppClient]:
    """Alice and Bob, who understand each other; Bob has the options."""
    alice = await clients.register("alice")
    bob = await clients.register("bob", options=options or ClientOptions())
    await bob.receive_message(await alice.send_message("bob", "hello"))
    await alice.receive_message(await bob.send_message("alice", "hello"))
    return alice, bob


async def test_what_cannot_be_decrypted_is_told_and_answered_once(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    alice, bob = await pair(faulty_clients)
    broken, read = Collected(bob.on_undecryptable), Collected(bob.on_message)
    alice_id = alice.user_id
    await alice.logout()
    for _ in range(2):
        await damage(faulty, alice_id, bob)
        peer, reason = await broken.next()
        assert peer == alice_id
        assert reason
    alice = faulty_clients.new()
    heard = Collected(alice.on_message)
    await alice.login("alice", PASSWORD)
    for word in ("and", "so", "on"):
        await alice.send_message("bob", word)
        await read.until_content(word, 60)  # behind what is looked for in the history
        await bob.send_message("alice", f"{word}!")
        await heard.until_content(f"{word}!")
    assert all(message.is_encrypted for message in read.all)
    assert texts(heard.all) == ["hello", HEAL_NOTICE, "and!", "so!", "on!"]


@pytest.mark.parametrize("notice", [None, "Pardon?"])
async def test_the_notice_is_a_setting(
    faulty: FaultyServer, faulty_clients: Clients, notice: str | None
) -> None:
    options = ClientOptions(messaging=MessagingOptions(heal_notice=notice))
    alice, bob = await pair(faulty_clients, options)
    broken = Collected(bob.on_undecryptable)
    alice_id = alice.user_id
    await alice.logout()
    await damage(faulty, alice_id, bob)
    await broken.next()
    alice = faulty_clients.new()
    heard = Collected(alice.on_message)
    await alice.login("alice", PASSWORD)
    await bob.send_message("alice", "healed by this")
    expected = (
        ["hello", "healed by this"] if notice is None else ["hello", notice, "healed by this"]
    )
    assert [(await heard.next(20)).content for _ in expected] == expected
    read = Collected(bob.on_message)
    await alice.send_message("bob", "yes")
    await read.until_content("yes", 60)
    assert all(message.is_encrypted for message in read.all)


async def test_a_session_unused_for_thirty_days_is_read_and_not_sent_in(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """SRS 6.4: time passes for Bob; what Alice still writes in the old session changes nothing."""
    clock = MovableClock()
    alice = await faulty_clients.register("alice")
    bob = await faulty_clients.register("bob", clock=clock)

    async def opens_session(sender: WhatsAppClient, receiver: WhatsAppClient, text: str) -> bool:
        sent = await sender.send_message(receiver.user_id, text)
        assert (await receiver.receive_message(sent)).is_encrypted
        (frame,) = (f for f in faulty.heard("message") if f["messageId"] == sent.id)
        return "x3dh" in json.loads(frame["content"])

    assert await opens_session(alice, bob, "hello")
    assert not await opens_session(bob, alice, "hello")
    clock.advance(29 * DAY)
    assert not await opens_session(bob, alice, "still here")
    clock.advance(31 * DAY)
    assert not await opens_session(alice, bob, "it is me again")
    assert await opens_session(bob, alice, "long time no see")
