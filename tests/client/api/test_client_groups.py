"""Groups as wholes, their members and invites (FR-GROUP-01, 03; PROTOCOL.md 2)."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from doubles.clients import Clients, Collected, texts
from doubles.faulty_backend import FaultyServer

from chatbot.client import Group, GroupSettings, User, WhatsAppClient
from chatbot.client.api.group_members import link_code
from chatbot.client.exceptions import (
    BackendError,
    HalfMadeGroupError,
    NotSupportedByBackendError,
    PermissionDeniedError,
    ValidationError,
)
from chatbot.server import Server


async def three(clients: Clients) -> list[WhatsAppClient]:
    return [await clients.register(name) for name in ("alice", "bob", "carol")]


async def test_a_groups_whole_life(any_clients: Clients) -> None:
    alice, bob, carol = await three(any_clients)
    at_bob, at_carol = Collected(bob.on_group_message), Collected(carol.on_group_message)
    group = await alice.create_group("Dev Team", "Developer discussions", ["bob"])
    assert (group.name, group.role, group.owner_id) == ("Dev Team", "owner", alice.user_id)
    assert [g.id for g in await bob.list_groups()] == [group.id]
    assert (await bob.get_group(group.id)).role == "member"
    with pytest.raises(PermissionDeniedError):
        await carol.get_group(group.id)

    sent = await alice.send_group_message(group.id, "Hello team!")
    received = await at_bob.next()
    assert (received.content, received.group_id) == ("Hello team!", group.id)
    assert (received.from_user, received.from_username) == (alice.user_id, "alice")
    assert not received.is_encrypted
    assert sent.status == "sent"

    assert await alice.add_group_member(group.id, "carol")
    assert not await alice.add_group_member(group.id, carol.user_id)
    roles = {m.username: m.role for m in await carol.get_group_members(group.id)}
    assert roles == {"alice": "owner", "bob": "member", "carol": "member"}
    await alice.set_group_role(group.id, "bob", "admin")
    await bob.send_group_message(group.id, "I am an admin now")
    assert (await at_carol.next()).content == "I am an admin now"

    await bob.remove_group_member(group.id, "carol")
    with pytest.raises(PermissionDeniedError, match="not a member"):
        await carol.send_group_message(group.id, "still here?")
    assert await carol.list_groups() == []

    invite = await bob.create_group_invite(group.id, max_uses=1)
    joined = await carol.join_group(f"https://chat.example/join/{invite.code}")
    assert joined.id == group.id
    await carol.leave_group(group.id)
    assert await carol.list_groups() == []
    with pytest.raises(ValidationError, match=r"(?i)used up|invalid|expired"):
        await carol.join_group(invite.code)
    assert texts(await bob.get_group_messages(group.id)) == ["Hello team!", "I am an admin now"]
    events = [event.event for event in await bob.get_group_events(group.id)]
    assert "member_added" in events
    assert events[-1] == "member_left"


async def test_settings_are_merged_and_never_replaced(clients: Clients) -> None:
    alice = await clients.register("alice")
    settings = GroupSettings(
        message_permission="admins_only", metadata_permission="admins_only", max_members=7
    )
    group = await alice.create_group("team", "about", settings=settings, avatar="https://x/a.png")
    assert group.settings == settings
    changed = await alice.update_group(group.id, max_members=9)
    assert changed.settings == replace(settings, max_members=9)
    assert (changed.name, changed.description) == ("team", "about")
    assert changed.avatar == "https://x/a.png"
    renamed = await alice.update_group(group.id, name="crew", description="")
    assert (renamed.name, renamed.description) == ("crew", "")
    assert renamed.settings == changed.settings
    opened = await alice.update_group(group.id, message_permission="everyone", join_approval=True)
    assert opened.settings == replace(
        settings, max_members=9, message_permission="everyone", join_approval=True
    )


async def test_groups_are_known_without_the_backend(clients: Clients, server: Server) -> None:
    alice, bob, _ = await three(clients)
    made = await alice.create_group("one", member_ids=["bob"])
    await bob.create_group("theirs", member_ids=["alice"])
    assert await alice.known_groups() == [made]
    listed = await alice.list_groups()
    assert {group.name for group in listed} == {"one", "theirs"}
    await alice.logout()
    await server.stop()
    alice = clients.new()
    await alice.login("alice", "correct horse", offline=True)
    assert {group.name: group.role for group in await alice.known_groups()} == {
        "one": "owner",
        "theirs": "member",
    }
    await server.start()
    await alice.leave_group(next(g.id for g in listed if g.name == "theirs"))
    assert await alice.known_groups() == [made]


async def test_what_a_plain_member_may_not_do(clients: Clients) -> None:
    alice, bob, carol = await three(clients)
    group = await alice.create_group("team", member_ids=["bob"])
    invite = await alice.create_group_invite(group.id)
    for call in (
        bob.add_group_member(group.id, "carol"),
        bob.remove_group_member(group.id, "alice"),
        bob.set_group_role(group.id, "bob", "admin"),
        bob.update_group(group.id, max_members=3),
        bob.create_group_invite(group.id),
        bob.revoke_group_invite(group.id, invite),
        carol.get_group_members(group.id),
        carol.get_group_messages(group.id, sync=True),
    ):
        with pytest.raises(PermissionDeniedError):
            await call
    with pytest.raises(PermissionDeniedError, match="Only admins can add members"):
        await bob.add_group_members(group.id, ["carol"])


async def test_the_owner_can_neither_leave_nor_be_removed(clients: Clients) -> None:
    alice, bob, _ = await three(clients)
    group = await alice.create_group("team", member_ids=["bob"])
    await alice.set_group_role(group.id, "bob", "admin")
    with pytest.raises(ValidationError, match=r"(?i)owner"):
        await alice.leave_group(group.id)
    with pytest.raises(ValidationError, match="Cannot remove group owner"):
        await bob.remove_group_member(group.id, "alice")


async def test_what_the_backend_cannot_do(clients: Clients) -> None:
    alice = await clients.register("alice")
    group = await alice.create_group("team")
    with pytest.raises(NotSupportedByBackendError, match="cannot delete"):
        await alice.delete_group(group.id)
    with pytest.raises(NotSupportedByBackendError, match="lists no invites"):
        await alice.list_group_invites(group.id)


async def test_bad_arguments(clients: Clients) -> None:
    alice, _, _ = await three(clients)
    group = await alice.create_group("team")
    for call, complaint in (
        (alice.create_group("  "), "name"),
        (alice.create_group("x", member_ids=["nobody"]), "no user 'nobody'"),
        (alice.create_group("x", member_ids="bob"), "a list of users"),
        (alice.add_group_members(group.id, []), "no users"),
        (alice.add_group_member(group.id, "nobody"), "no user 'nobody'"),
        (alice.remove_group_member(group.id, "carol"), "(?i)not"),
        (alice.set_group_role(group.id, "bob", "owner"), "'admin' or 'member'"),
        (alice.update_group(group.id), "nothing to change"),
        (alice.update_group(group.id, name=" "), "name"),
        (alice.update_group(group.id, max_members=0), "maxMembers"),
        (alice.create_group_invite(group.id, max_uses=0), "positive"),
        (alice.create_group_invite(group.id, expires_in=-1), "positive"),
        (alice.revoke_group_invite(group.id, "no-such-link"), "(?i)not found"),
        (alice.join_group("no-such-code"), "(?i)invalid"),
        (alice.join_group("https://chat.example/"), "no code"),
        (alice.get_group("no-such-group"), "(?i)not found"),
        (alice.get_group(""), "(?i)empty"),
        (alice.get_group("../users"), "(?i)not found"),
    ):
        with pytest.raises(ValidationError, match=complaint):
            await call
    assert [g.name for g in await alice.list_groups()] == ["team"]


async def test_invites_by_code_by_link_and_revoked(clients: Clients) -> None:
    alice, bob, carol = await three(clients)
    group = await alice.create_group("team")
    first = await alice.create_group_invite(group.id, expires_in=60_000, max_uses=5)
    assert first.max_uses == 5
    assert first.expires_at is not None
    assert first.code not in repr(first)
    assert (await bob.join_group(first)).role == "member"
    with pytest.raises(ValidationError, match="already"):
        await bob.join_group(first.code)
    await alice.revoke_group_invite(group.id, first)
    with pytest.raises(ValidationError, match=r"(?i)invalid"):
        await carol.join_group(first.code)
    second = await alice.create_group_invite(group.id)
    assert (second.expires_at, second.max_uses) == (None, None)
    assert (await carol.join_group(f"https://chat.example/?invite={second.code}")).id == group.id


@pytest.mark.parametrize(
    "text",
    [
        "a-Code_1",
        "  a-Code_1\n",
        "https://chat.example/join/a-Code_1",
        "https://chat.example/join/a-Code_1/",
        "https://chat.example/#/join/a-Code_1",
        "https://chat.example/groups?code=a-Code_1&from=bob",
        "/join/a-Code_1",
    ],
)
def test_the_code_in_a_link(text: str) -> None:
    assert link_code(text) == "a-Code_1"


@pytest.mark.parametrize("text", ["", " ", "https://chat.example", "http://[", "/"])
def test_no_code_in_a_link(text: str) -> None:
    with pytest.raises(ValidationError, match="invite link"):
        link_code(text)


async def test_a_half_made_group_is_found_and_told(
    faulty_clients: Clients, faulty: FaultyServer
) -> None:
    assert faulty.faults.half_made_groups
    alice, bob, _ = await three(faulty_clients)
    users = await alice.list_users()
    alice._account.directory._by_id["gone"] = User(id="gone", username="gone")
    with pytest.raises(HalfMadeGroupError, match="exists all the same") as caught:
        await alice.create_group("team", member_ids=["bob", "gone", "carol"])
    error = caught.value
    assert error.status == 500
    assert error.missing == ("gone", next(u.id for u in users if u.username == "carol"))
    assert [g.id for g in await bob.list_groups()] == [error.group_id]
    await alice.add_group_members(error.group_id, ["carol"])
    members = await alice.get_group_members(error.group_id)
    assert {member.username for member in members} == {"alice", "bob", "carol"}


async def test_a_group_that_was_not_made_at_all(
    faulty_clients: Clients, faulty: FaultyServer
) -> None:
    alice = await faulty_clients.register("alice", auto_connect=False)
    await alice.create_group("team")
    faulty.fail_next(path="/api/groups")
    with pytest.raises(BackendError) as caught:
        await alice.create_group("team")
    assert not isinstance(caught.value, HalfMadeGroupError)
    assert len(await alice.list_groups()) == 1


async def test_whether_a_group_was_made_cannot_be_seen(
    faulty_clients: Clients, faulty: FaultyServer
) -> None:
    alice = await faulty_clients.register("alice", auto_connect=False)
    faulty.fail_next(count=2, path="/api/groups")
    with pytest.raises(BackendError, match=r"list_groups\(\) before trying again"):
        await alice.create_group("team")


async def test_two_groups_of_one_name_are_two(clients: Clients) -> None:
    alice = await clients.register("alice")
    made: list[Group] = await asyncio.gather(*(alice.create_group("team") for _ in range(2)))
    assert made[0].id != made[1].id
