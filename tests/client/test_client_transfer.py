"""Moving in, moving out, beginning anew, and disks that go back in time."""

from __future__ import annotations

import json
import shutil
from base64 import b64encode
from pathlib import Path

import pytest
from doubles.clients import PASSWORD, Clients, Collected, texts
from doubles.raw_client import raw_backend

from chatbot.client.client import WhatsAppClient
from chatbot.client.crypto.identity import Identity
from chatbot.client.exceptions import (
    ConnectionError,
    SessionNotFoundError,
    StorageError,
    ValidationError,
    WrongPasswordError,
)
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions
from chatbot.server import Server

SEED = bytes(range(32))


async def talk(one: WhatsAppClient, other: WhatsAppClient, *words: str) -> None:
    """Have both say these things to each other, each read by the other."""
    for word in words:
        for sender, receiver in ((one, other), (other, one)):
            sent = await sender.send_message(receiver.user_id, f"{sender.user.username}: {word}")
            received = await receiver.receive_message(sent)
            assert received.is_encrypted
            assert received.content == f"{sender.user.username}: {word}"


async def session_id(client: WhatsAppClient, peer: WhatsAppClient) -> str:
    return (await client._crypto.ensure_session(peer.user_id)).session_id


async def signed_prekey(client: WhatsAppClient) -> int:
    return (await client._account.rest.prekey_status()).signed_prekey_key_id or 0


def undecryptable(client: WhatsAppClient) -> int:
    return client._account.messenger.receiver.undecryptable.total()


def account_files(client: WhatsAppClient) -> Path:
    return client._account.path


class TestSessions:
    async def test_a_session_goes_on_in_another_storage(
        self, clients: Clients, tmp_path: Path
    ) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "in the browser")
        seed = alice._account.key_ring.identity.seed
        exported = await alice.export_session("bob")
        await alice.logout()
        alice = clients.new(storage_path=tmp_path / "moved", auto_connect=False)
        await alice.login("alice", PASSWORD)
        await alice.import_identity(seed)
        await alice.connect()
        await alice.import_session("bob", exported)
        changes = Collected(bob.on_identity_changed)
        sent = await alice.send_message("bob", "here I am again")
        assert (await bob.receive_message(sent)).content == "here I am again"
        await talk(alice, bob, "and so on")
        assert (await session_id(alice, bob)).startswith("b-")
        assert changes.all == []
        assert undecryptable(alice) == undecryptable(bob) == 0

    async def test_it_survives_a_restart(self, clients: Clients, tmp_path: Path) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        seed, exported = alice._account.key_ring.identity.seed, await alice.export_session("bob")
        await alice.logout()
        alice = clients.new(storage_path=tmp_path / "moved")
        await alice.login("alice", PASSWORD)
        await alice.import_identity(seed)
        await alice.import_session("bob", exported)
        await alice.logout()
        await alice.login("alice", PASSWORD)
        await talk(alice, bob, "after")
        assert (await session_id(alice, bob)).startswith("b-")

    async def test_the_same_session_is_not_imported_twice(
        self, clients: Clients, tmp_path: Path
    ) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "hello")
        exported = await alice.export_session("bob")
        other = clients.new(storage_path=tmp_path / "moved")
        await alice.logout()
        await other.login("alice", PASSWORD)
        await other.import_session("bob", exported)
        with pytest.raises(ValidationError, match="imported before"):
            await other.import_session("bob", exported)

    async def test_one_under_another_identity_is_refused(self, clients: Clients) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "hello")
        exported = await alice.export_session("bob")
        await bob.reset_encryption()
        with pytest.raises(ValidationError, match="another identity"):
            await alice.import_session("bob", exported)

    async def test_what_is_no_session_of_that_peer(self, clients: Clients) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "hello")
        exported = await alice.export_session("bob")
        carol = await clients.register("carol")
        with pytest.raises(ValidationError, match="somebody else"):
            await alice.import_session("carol", exported)
        with pytest.raises(ValidationError, match="cannot be read"):
            await alice.import_session("bob", "a session, honestly")
        with pytest.raises(SessionNotFoundError, match="nobody"):
            await alice.import_session("nobody", exported)
        with pytest.raises(SessionNotFoundError, match="no session"):
            await alice.export_session(carol.user_id)
        assert json.loads(exported)["peerId"] == bob.user_id


class TestIdentity:
    async def test_a_seed_in_any_form(self, clients: Clients) -> None:
        alice = await clients.register("alice", auto_connect=False)
        for given in (SEED, SEED.hex(), SEED.hex().upper(), f" {b64encode(SEED).decode()}\n"):
            assert await alice.import_identity(given) == Identity.from_seed(SEED).fingerprint
        await alice.connect()
        bob = await clients.register("bob")
        assert await bob.get_peer_fingerprint("alice") == Identity.from_seed(SEED).fingerprint
        await talk(alice, bob, "hello")

    async def test_what_is_no_seed(self, clients: Clients) -> None:
        alice = await clients.register("alice", auto_connect=False)
        before = alice.get_fingerprint()
        for given in (b"", SEED[:-1], "", "seed", "0" * 63, "é" * 32):
            with pytest.raises(ValidationError, match="32 bytes"):
                await alice.import_identity(given)
        assert alice.get_fingerprint() == before

    async def test_beginning_anew(self, clients: Clients) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        newest = await signed_prekey(alice)
        changes = Collected(bob.on_identity_changed)
        before, after = alice.get_fingerprint(), await alice.reset_encryption()
        assert alice.get_fingerprint() == after != before
        assert await signed_prekey(alice) == newest + 1_000_000
        assert (await alice._account.rest.prekey_status()).one_time_prekey_count == 100
        await talk(alice, bob, "after")
        assert await changes.next() == (alice.user_id, before, after)
        assert await bob.get_peer_fingerprint("alice") == after
        assert undecryptable(alice) == undecryptable(bob) == 0
        await alice.logout()
        await alice.login("alice", PASSWORD)
        assert alice.get_fingerprint() == after
        await talk(alice, bob, "and later")
        assert len(changes.all) == 1

    async def test_a_peer_that_has_not_heard_of_it_is_healed(self, clients: Clients) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        reasons = Collected(alice.on_undecryptable)
        await alice.reset_encryption()
        await talk(bob, alice, "in the old session", "in the new one")
        assert reasons.all == [(bob.user_id, "no-session")]
        assert undecryptable(bob) == 0

    async def test_nothing_that_was_said_is_lost(self, clients: Clients) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        await alice.reset_encryption()
        assert texts(await alice.get_messages("bob")) == ["alice: before", "bob: before"]

    async def test_what_waits_for_a_peer_goes_out_under_the_new_identity(
        self, clients: Clients
    ) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        await bob.logout()
        await alice.send_message("bob", "for later")
        await alice.reset_encryption()
        await bob.login("bob", PASSWORD)
        received = Collected(bob.on_message)
        assert (await received.next()).content == "alice: before"
        assert (await received.next()).content == "for later"

    async def test_cut_short_it_is_finished_at_the_next_login(self, clients: Clients) -> None:
        """The old prekeys are gone with the old identity; the new ones were never published."""
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        account = alice._account
        await account.keys.replace_identity(alice.user_id, Identity.generate(), 1)
        await alice.logout()
        await alice.login("alice", PASSWORD)
        await talk(alice, bob, "after")
        assert undecryptable(alice) == undecryptable(bob) == 0

    async def test_while_the_backend_is_away(self, clients: Clients, server: Server) -> None:
        quick = ClientOptions(reconnect_delay=0.2)
        alice = await clients.register("alice", options=quick)
        bob = await clients.register("bob", options=quick)
        await talk(alice, bob, "before")
        states = Collected(alice.on_connection_state)
        await server.stop()
        await states.until("reconnecting")
        with pytest.raises(ConnectionError):
            await alice.reset_encryption()
        peers = Collected(bob.on_connection_state)
        await server.start()
        await states.until("connected", seconds=20)
        if bob.connection_state != "connected":
            await peers.until("connected", seconds=20)
        await talk(alice, bob, "after")


class TestBackups:
    async def test_an_account_comes_back_elsewhere(self, clients: Clients, tmp_path: Path) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        fingerprint = alice.get_fingerprint()
        await alice.backup(tmp_path / "alice.backup", "of the backup")
        await talk(alice, bob, "after the backup")
        await alice.logout()
        elsewhere = tmp_path / "elsewhere"
        owner = await WhatsAppClient.restore(tmp_path / "alice.backup", "of the backup", elsewhere)
        assert owner.username == "alice"
        changes = Collected(bob.on_identity_changed)
        alice = clients.new(storage_path=elsewhere)
        await alice.login("alice", PASSWORD)
        assert alice.get_fingerprint() == fingerprint
        assert texts(await alice.get_messages("bob")) == ["alice: before", "bob: before"]
        await talk(bob, alice, "restored")
        await talk(alice, bob, "and on")
        assert changes.all == []
        assert undecryptable(bob) == 0

    async def test_no_ratchet_runs_from_an_old_state(
        self, clients: Clients, tmp_path: Path
    ) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        old = await session_id(alice, bob)
        await alice.backup(tmp_path / "b", "of the backup")
        await alice.logout()
        await WhatsAppClient.restore(tmp_path / "b", "of the backup", tmp_path / "elsewhere")
        alice = clients.new(storage_path=tmp_path / "elsewhere")
        await alice.login("alice", PASSWORD)
        assert await session_id(alice, bob) != old

    async def test_what_cannot_be_restored(self, clients: Clients, tmp_path: Path) -> None:
        alice = await clients.register("alice")
        await alice.backup(tmp_path / "b", "of the backup")
        with pytest.raises(StorageError, match="exists already"):
            await alice.backup(tmp_path / "b", "of the backup")
        storage = account_files(alice).parent
        with pytest.raises(StorageError, match="exists already"):
            await WhatsAppClient.restore(tmp_path / "b", "of the backup", storage)
        with pytest.raises(WrongPasswordError):
            await WhatsAppClient.restore(tmp_path / "b", "a guess", tmp_path / "elsewhere")


class TestRolledBackDisks:
    """The folder of an account is put back as it was some time ago."""

    async def roll_back(
        self, clients: Clients, alice: WhatsAppClient, copy: Path
    ) -> WhatsAppClient:
        path = account_files(alice)
        await alice.logout()
        shutil.rmtree(path)
        shutil.copytree(copy, path)
        alice = clients.new()
        await alice.login("alice", PASSWORD)
        return alice

    async def copied(self, clients: Clients, alice: WhatsAppClient, copy: Path) -> WhatsAppClient:
        path = account_files(alice)
        await alice.logout()
        shutil.copytree(path, copy)
        alice = clients.new()
        await alice.login("alice", PASSWORD)
        return alice

    async def test_sessions_are_established_anew(self, clients: Clients, tmp_path: Path) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        heard: list[Message] = []
        bob.on_message(heard.append)
        await talk(alice, bob, "before")
        alice = await self.copied(clients, alice, tmp_path / "copy")
        await talk(alice, bob, *map(str, range(20)))
        changes = Collected(bob.on_identity_changed)
        old = await session_id(bob, alice)
        newest = await signed_prekey(alice)
        alice = await self.roll_back(clients, alice, tmp_path / "copy")
        handled = Collected(alice.on_message)
        back = Collected(alice.on_connection_state)
        await back.until("connected")  # for the second time: off the line in between
        await talk(bob, alice, "after")
        await talk(alice, bob, "and on")
        assert await session_id(bob, alice) != old
        assert changes.all == []
        assert undecryptable(bob) == 0
        assert await signed_prekey(alice) == newest + 1_000_000
        await handled.until_content("bob: and on")
        assert texts(handled.all)[-2:] == ["bob: after", "bob: and on"]
        ids = [message.id for message in heard]
        assert len(ids) == len(set(ids))

    async def test_it_is_noticed_once(self, clients: Clients, tmp_path: Path) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        alice = await self.copied(clients, alice, tmp_path / "copy")
        await talk(alice, bob, "lost")
        alice = await self.roll_back(clients, alice, tmp_path / "copy")
        back = Collected(alice.on_connection_state)
        await back.until("connected")
        await talk(alice, bob, "after")
        newest = await signed_prekey(alice)
        await alice.logout()
        alice = await clients.login("alice")
        await alice.get_messages("bob", sync=True)
        await talk(alice, bob, "later")
        assert await signed_prekey(alice) == newest
        assert undecryptable(alice) == undecryptable(bob) == 0

    async def test_a_disk_without_the_last_rotation(self, clients: Clients, tmp_path: Path) -> None:
        """The backend knows of prekeys that this disk never made, whatever the histories say."""
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "before")
        old = await session_id(alice, bob)
        alice = await self.copied(clients, alice, tmp_path / "copy")
        await alice.reset_encryption()
        changes = Collected(bob.on_identity_changed)
        alice = await self.roll_back(clients, alice, tmp_path / "copy")
        assert await session_id(alice, bob) != old
        await talk(alice, bob, "after")
        assert undecryptable(alice) == undecryptable(bob) == 0
        assert [new for _, _, new in changes.all] == []

    async def test_an_honest_disk_is_not_suspected(self, clients: Clients) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "one", "two")
        session = await session_id(alice, bob)
        newest = await signed_prekey(alice)
        for _ in range(2):
            await alice.logout()
            await alice.login("alice", PASSWORD)
            await alice.get_messages("bob", sync=True)
            await talk(alice, bob, "three")
        assert await session_id(alice, bob) == session
        assert await signed_prekey(alice) == newest

    async def test_ids_that_a_backend_makes_up_prove_nothing(
        self, clients: Clients, server: Server
    ) -> None:
        alice, bob = await clients.register("alice"), await clients.register("bob")
        await talk(alice, bob, "one")
        session = await session_id(alice, bob)
        token = await alice._account.rest.tokens.current()
        async with raw_backend(server.url) as backend:
            await backend.call(
                "POST",
                "/api/messages",
                {
                    "id": "3b241101-e2bb-4255-8caf-4136c566a962",
                    "fromUser": alice.user_id,
                    "toUser": bob.user_id,
                    "content": "never said",
                    "timestamp": 2**52,
                    "status": "sent",
                },
                headers={"Authorization": f"Bearer {token}"},
            )
        await alice.get_messages("bob", sync=True)
        await talk(alice, bob, "two")
        assert await session_id(alice, bob) == session
