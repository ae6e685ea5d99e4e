from __future__ import annotations

from typing import Any

import pytest
from doubles.raw_client import Answer, Person, RawBackend

DEFAULT_SETTINGS = {
    "messagePermission": "everyone",
    "metadataPermission": "everyone",
    "joinApproval": False,
    "maxMembers": 1024,
}


async def create(owner: Person, *members: Person, **parts: Any) -> dict[str, Any]:
    body = {"name": "Team", "memberIds": [member.id for member in members], **parts}
    answer = await owner.call("POST", "/api/groups", body)
    assert answer.status == 201, answer
    group: dict[str, Any] = answer.body
    return group


async def events(reader: Person, group: dict[str, Any]) -> list[tuple[str, str]]:
    """Return the system events a reader sees, each with the name of who did it."""
    rows = await reader.get(f"/api/groups/{group['id']}/messages")
    return [(row["system_event"], row["from_username"]) for row in rows if row["system_event"]]


async def roles(reader: Person, group: dict[str, Any]) -> dict[str, str]:
    rows = await reader.get(f"/api/groups/{group['id']}/members")
    return {row["username"]: row["role"] for row in rows}


async def set_role(actor: Person, group: dict[str, Any], member: Person, role: str) -> Answer:
    path = f"/api/groups/{group['id']}/members/{member.id}/role"
    return await actor.call("PUT", path, {"role": role})


def path_of(group: dict[str, Any], rest: str = "") -> str:
    return f"/api/groups/{group['id']}{rest}"


# ---------------------------------------------------------------- the group


async def test_creating_a_group(alice: Person, bob: Person) -> None:
    group = await create(alice, bob)

    assert set(group) == {"id", "name", "owner_id", "created_at", "settings"}
    assert (group["name"], group["owner_id"]) == ("Team", alice.id)
    assert group["settings"] == DEFAULT_SETTINGS
    assert await roles(bob, group) == {"alice": "owner", "bob": "member"}
    assert await events(bob, group) == [("group_created", "alice")]


async def test_a_group_as_its_members_see_it(alice: Person, bob: Person) -> None:
    group = await create(alice, bob, description="All of us", avatar="🐙")
    expected = {
        "id": group["id"],
        "name": "Team",
        "description": "All of us",
        "avatar": "🐙",
        "owner_id": alice.id,
        "created_at": group["created_at"],
        "updated_at": group["created_at"],
        "settings": DEFAULT_SETTINGS,
    }

    assert await alice.get("/api/groups") == [{**expected, "role": "owner"}]
    assert await bob.get("/api/groups") == [{**expected, "role": "member"}]
    assert await bob.get(path_of(group)) == {**expected, "userRole": "member"}


async def test_members_are_listed(alice: Person, bob: Person) -> None:
    group = await create(alice, bob)

    rows = await bob.get(path_of(group, "/members"))

    assert rows == [
        {
            "group_id": group["id"],
            "user_id": person.id,
            "role": role,
            "joined_at": group["created_at"],
            "added_by": added_by,
            "username": person.name,
            "avatar": None,
        }
        for person, role, added_by in ((alice, "owner", None), (bob, "member", alice.id))
    ]


async def test_naming_somebody_twice_or_oneself_makes_no_difference(
    alice: Person, bob: Person
) -> None:
    group = await create(alice, bob, bob, alice)

    assert await roles(alice, group) == {"alice": "owner", "bob": "member"}


@pytest.mark.parametrize(
    ("parts", "status"),
    [
        ({"memberIds": ["nobody"]}, 404),
        ({"memberIds": "nobody"}, 400),
        ({"name": " "}, 400),
        ({"name": "x" * 201}, 400),
        ({"name": None}, 400),
        ({"description": "x" * 5000}, 400),
        ({"avatar": "x" * 70_000}, 400),
        ({"settings": {"maxMembers": 0}}, 400),
        ({"settings": {"maxMembers": 2**40}}, 400),
        ({"settings": {"messagePermission": "nobody"}}, 400),
        ({"settings": {"maxMembers": 1}}, 400),
    ],
)
async def test_a_group_that_fails_leaves_nothing(
    alice: Person, bob: Person, parts: dict[str, Any], status: int
) -> None:
    body = {"name": "Team", "memberIds": [bob.id], **parts}
    if parts.get("memberIds") == ["nobody"]:
        body["memberIds"] = [bob.id, "nobody"]

    answer = await alice.call("POST", "/api/groups", body)

    assert answer.status == status
    assert answer.error
    assert await alice.get("/api/groups") == []
    assert await bob.get("/api/groups") == []


@pytest.mark.parametrize(
    ("method", "rest", "body"),
    [
        ("GET", "", None),
        ("PUT", "", {"name": "Mine"}),
        ("GET", "/members", None),
        ("POST", "/members", {"userIds": ["x"]}),
        ("DELETE", "/members/x", None),
        ("PUT", "/members/x/role", {"role": "admin"}),
        ("POST", "/leave", {}),
        ("GET", "/messages", None),
        ("POST", "/invite", {}),
        ("DELETE", "/invite/x", None),
    ],
)
async def test_groups_are_their_members_own(
    alice: Person, carol: Person, method: str, rest: str, body: Any
) -> None:
    group = await create(alice)

    stranger = await carol.call(method, path_of(group, rest), body)
    unknown = await carol.call(method, f"/api/groups/unknown{rest}", body)

    assert (stranger.status, stranger.error) == (403, "You are not a member of this group")
    assert (unknown.status, unknown.error) == (404, "Group not found")


async def test_any_member_edits_what_is_open_to_all(alice: Person, bob: Person) -> None:
    group = await create(alice, bob)

    answer = await bob.call("PUT", path_of(group), {"name": "Crew", "description": None})

    assert answer.body == {"success": True}
    changed = await alice.get(path_of(group))
    assert (changed["name"], changed["description"]) == ("Crew", None)
    assert (await events(alice, group))[-1] == ("metadata_updated", "bob")


async def test_settings_are_the_admins_and_replaced_whole(alice: Person, bob: Person) -> None:
    group = await create(alice, bob, settings={"joinApproval": True})
    settings = {"metadataPermission": "admins_only"}

    refused = await bob.call("PUT", path_of(group), {"settings": settings})
    done = await alice.call("PUT", path_of(group), {"settings": settings})
    locked = await bob.call("PUT", path_of(group), {"name": "Crew"})

    assert (refused.status, done.status, locked.status) == (403, 200, 403)
    changed = await bob.get(path_of(group))
    assert changed["settings"] == {**DEFAULT_SETTINGS, **settings}
    assert changed["name"] == "Team"


# ---------------------------------------------------------------- members and roles


async def test_admins_add_members(alice: Person, bob: Person, carol: Person) -> None:
    group = await create(alice, bob)
    body = {"userIds": [bob.id, carol.id, carol.id]}

    refused = await bob.call("POST", path_of(group, "/members"), body)
    await set_role(alice, group, bob, "admin")
    added = await bob.call("POST", path_of(group, "/members"), body)

    assert (refused.status, refused.error) == (403, "Only admins can add members")
    assert added.body == {"success": True, "added": [carol.id]}
    assert await roles(carol, group) == {"alice": "owner", "bob": "admin", "carol": "member"}
    assert await events(carol, group) == [("member_added", "bob")]


async def test_adding_is_all_or_nothing(alice: Person, bob: Person) -> None:
    group = await create(alice)
    for body, status in (
        ({"userIds": [bob.id, "nobody"]}, 404),
        ({"userIds": []}, 400),
        ({}, 400),
    ):
        answer = await alice.call("POST", path_of(group, "/members"), body)
        assert answer.status == status

    assert await roles(alice, group) == {"alice": "owner"}


async def test_a_full_group_takes_nobody(alice: Person, bob: Person, carol: Person) -> None:
    group = await create(alice, bob, settings={"maxMembers": 2})

    answer = await alice.call("POST", path_of(group, "/members"), {"userIds": [carol.id]})

    assert (answer.status, answer.error) == (400, "Group is full")


async def test_removing_members(alice: Person, bob: Person, carol: Person) -> None:
    group = await create(alice, bob, carol)

    async def remove(actor: Person, target: str) -> tuple[int, Any]:
        answer = await actor.call("DELETE", path_of(group, f"/members/{target}"))
        return answer.status, answer.body

    assert await remove(bob, carol.id) == (403, {"error": "Only admins can remove members"})
    assert await remove(alice, alice.id) == (400, {"error": "Cannot remove group owner"})
    assert await remove(alice, "nobody") == (404, {"error": "Member not found"})
    await set_role(alice, group, bob, "admin")
    await set_role(alice, group, carol, "admin")
    assert await remove(bob, carol.id) == (403, {"error": "Only the owner can remove admins"})
    assert await remove(alice, carol.id) == (200, {"success": True})
    assert await roles(bob, group) == {"alice": "owner", "bob": "admin"}
    assert (await events(bob, group))[-1] == ("member_removed", "alice")


async def test_the_owner_alone_gives_roles(alice: Person, bob: Person, carol: Person) -> None:
    group = await create(alice, bob, carol)

    promoted = await set_role(alice, group, bob, "admin")
    refused = await set_role(bob, group, carol, "admin")
    demoted = await set_role(alice, group, bob, "member")
    again = await set_role(alice, group, bob, "member")

    assert (promoted.status, demoted.status, again.status) == (200, 200, 200)
    assert (refused.status, refused.error) == (403, "Only the owner can change roles")
    assert (await set_role(alice, group, bob, "owner")).status == 400
    assert (await set_role(alice, group, alice, "member")).status == 400
    assert await events(bob, group) == [
        ("group_created", "alice"),
        ("admin_promoted", "alice"),
        ("admin_demoted", "alice"),
    ]


async def test_leaving(alice: Person, bob: Person) -> None:
    group = await create(alice, bob)

    left = await bob.call("POST", path_of(group, "/leave"), {})
    owner = await alice.call("POST", path_of(group, "/leave"), {})

    assert left.body == {"success": True}
    assert owner.status == 400
    assert await bob.get("/api/groups") == []
    assert (await events(alice, group))[-1] == ("member_left", "bob")


async def test_events_say_whom_they_are_about(alice: Person, bob: Person, carol: Person) -> None:
    group = await create(alice, bob)
    await alice.call("POST", path_of(group, "/members"), {"userIds": [carol.id]})

    row = (await bob.get(path_of(group, "/messages")))[-1]

    assert row["type"] == "system"
    assert row["content"] == "alice added carol"
    assert row["metadata"] == {"userId": carol.id, "username": "carol", "by": alice.id}


# ---------------------------------------------------------------- invites


async def invite(actor: Person, group: dict[str, Any], **parts: Any) -> Answer:
    return await actor.call("POST", path_of(group, "/invite"), parts)


async def join(person: Person, code: str) -> Answer:
    return await person.call("POST", "/api/groups/join", {"linkCode": code})


async def test_an_invite_lets_in(alice: Person, bob: Person) -> None:
    group = await create(alice)

    made = await invite(alice, group)
    joined = await join(bob, made.body["link_code"])

    assert made.status == 201
    assert set(made.body) == {"id", "link_code", "expires_at", "max_uses"}
    assert (made.body["expires_at"], made.body["max_uses"]) == (None, None)
    assert joined.body == {"success": True, "group_id": group["id"]}
    assert await roles(bob, group) == {"alice": "owner", "bob": "member"}
    assert await events(bob, group) == [("member_added", "bob")]


async def test_only_admins_invite_and_revoke(alice: Person, bob: Person) -> None:
    group = await create(alice, bob)
    made = await invite(alice, group)

    refused = await invite(bob, group)
    revoked = await bob.call("DELETE", path_of(group, f"/invite/{made.body['id']}"))

    assert (refused.status, revoked.status) == (403, 403)


async def test_why_a_link_does_not_let_in(
    alice: Person, bob: Person, carol: Person, backend: RawBackend
) -> None:
    group = await create(alice, bob)
    open_link = (await invite(alice, group)).body
    once = (await invite(alice, group, maxUses=1)).body
    dave, eve = await backend.register("dave"), await backend.register("eve")

    assert (await join(carol, once["link_code"])).status == 200
    used_up = await join(dave, once["link_code"])
    already = await join(bob, open_link["link_code"])
    invalid = await join(dave, "no-such-code")
    revoked = await alice.call("DELETE", path_of(group, f"/invite/{open_link['id']}"))
    gone = await join(eve, open_link["link_code"])

    assert (used_up.status, used_up.error) == (400, "Invite link has been used up")
    assert (already.status, already.error) == (400, "You are already a member of this group")
    assert (invalid.status, invalid.error) == (404, "Invalid invite link")
    assert revoked.body == {"success": True}
    assert gone.status == 404
    assert set(await roles(alice, group)) == {"alice", "bob", "carol"}


async def test_a_link_is_revoked_by_its_id_not_its_code(alice: Person, bob: Person) -> None:
    group = await create(alice)
    link = (await invite(alice, group)).body

    answer = await alice.call("DELETE", path_of(group, f"/invite/{link['link_code']}"))

    assert answer.status == 404
    assert (await join(bob, link["link_code"])).status == 200


@pytest.mark.parametrize(
    "parts",
    [
        {"expiresIn": 0},
        {"expiresIn": -1},
        {"expiresIn": 2**60},
        {"expiresIn": "1h"},
        {"maxUses": 0},
        {"maxUses": 2**40},
    ],
)
async def test_malformed_invites(alice: Person, parts: dict[str, Any]) -> None:
    assert (await invite(alice, await create(alice), **parts)).status == 400


async def test_a_full_group_takes_nobody_by_link(alice: Person, bob: Person, carol: Person) -> None:
    group = await create(alice, bob, settings={"maxMembers": 2})
    link = (await invite(alice, group, maxUses=1)).body

    assert (await join(carol, link["link_code"])).error == "Group is full"


async def test_invites_are_bounded(alice: Person) -> None:
    group = await create(alice)
    for _ in range(100):
        assert (await invite(alice, group)).status == 201

    assert (await invite(alice, group)).status == 400
