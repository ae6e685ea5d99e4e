"""A backend that lies: it costs bounded time, what it says is told apart, and nothing breaks.

Frames and histories without end are among the tests of the transport.
"""

from __future__ import annotations

import asyncio
import json
import logging
import os
import time
import uuid
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest
from doubles.browser import Browser
from doubles.clients import PASSWORD, Clients, Collected, texts
from doubles.faulty_backend import FaultyServer
from doubles.raw_client import raw_backend

from chatbot.client.client import WhatsAppClient
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.message import (
    E2EE_PREFIX,
    EncryptedMessage,
    RatchetHeader,
    X3DHHeader,
    encode_content,
)
from chatbot.client.messaging import agenda
from chatbot.client.messaging.messenger import MessagingOptions
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions
from chatbot.client.transport.rest_client import RestClient
from chatbot.testing.clock import MovableClock
from chatbot.wire import HistoryRow

FRAMES = (
    "message",
    "online",
    "status",
    "read",
    "typing",
    "group_message",
    "group_typing",
    "group_read",
    "group_event",
    "error",
)

NONSENSE: tuple[Any, ...] = (
    None,
    7,
    "text",
    [],
    [[]],
    {},
    {"id": 1, "from": [], "to": {}, "content": 3, "timestamp": "now"},
    {"users": 5, "userId": [], "online": "yes"},
    {"users": [None, 1, {"userId": 1}]},
    {"messageId": None, "messageIds": "all", "status": 9, "readBy": {}},
    {"messageIds": [[], {}, 1]},
    {"groupId": 1, "group_id": [], "from_user": 0, "event": {}},
    {"message": {"text": "an object"}},
    {"timestamp": 1e308, "typing": "maybe", "encrypted": "perhaps"},
)


@pytest.fixture(autouse=True)
def no_tracebacks(caplog: pytest.LogCaptureFixture) -> Iterator[None]:
    """Whatever a backend says, nothing is logged as a failure of ours."""
    yield
    failures = [r for r in caplog.records if r.exc_info or r.levelno >= logging.ERROR]
    assert [r.getMessage() for r in failures] == []


async def pair(faulty: FaultyServer, clients: Clients) -> tuple[WhatsAppClient, WhatsAppClient]:
    """Alice and Bob, who understand each other, and whose sockets are theirs."""
    faulty.faults.deaf_second_login = faulty.faults.unanswered_close = False
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await talk(alice, bob)
    return alice, bob


async def talk(alice: WhatsAppClient, bob: WhatsAppClient) -> None:
    for sender, receiver in ((alice, bob), (bob, alice)):
        sent = await sender.send_message(receiver.user_id, "hello")
        assert (await receiver.receive_message(sent)).is_encrypted


async def stored(server: FaultyServer, me: WhatsAppClient, peer: WhatsAppClient) -> list[Any]:
    """The rows of a conversation as the backend has them."""
    async with raw_backend(server.url) as raw:
        answer = await raw.call("GET", f"/api/messages/{peer.user_id}?user={me.user_id}")
        assert isinstance(answer.body, list)
        return answer.body


def pushed(row: dict[str, Any], **changes: Any) -> bytes:
    """A row of the history as the frame that brought it, changed."""
    payload = {
        "id": row["id"],
        "from": row["fromUser"],
        "to": row["toUser"],
        "content": row["content"],
        "timestamp": row["timestamp"],
        "status": "sent",
        "type": "text",
        "encrypted": True,
    }
    return json.dumps({"type": "message", "payload": payload | changes}).encode()


async def test_wrong_types_in_every_frame(faulty: FaultyServer, faulty_clients: Clients) -> None:
    alice, bob = await pair(faulty, faulty_clients)
    for kind in FRAMES:
        for payload in NONSENSE:
            frame = {"type": kind, "payload": payload}
            assert faulty.push(bob.user_id, json.dumps(frame).encode())
    await talk(alice, bob)


async def test_replays_and_swapped_ids_are_delivered_to_nobody(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    alice, bob = await pair(faulty, faulty_clients)
    mallory = await faulty_clients.register("mallory")
    for number in range(3):
        await bob.receive_message(await alice.send_message("bob", f"message {number}"))
    heard = Collected(bob.on_message)
    rows = [r for r in await stored(faulty, bob, alice) if r["fromUser"] == alice.user_id]
    for _ in range(20):
        for row in rows:
            faulty.push(bob.user_id, pushed(row))
            faulty.push(bob.user_id, pushed(row, id=str(uuid.uuid4())))
            faulty.push(bob.user_id, pushed(row, **{"from": mallory.user_id}))
            faulty.push(bob.user_id, pushed(row, to=mallory.user_id))
            faulty.push(bob.user_id, pushed(row, **{"from": bob.user_id}))
    async with asyncio.timeout(60):
        await bob.receive_message(await alice.send_message("bob", "the end"))
    await heard.until_content("the end")
    genuine = ["hello", *(f"message {number}" for number in range(3)), "the end"]
    assert [m.content for m in heard.all if m.from_user == alice.user_id] == genuine
    assert [m.content for m in heard.all if m.from_user != alice.user_id] == []


async def test_forged_plaintext_under_a_real_id_blocks_nothing(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    alice, bob = await pair(faulty, faulty_clients)
    heard = Collected(bob.on_message)
    await heard.next()
    faulty.faults.lost_pushes = True
    sent = await alice.send_message("bob", "genuine")
    faulty.faults.lost_pushes = False
    (row,) = [r for r in await stored(faulty, bob, alice) if r["id"] == sent.id]
    faulty.push(bob.user_id, pushed(row, content="pay mallory", encrypted=False))
    forged = await heard.next()
    assert (forged.content, forged.is_encrypted) == ("pay mallory", False)
    faulty.push(bob.user_id, pushed(row))
    genuine = await heard.next()
    assert (genuine.content, genuine.is_encrypted) == ("genuine", True)
    assert forged.id == genuine.id
    await talk(alice, bob)


async def test_an_identity_that_nobody_publishes_is_looked_for_once(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """Each look at Alice's keys costs her a one-time prekey."""
    alice, bob = await pair(faulty, faulty_clients)
    heard, broken = Collected(bob.on_message), Collected(bob.on_undecryptable)
    async with raw_backend(faulty.url) as raw:
        person, mallory = await raw.register("mallory"), Browser()
        bundle = await person.get(f"/api/users/{bob.user_id}/prekeys")
    before = (await alice._account.rest.prekey_status()).one_time_prekey_count
    for number in range(3):
        mallory.forget_sessions()
        content = mallory.encrypt(bob.user_id, "trust me", bundle)
        row = {
            "id": f"forged {number}",
            "fromUser": alice.user_id,
            "toUser": bob.user_id,
            "content": content,
            "timestamp": 0,
        }
        faulty.push(bob.user_id, pushed(row))
        assert await broken.next() == (alice.user_id, "identity")
    after = (await alice._account.rest.prekey_status()).one_time_prekey_count
    await alice.send_message("bob", "it was not me")
    await heard.until_content("it was not me")

    assert before - after <= 2  # the other is for the notice that heals
    assert "trust me" not in [message.content for message in heard.all]


async def test_identities_that_change_on_each_fetch(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """They are told of and cost little, and who was known before is understood meanwhile.

    Once the backend is honest again, so are the two that it came between.
    """
    alice, bob = await pair(faulty, faulty_clients)
    carol = await faulty_clients.register("carol")
    await talk(carol, alice)
    changed, broken = Collected(alice.on_identity_changed), Collected(alice.on_undecryptable)
    faulty.faults.shifting_identities = True
    await bob.reset_encryption()
    for number in range(5):
        await bob.send_message("alice", f"message {number}")
    assert (await broken.next(30))[0] == bob.user_id
    assert 1 <= len(changed.all) <= 10
    await talk(carol, alice)
    faulty.faults.shifting_identities = False
    await heal(alice, bob)
    await talk(alice, bob)


async def heal(alice: WhatsAppClient, bob: WhatsAppClient) -> None:
    """Let each say something until they understand each other, which has to be soon."""
    outcomes = {client: Outcomes(client) for client in (alice, bob)}
    async with asyncio.timeout(30):
        for _ in range(8):
            understood = []
            for sender, receiver in ((bob, alice), (alice, bob)):
                await sender.send_message(receiver.user_id, "can you read this?")
                understood.append(await outcomes[receiver].get() == "read")
            if all(understood):
                return
    pytest.fail("they do not understand each other")


class Outcomes(asyncio.Queue[str]):
    """What becomes of the messages that come to a client: `read` or `reported`."""

    def __init__(self, client: WhatsAppClient) -> None:
        super().__init__()
        client.on_message(self._read)
        client.on_undecryptable(self._reported)

    async def _read(self, _message: Message) -> None:
        self.put_nowait("read")

    async def _reported(self, _peer: str, _reason: str) -> None:
        self.put_nowait("reported")


async def test_however_many_forged_messages_a_history_holds_the_genuine_ones_are_found(
    faulty: FaultyServer, faulty_clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each minute some of them may be tried; those that were leave time for the others."""
    clock, read = MovableClock(), RestClient.iter_history

    def after_a_minute(rest: RestClient, peer_id: str, **bounds: Any) -> AsyncGenerator[HistoryRow]:
        clock.advance(60_000)
        return read(rest, peer_id, **bounds)

    monkeypatch.setattr(RestClient, "iter_history", after_a_minute)
    monkeypatch.setattr(agenda, "RETRY_INTERVAL", 0.05)
    alice, bob = await pair(faulty, faulty_clients)
    forged = [forged_row(bob.user_id, alice.user_id) for _ in range(24)]
    await alice.logout()
    async with raw_backend(faulty.url) as raw:
        for row in forged:
            assert (await raw.call("POST", "/api/messages", row)).status == 201
    await bob.reset_encryption()
    await bob.send_message("alice", "genuine")
    alice = faulty_clients.new(clock=clock)
    heard = Collected(alice.on_message)
    await alice.login("alice", PASSWORD)
    await heard.until_content("genuine")
    assert texts(heard.all) == ["hello", "genuine"]


def forged_row(sender: str, receiver: str) -> dict[str, Any]:
    """What opens a session and does not; anybody can leave it in anybody's name."""
    opening = X3DHHeader(generate_key_pair().public, generate_key_pair().public, 1)
    header = RatchetHeader(generate_key_pair().public, 0, 0)
    content = encode_content(EncryptedMessage(header, os.urandom(64), opening))
    return {
        "id": str(uuid.uuid4()),
        "fromUser": sender,
        "toUser": receiver,
        "content": f"{E2EE_PREFIX}{content}",
        "timestamp": int(time.time() * 1000),
        "status": "sent",
    }


async def test_stale_one_time_prekeys_are_healed(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """The private halves are gone with Bob's disk, and the backend hands out the old ones first."""
    options = ClientOptions(messaging=MessagingOptions(use_one_time_prekeys=True))
    faulty.faults.deaf_second_login = False
    bob = await faulty_clients.register("bob")
    await bob.logout(clear_storage=True)
    bob = faulty_clients.new()
    heard, broken = Collected(bob.on_message), Collected(bob.on_undecryptable)
    await bob.login("bob", PASSWORD)
    alice = await faulty_clients.register("alice", options=options)
    answers = Collected(alice.on_message)
    await alice.send_message("bob", "under a stale key")
    peer, reason = await broken.next()
    assert peer == alice.user_id
    assert reason
    await answers.next(20)  # the notice, which opens a session
    await alice.send_message("bob", "healed")
    await heard.until_content("healed")
    assert all(message.is_encrypted for message in heard.all)
