"""Accounts and their directory, as people and as administrators meet them, over a real socket."""

from __future__ import annotations

from pathlib import Path

import pytest
from doubles.clients import PASSWORD, Clients, Collected
from doubles.pictures import PNG

from chatbot.client import (
    AuthenticationError,
    ClientSettings,
    PermissionDeniedError,
    UsernameExistsError,
    ValidationError,
    WhatsAppClient,
)
from chatbot.server import Server


async def test_registering_gives_an_account_that_can_log_in(clients: Clients) -> None:
    alice = clients.new()
    user = await alice.register("alice", PASSWORD, avatar="https://chat.example/a.png")
    assert (user.username, user.role, alice.user_id) == ("alice", "user", user.id)
    assert user.avatar == "https://chat.example/a.png"
    assert alice.connection_state == "connected"
    with pytest.raises(UsernameExistsError):
        await clients.new().register("alice", PASSWORD)
    await alice.logout()
    again = await clients.login("alice")
    assert again.user_id == user.id


async def test_a_wrong_password_is_refused(clients: Clients) -> None:
    await clients.register("alice")
    with pytest.raises(AuthenticationError):
        await clients.new().login("alice", "not the password")


async def test_logging_out_clears_memory_and_on_demand_the_disk(
    clients: Clients, tmp_path: Path
) -> None:
    alice = await clients.register("alice")
    files = [path for path in (tmp_path / "clients").rglob("*.db") if alice.user_id in str(path)]
    assert {path.name for path in files} == {"keys.db", "messages.db"}
    await alice.logout()
    with pytest.raises(ValidationError, match="not logged in"):
        await alice.send_message("bob", "hello")
    assert all(path.exists() for path in files)
    await alice.login("alice", PASSWORD)
    before = alice.get_fingerprint()
    await alice.logout(clear_storage=True)
    assert not any(path.exists() for path in files)
    await alice.login("alice", PASSWORD)
    assert alice.get_fingerprint() != before


async def test_the_directory(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    assert {user.username for user in await alice.list_users()} == {"alice", "bob"}
    found = await alice.find_user("bob")
    assert found is not None
    assert found.id == bob.user_id
    assert await alice.find_user("nobody") is None
    assert (await alice.get_user(bob.user_id)).username == "bob"
    with pytest.raises(ValidationError, match="no user"):
        await alice.get_user("bob")  # a name is no id


async def test_keys_are_on_the_backend_after_the_first_login(clients: Clients) -> None:
    alice = await clients.register("alice")
    status = await alice._account.rest.prekey_status()
    assert status.one_time_prekey_count == 100
    assert status.signed_prekey_key_id
    bob = await clients.register("bob")
    assert await bob.get_peer_fingerprint("alice") == alice.get_fingerprint()


async def test_the_connections_states_are_told(clients: Clients, server: Server) -> None:
    alice = await clients.register("alice", auto_connect=False)
    states, changes = Collected(alice.on_connection_state), Collected(alice.on_connection_change)
    await alice.connect()
    await states.until("connected")
    assert await changes.next() is True
    await server.stop()
    await states.until("reconnecting")
    assert await changes.next() is False


async def test_the_backends_complaints_are_told(clients: Clients) -> None:
    alice = await clients.register("alice")
    complaints = Collected(alice.on_error)
    await alice._account.socket.send("group_message", {"groupId": 7})
    assert await complaints.next()


async def test_administration_is_for_administrators(clients: Clients) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    for refused in (
        alice.list_accounts(),
        alice.disable_account(bob.user_id),
        alice.enable_account(bob.user_id),
        alice.allow_images(bob.user_id, allowed=False),
        alice.set_account_role(bob.user_id, "admin"),
    ):
        with pytest.raises(PermissionDeniedError):
            await refused


async def test_administration(clients: Clients, server: Server) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await server.make_admin("alice")
    await alice.allow_images("bob", allowed=False)
    with pytest.raises(PermissionDeniedError):
        await bob.send_image("alice", PNG)
    await alice.allow_images("bob")
    assert (await bob.send_image("alice", PNG)).image is not None
    await alice.set_account_role("bob", "admin")
    accounts = {account.username: account for account in await alice.list_accounts()}
    assert {name: a.role for name, a in accounts.items()} == {"alice": "admin", "bob": "admin"}
    with pytest.raises(ValidationError, match="role"):
        await alice.set_account_role("bob", "king")  # type: ignore[arg-type] # what is tested


async def test_a_disabled_account_is_out_until_it_is_enabled(
    clients: Clients, server: Server
) -> None:
    alice, bob = await clients.register("alice"), await clients.register("bob")
    await server.make_admin("alice")
    await alice.disable_account("bob")
    await bob.logout()
    with pytest.raises(AuthenticationError, match="disabled"):
        await clients.login("bob")
    await alice.enable_account("bob")
    assert (await clients.login("bob")).connection_state == "connected"


async def test_a_client_by_a_file_of_settings(server: Server, tmp_path: Path) -> None:
    file = tmp_path / "client.yaml"
    file.write_text(f"server: {{url: '{server.url}'}}\nstorage: {{path: '{tmp_path / 'here'}'}}\n")
    async with WhatsAppClient.from_settings(ClientSettings.load(file)) as client:
        await client.register("alice", PASSWORD)
        assert client.connection_state == "connected"
        assert (tmp_path / "here" / client.user_id / "keys.db").exists()
