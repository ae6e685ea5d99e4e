"""Every row of PROTOCOL.md 2, against the embedded backend over real sockets."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest
from argon2 import PasswordHasher
from nacl.signing import SigningKey

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.transport.rest_client import RestClient
from chatbot.server.server import Server

PASSWORD = "correct horse"


@pytest.fixture
async def server(tmp_path: Path) -> AsyncGenerator[Server]:
    hasher = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    async with Server(tmp_path / "backend.db", port=0, password_hasher=hasher) as running:
        yield running


async def join(server: Server, name: str) -> RestClient:
    rest = RestClient(server.url)
    account = await rest.register(name, PASSWORD)
    rest.act_as(account.id, account.token)
    return rest


@pytest.fixture
async def alice(server: Server) -> AsyncGenerator[RestClient]:
    rest = await join(server, "alice")
    yield rest
    await rest.close()


@pytest.fixture
async def bob(server: Server) -> AsyncGenerator[RestClient]:
    rest = await join(server, "bob")
    yield rest
    await rest.close()


def b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def key_upload(first_id: int = 1, count: int = 2) -> wire.KeyUpload:
    signing = SigningKey(bytes(32))
    identity = b"\x09" + bytes(31)
    prekey = b"\x05" * 32
    return wire.KeyUpload(
        identity_key=b64(identity),
        signing_key=b64(bytes(signing.verify_key)),
        fingerprint=hashlib.sha256(identity).hexdigest().upper()[:60],
        signed_prekey=wire.SignedPrekeyBody(
            first_id, b64(prekey), b64(signing.sign(prekey).signature)
        ),
        one_time_prekeys=[
            wire.OneTimePrekeyBody(first_id + n, b64(bytes([n]) * 32)) for n in range(1, count + 1)
        ],
    )


# ---------------------------------------------------------------- accounts


async def test_registering_and_logging_in(server: Server) -> None:
    rest = RestClient(server.url)
    registered = await rest.register("alice", PASSWORD, avatar="data:image/png;base64,AA==")
    logged_in = await rest.login("alice", PASSWORD)
    assert registered.id == logged_in.id
    assert logged_in.username == "alice"
    assert logged_in.avatar == "data:image/png;base64,AA=="
    assert [user.username for user in await rest.users()] == ["alice"]
    await rest.close()


async def test_registering_refused(alice: RestClient) -> None:
    with pytest.raises(exceptions.UsernameExistsError, match="Username already taken"):
        await alice.register("alice", PASSWORD)
    with pytest.raises(exceptions.ValidationError, match="at least 3"):
        await alice.register("al", PASSWORD)
    with pytest.raises(exceptions.ValidationError, match="at least 6"):
        await alice.register("alicia", "short")
    with pytest.raises(exceptions.ValidationError, match="Unicode"):
        await alice.register("al\ud800ce", PASSWORD)


async def test_logging_in_refused(server: Server, alice: RestClient, bob: RestClient) -> None:
    with pytest.raises(exceptions.AuthenticationError, match="Invalid username or password"):
        await bob.login("alice", "wrong password")
    await server.make_admin("bob")
    await bob.set_user_active(alice.user_id, active=False)
    with pytest.raises(exceptions.AuthenticationError, match="Your account has been disabled"):
        await bob.login("alice", PASSWORD)


async def test_calls_need_a_login(server: Server) -> None:
    rest = RestClient(server.url)
    with pytest.raises(exceptions.AuthenticationError):
        await rest.prekey_status()
    with pytest.raises(exceptions.AuthenticationError):
        await rest.iter_history("somebody").__anext__()
    with pytest.raises(exceptions.AuthenticationError, match="Log in first"):
        await rest.groups()
    await rest.close()


async def test_a_refused_token_is_replaced_by_logging_in_once(server: Server) -> None:
    logins = 0

    async def relogin() -> str:
        nonlocal logins
        logins += 1
        return (await rest.login("alice", PASSWORD)).token

    rest = RestClient(server.url, relogin=relogin)
    account = await rest.register("alice", PASSWORD)
    rest.act_as(account.id, "not.a.token")
    assert (await rest.prekey_status()).one_time_prekey_count == 0
    assert await rest.groups() == []
    assert [row async for row in rest.iter_history(account.id)] == []
    assert logins == 1
    rest.act_as(account.id)
    assert await rest.groups() == []
    assert logins == 2
    await rest.close()


@pytest.mark.parametrize("user_id", ["a\r\nX-Evil: 1", "é"])
async def test_a_user_id_unfit_for_a_header_is_refused(server: Server, user_id: str) -> None:
    with pytest.raises(exceptions.BackendError, match="cannot be used"):
        RestClient(server.url).act_as(user_id)


# ---------------------------------------------------------------- keys


async def test_keys_are_published_counted_and_handed_out(
    alice: RestClient, bob: RestClient
) -> None:
    assert await alice.prekey_status() == wire.PrekeyStatus()
    uploaded = await alice.upload_keys(key_upload())
    assert (uploaded.signed_prekey_uploaded, uploaded.one_time_prekeys_uploaded) == (True, 2)
    status = await alice.prekey_status()
    assert (status.signed_prekey_key_id, status.one_time_prekey_count) == (1, 2)
    bundles = [await bob.prekey_bundle(alice.user_id) for _ in range(3)]
    assert all(bundle.identity_key == key_upload().identity_key for bundle in bundles)
    assert [b.one_time_prekey and b.one_time_prekey.key_id for b in bundles] == [2, 3, None]
    with pytest.raises(exceptions.SessionNotFoundError, match="Key material not found"):
        await alice.prekey_bundle(bob.user_id)
    with pytest.raises(exceptions.SessionNotFoundError):
        await alice.prekey_bundle("no/such user?#%2F")


async def test_fingerprints_are_verified_and_taken_back(alice: RestClient, bob: RestClient) -> None:
    await bob.upload_keys(key_upload())
    assert await alice.verification(bob.user_id) == wire.Verification(verified=False)
    fingerprint = key_upload().fingerprint
    await alice.verify_key(bob.user_id, fingerprint, "manual")
    verification = await alice.verification(bob.user_id)
    assert verification.verified
    assert (verification.fingerprint, verification.method) == (fingerprint, "manual")
    await alice.unverify_key(bob.user_id)
    assert not (await alice.verification(bob.user_id)).verified


# ---------------------------------------------------------------- messages


async def test_messages_are_stored_read_and_marked(alice: RestClient, bob: RestClient) -> None:
    for n in range(3):
        await alice.store_message(
            wire.StoreMessageBody(
                id=f"m{n}",
                from_user=alice.user_id,
                to_user=bob.user_id,
                content=f"Hällo {n}",
                timestamp=1000 + n,
            )
        )
    rows = [row async for row in bob.iter_history(alice.user_id)]
    assert [(row.id, row.content, row.status) for row in rows] == [
        (f"m{n}", f"Hällo {n}", "sent") for n in range(3)
    ]
    newer = [row.id async for row in bob.iter_history(alice.user_id, after=rows[0].timestamp)]
    assert newer == [row.id for row in rows if row.timestamp > rows[0].timestamp]
    assert await bob.set_status(["m0", "m1", "unknown"], "read") == 2
    statuses = [row.status async for row in alice.iter_history(bob.user_id)]
    assert statuses == ["read", "read", "sent"]


async def test_a_status_batch_has_1_to_98_ids(alice: RestClient) -> None:
    for ids in ([], ["m"] * 99):
        with pytest.raises(exceptions.ValidationError, match=f"not {len(ids)}"):
            await alice.set_status(ids, "read")


@pytest.mark.parametrize("user_id", ["", ".", "..", "x" * 513, "\ud800"])
async def test_what_cannot_be_an_id_is_refused(alice: RestClient, user_id: str) -> None:
    with pytest.raises(exceptions.ValidationError):
        await alice.verification(user_id)


async def test_an_id_cannot_leave_its_place_in_the_path(alice: RestClient) -> None:
    assert not (await alice.verification("../users")).verified
    assert not (await alice.verification("a?b=c#d&e%2Ff/é g")).verified


# ---------------------------------------------------------------- groups


async def test_a_group_from_its_making_to_its_messages(
    server: Server, alice: RestClient, bob: RestClient
) -> None:
    made = await alice.create_group(wire.GroupCreate(name="Team", member_ids=[bob.user_id]))
    assert made.owner_id == alice.user_id
    assert [(group.id, group.role) for group in await bob.groups()] == [(made.id, "member")]
    await alice.update_group(made.id, wire.GroupUpdate(name="The team"))
    assert (await bob.group(made.id)).name == "The team"
    with pytest.raises(exceptions.PermissionDeniedError):
        await bob.set_group_role(made.id, alice.user_id, "member")

    carol = await join(server, "carol")
    with pytest.raises(exceptions.PermissionDeniedError, match="Only admins can add members"):
        await bob.add_group_members(made.id, [carol.user_id])
    assert await alice.add_group_members(made.id, [carol.user_id]) == [carol.user_id]
    await alice.set_group_role(made.id, bob.user_id, "admin")
    members = {member.username: member.role for member in await carol.group_members(made.id)}
    assert members == {"alice": "owner", "bob": "admin", "carol": "member"}

    await bob.remove_group_member(made.id, carol.user_id)
    with pytest.raises(exceptions.PermissionDeniedError):
        await carol.group(made.id)
    with pytest.raises(exceptions.ValidationError, match="Cannot remove group owner"):
        await bob.remove_group_member(made.id, alice.user_id)
    with pytest.raises(exceptions.ValidationError):
        await alice.leave_group(made.id)
    await bob.leave_group(made.id)
    assert await bob.groups() == []
    with pytest.raises(exceptions.ValidationError, match="Group not found"):
        await bob.group("no-such-group")
    events = [row.system_event for row in await alice.group_history(made.id)]
    assert events[0] == "group_created"
    assert events[-1] == "member_left"
    await carol.close()


async def test_invites(alice: RestClient, bob: RestClient) -> None:
    group = await alice.create_group(wire.GroupCreate(name="Team"))
    invite = await alice.create_invite(group.id, expires_in=60_000, max_uses=1)
    assert invite.max_uses == 1
    assert await bob.join_group(invite.link_code) == group.id
    with pytest.raises(exceptions.ValidationError):
        await bob.join_group(invite.link_code)
    await alice.revoke_invite(group.id, invite.id)
    with pytest.raises(exceptions.ValidationError, match="Invalid invite link"):
        await bob.join_group(invite.link_code)


# ---------------------------------------------------------------- admin


async def test_administration(server: Server, alice: RestClient, bob: RestClient) -> None:
    with pytest.raises(exceptions.PermissionDeniedError):
        await alice.admin_users()
    await server.make_admin("alice")
    await alice.set_user_images(bob.user_id, allowed=False)
    await alice.set_user_active(bob.user_id, active=False)
    users = {user.username: user for user in await alice.admin_users()}
    assert not users["bob"].is_active
    assert not users["bob"].can_send_images
    await alice.set_user_active(bob.user_id, active=True)
    await alice.set_user_role(bob.user_id, "admin")
    assert {user.role for user in await bob.admin_users()} == {"admin"}
