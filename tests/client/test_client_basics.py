"""Registering, logging in, and chatting, over real sockets and files."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from doubles.clients import PASSWORD, Clients, Collected, clients_on, texts
from doubles.faulty_backend import FaultyServer
from doubles.raw_client import raw_backend

from chatbot.client.exceptions import (
    AuthenticationError,
    ConnectionError,
    SessionNotFoundError,
    StorageLockedError,
    UsernameExistsError,
    ValidationError,
    WrongPasswordError,
)
from chatbot.client.models import Message
from chatbot.server import Server


async def test_two_clients_chat_both_ways(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    to_bob, to_alice = Collected(bob.on_message), Collected(alice.on_message)
    for turn in range(5):
        sent = await alice.send_message("bob", f"ping {turn}")
        assert sent.status == "delivered"
        received: Message = await to_bob.next()
        assert (received.content, received.from_user) == (f"ping {turn}", alice.user_id)
        assert received.is_encrypted
        await bob.send_message(alice.user_id, f"pong {turn}")
        assert (await to_alice.next()).content == f"pong {turn}"
    history = texts(await alice.get_messages("bob"))
    assert history == [f"{word} {turn}" for turn in range(5) for word in ("ping", "pong")]


async def test_receive_message_waits_for_the_message(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    message = await alice.send_message(bob.user_id, "Hello, Bob!")
    received = await bob.receive_message(message)
    assert received.content == "Hello, Bob!"
    assert received.from_user == alice.user_id


async def test_ensure_session_shows_a_ready_session(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    session = await alice._crypto.ensure_session(bob.user_id)
    assert session.peer_id == bob.user_id
    assert session.status == "ready"
    assert session.root_key is not None
    assert "root_key" not in repr(session)


async def test_messages_wait_for_a_handler(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    for number in range(3):
        await bob.receive_message(await alice.send_message("bob", str(number)))
    late = Collected(bob.on_message)
    assert [(await late.next()).content for _ in range(3)] == ["0", "1", "2"]


async def test_a_message_that_no_handler_finished_comes_again_after_a_restart(
    clients: Clients,
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await bob.receive_message(await alice.send_message("bob", "remember me"))
    await bob.logout()
    bob = await clients.login("bob")
    assert (await Collected(bob.on_message).next()).content == "remember me"


async def test_the_second_time_it_logs_in(clients: Clients) -> None:
    first, again = clients.new(), clients.new()
    user = await first.register_or_login("alice", PASSWORD)
    await first.logout()
    assert await again.register_or_login("alice", PASSWORD) == user
    assert again.connection_state == "connected"


async def test_a_failing_handler_harms_nobody(
    clients: Clients, caplog: pytest.LogCaptureFixture
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")

    @bob.on_message
    async def fail(message: Message) -> None:
        raise RuntimeError(f"cannot handle {message.id}")

    received = Collected(bob.on_message)
    await alice.send_message("bob", "one")
    await alice.send_message("bob", "two")
    assert [(await received.next()).content for _ in range(2)] == ["one", "two"]
    assert "a handler of message failed" in caplog.text


async def test_going_on_in_the_same_session_after_a_restart(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    to_alice = Collected(alice.on_message)
    await bob.receive_message(await alice.send_message("bob", "before"))
    await bob.send_message("alice", "answer")
    await to_alice.next()
    session = await alice._crypto.ensure_session("bob")
    await alice.logout()
    alice = await clients.login("alice")
    assert (await alice._crypto.ensure_session("bob")).session_id == session.session_id
    sent = await alice.send_message("bob", "after")
    assert (await bob.receive_message(sent)).content == "after"
    assert (await alice._crypto.ensure_session("bob")).session_id == session.session_id


async def test_what_was_missed_is_read_on_return(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await bob.logout()
    sent = [await alice.send_message("bob", f"missed {n}") for n in range(3)]
    assert {message.status for message in sent} == {"sent"}
    bob = await clients.login("bob")
    received = Collected(bob.on_message)
    assert [(await received.next()).content for _ in range(3)] == [
        "missed 0",
        "missed 1",
        "missed 2",
    ]
    await bob.receive_message(await alice.send_message("bob", "live"))
    assert (await received.next()).content == "live"
    assert len(received.all) == 4


async def test_losing_the_storage_does_not_lose_the_account(
    clients: Clients, tmp_path: Path
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await bob.receive_message(await alice.send_message("bob", "hello"))
    await bob.logout(clear_storage=True)
    bob = await clients.login("bob", storage_path=tmp_path / "new disk")
    received = Collected(bob.on_message)
    changed = Collected(alice.on_identity_changed)
    await bob.send_message("alice", "it is me, on a new disk")
    peer, old, new = await changed.next()
    assert (peer, new) == (bob.user_id, bob.get_fingerprint())
    assert old != new
    sent = await alice.send_message("bob", "welcome back")
    assert (await received.next()).content == "welcome back"
    assert sent.status == "delivered"


async def test_bad_names_passwords_and_texts(clients: Clients) -> None:
    stranger = clients.new()
    with pytest.raises(ValidationError, match="3 to 100"):
        await stranger.register("ab", PASSWORD)
    with pytest.raises(ValidationError, match="at least 6"):
        await stranger.register("abc", "12345")
    with pytest.raises(ValidationError, match="not logged in"):
        await stranger.send_message("bob", "hello")
    alice = await clients.register("alice")
    with pytest.raises(UsernameExistsError):
        await stranger.register("alice", PASSWORD)
    with pytest.raises(AuthenticationError, match=r"'alice'.* What to do: check name and"):
        await stranger.login("alice", "wrong password")
    with pytest.raises(AuthenticationError, match=r"name 'alice' is taken.* login of 'alice'"):
        await stranger.register_or_login("alice", "wrong password")
    with pytest.raises(ValidationError, match="empty"):
        await alice.send_message("bob", "")
    with pytest.raises(ValidationError, match="at most"):
        await alice.send_message("bob", "x" * 70_000)
    with pytest.raises(ValidationError, match="Unicode"):
        await alice.send_message("bob", "\ud800")
    with pytest.raises(ValidationError, match=r"name another user"):
        await alice.send_message("alice", "me")
    with pytest.raises(SessionNotFoundError, match="nobody"):
        await alice.send_message("nobody", "hello")
    with pytest.raises(ValidationError, match="logged in already"):
        await alice.login("alice", PASSWORD)


async def test_a_user_without_keys_gets_nothing_not_even_plaintext(
    clients: Clients, server: Server
) -> None:
    alice = await clients.register("alice")
    async with raw_backend(server.url) as backend:
        await backend.register("keyless")
    with pytest.raises(SessionNotFoundError):
        await alice.send_message("keyless", "hello")
    assert await alice.get_messages("keyless") == []


async def test_a_second_client_on_the_same_files_is_refused(clients: Clients) -> None:
    await clients.register("alice")
    with pytest.raises(StorageLockedError):
        await clients.login("alice")


async def test_the_wrong_storage_password_changes_nothing(clients: Clients) -> None:
    alice = await clients.register("alice", storage_password="first")
    path = alice._account.path
    await alice.logout()
    before = {file: file.read_bytes() for file in path.iterdir()}
    with pytest.raises(WrongPasswordError):
        await clients.login("alice", storage_password="second")
    assert {file: file.read_bytes() for file in path.iterdir()} == before
    await clients.login("alice", storage_password="first")


async def test_nothing_is_kept_of_what_never_reached_the_socket(
    clients: Clients, server: Server
) -> None:
    alice, _ = await clients.register("alice"), await clients.register("bob")
    await alice.send_message("bob", "kept")
    lost = Collected(alice.on_connection_change)
    await server.stop()
    await lost.until(wanted=False)
    with pytest.raises(ConnectionError):
        await alice.send_message("bob", "not kept")
    assert texts(await alice.get_messages("bob")) == ["kept"]


async def test_the_backend_restarts_under_connected_clients(
    clients: Clients, server: Server
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    received = Collected(bob.on_message)
    states = Collected(alice.on_connection_state)
    await alice.send_message("bob", "before")
    await server.stop()
    await states.until("reconnecting")
    queued = await alice.queue_message("bob", "queued")
    await server.start()
    await states.until("connected", seconds=20)
    assert [(await received.next(20)).content for _ in range(2)] == ["before", "queued"]
    assert queued.status == "pending"


async def test_no_backend_is_a_connection_error(tmp_path: Path) -> None:
    async with clients_on("http://127.0.0.1:9", tmp_path) as nowhere:
        with pytest.raises(ConnectionError, match=r"127\.0\.0\.1:9"):
            await nowhere.login("alice")


async def test_logging_in_without_the_backend_where_that_was_done_before(
    clients: Clients, server: Server
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    received = Collected(bob.on_message)
    await alice.logout()
    await server.stop()
    alice = clients.new()
    await alice.login("alice", PASSWORD, offline=True)
    await server.start()
    states = Collected(alice.on_connection_state)
    if alice.connection_state != "connected":
        await states.until("connected", seconds=20)
    await alice.send_message("bob", "back again")
    assert (await received.next(20)).content == "back again"


async def test_presence_and_typing(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    assert bob.is_online(alice.user_id)
    typing, presence = Collected(bob.on_typing), Collected(bob.on_presence)
    await alice.send_typing("bob")
    assert await typing.next() == (alice.user_id, True)
    await alice.send_typing("bob", typing=False)
    assert await typing.next() == (alice.user_id, False)
    alice_id = alice.user_id
    await alice.logout()
    assert await presence.next() == (alice_id, False)
    assert not bob.is_online(alice_id)


async def test_fingerprints_agree(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    assert len(alice.get_fingerprint()) == 60
    assert await bob.get_peer_fingerprint("alice") == alice.get_fingerprint()
    assert not await bob.is_fingerprint_verified("alice")


async def test_the_deaf_socket_heals(faulty_clients: Clients, faulty: FaultyServer) -> None:
    alice, bob = await faulty_clients.register("alice"), await faulty_clients.register("bob")
    received = Collected(bob.on_message)
    states = Collected(bob.on_connection_state)
    faulty.drop_sockets(bob.user_id)
    await states.until("connected", seconds=20)
    sent = await alice.send_message("bob", "can you hear me?")
    assert (await received.next()).id == sent.id


async def test_one_conversation_is_handled_in_order_and_others_are_not_held_up(
    clients: Clients,
) -> None:
    alice, bob, carol = [await clients.register(name) for name in ("alice", "bob", "carol")]
    release = asyncio.Event()
    handled: list[str] = []
    carols, last = asyncio.Event(), asyncio.Event()

    @bob.on_message
    async def handle(message: Message) -> None:
        if message.content == "slow":
            await release.wait()
        handled.append(message.content)
        if message.from_user == carol.user_id:
            carols.set()
        if message.content == "last":
            last.set()

    await alice.send_message("bob", "slow")
    await alice.send_message("bob", "after it")
    await carol.send_message("bob", "quick")
    async with asyncio.timeout(10):
        await carols.wait()
    assert handled == ["quick"]
    release.set()
    await alice.send_message("bob", "last")
    async with asyncio.timeout(10):
        await last.wait()
    assert handled == ["quick", "slow", "after it", "last"]
