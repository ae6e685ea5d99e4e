"""Messages that are stored and never pushed, and what comes behind them (PROTOCOL.md 4.3)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest
from doubles.clients import PASSWORD, Clients, Collected
from doubles.faulty_backend import FaultyServer
from doubles.pictures import PNG

from chatbot.client.crypto.message import decode_content
from chatbot.client.messaging import agenda
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import HistoryRow


async def test_what_was_missed_is_handled_before_what_shows_that_it_was(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    alice, bob = await faulty_clients.register("alice"), await faulty_clients.register("bob")
    heard, answered = Collected(bob.on_message), Collected(alice.on_message)
    await alice.send_message("bob", "hello")
    await bob.send_message("alice", "hello, you")
    await answered.next()
    faulty.faults.lost_pushes = True
    await alice.send_message("bob", "one")
    faulty.faults.lost_pushes = False
    await alice.send_message("bob", "two")
    await alice.send_message("bob", "three")
    said = [(await heard.next(20)).content for _ in range(4)]
    assert said == ["hello", "one", "two", "three"]


async def test_a_session_that_is_opened_may_have_had_others_before_it(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """Unanswered, every message of Alice's opens a session: no number shows that one is missing."""
    alice, bob = await faulty_clients.register("alice"), await faulty_clients.register("bob")
    heard = Collected(bob.on_message)
    for number in range(3):
        faulty.faults.lost_pushes = number < 2
        await alice.send_message("bob", str(number))
    assert [(await heard.next(20)).content for _ in range(3)] == ["0", "1", "2"]


async def test_two_of_ours_that_have_crossed_agree_without_a_pause(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    at_alice, at_bob = Collected(alice.on_message), Collected(bob.on_message)
    await asyncio.gather(
        alice.send_message("bob", "crossing"), bob.send_message("alice", "crossing")
    )
    for number in range(3):
        await alice.send_message("bob", f"alice {number}")
        await at_bob.until_content(f"alice {number}")
        await bob.send_message("alice", f"bob {number}")
        await at_alice.until_content(f"bob {number}")
    last = [row async for row in alice._account.rest.iter_history(bob.user_id)][-2:]
    assert [decode_content(row.content).x3dh for row in last] == [None, None]


async def test_sessions_that_are_opened_one_after_the_other_wait_for_one_look(
    clients: Clients, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every history is whole: to read one for each of them would be slower with every message."""
    whole, looks = RestClient.iter_history, list[str]()

    def counted(rest: RestClient, peer_id: str, **bounds: Any) -> AsyncGenerator[HistoryRow]:
        looks.append(peer_id)
        return whole(rest, peer_id, **bounds)

    monkeypatch.setattr(RestClient, "iter_history", counted)
    monkeypatch.setattr(agenda, "GAP_INTERVAL", 400)  # however slow the machine is
    alice, bob = await clients.register("alice"), await clients.register("bob")
    heard = Collected(bob.on_message)
    said = [str(number) for number in range(20)]
    for text in said:
        await alice.send_message("bob", text)
    assert [(await heard.next()).content for _ in said] == said
    assert looks.count(alice.user_id) < len(said) / 2


async def test_what_can_be_found_nowhere_holds_nothing_up(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    """What is over 2 MB the real backend forwards and does not store; here it is not pushed."""
    alice, bob = await faulty_clients.register("alice"), await faulty_clients.register("bob")
    heard, answered = Collected(bob.on_message), Collected(alice.on_message)
    await alice.send_message("bob", "hello")
    await bob.send_message("alice", "hello, you")
    await answered.next()
    faulty.faults.lost_pushes = True
    await alice.send_image("bob", PNG + bytes(2_000_000))
    faulty.faults.lost_pushes = False
    await alice.send_message("bob", "did you see it?")
    said = [(await heard.next(20)).content for _ in range(2)]
    assert said == ["hello", "did you see it?"]


async def test_a_history_that_cannot_be_read_at_once_is_waited_for(
    faulty: FaultyServer, faulty_clients: Clients
) -> None:
    alice, bob = await faulty_clients.register("alice"), await faulty_clients.register("bob")
    answered = Collected(alice.on_message)
    await bob.send_message("alice", "hello")
    await answered.next()
    await bob.logout()
    await alice.send_message("bob", "while you were away")
    faulty.fail_next(2, path="/api/messages/")
    bob = faulty_clients.new()
    heard = Collected(bob.on_message)
    await bob.login("bob", PASSWORD)
    await alice.send_message("bob", "now that you are here")
    said = [(await heard.next(20)).content for _ in range(2)]
    assert said == ["while you were away", "now that you are here"]
