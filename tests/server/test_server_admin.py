from __future__ import annotations

from typing import Any

import pytest
from doubles.raw_client import PASSWORD, Answer, Person, RawBackend

from chatbot.server import Server, ServerError

DISABLED = ("error", {"message": "Your account has been disabled by an administrator."})


@pytest.fixture
async def admin(server: Server, backend: RawBackend) -> Person:
    person = await backend.register("root")
    await server.make_admin("root")
    return person


async def set_active(admin: Person, person: Person, *, active: bool) -> Answer:
    body = {"is_active": active, "disabled_by": admin.id}
    return await admin.call("PUT", f"/api/admin/users/{person.id}/status", body)


async def test_registering_first_makes_nobody_an_admin(alice: Person) -> None:
    assert alice.account["role"] == "user"


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("GET", "/api/admin/users", None),
        ("PUT", "/api/admin/users/{id}/status", {"is_active": False}),
        ("PUT", "/api/admin/users/{id}/permissions", {"can_send_images": False}),
        ("PUT", "/api/admin/users/{id}/role", {"role": "admin"}),
    ],
)
async def test_only_admins_administrate(alice: Person, method: str, path: str, body: Any) -> None:
    answer = await alice.call(method, path.replace("{id}", alice.id), body)

    assert (answer.status, answer.error) == (403, "Admin access required")


async def test_only_who_is_registered_can_be_named_an_admin(server: Server) -> None:
    with pytest.raises(ServerError, match="Register it first"):
        await server.make_admin("nobody")


async def test_admins_see_everybody(admin: Person, alice: Person) -> None:
    listed = await admin.get("/api/admin/users")

    assert [(entry["username"], entry["role"]) for entry in listed] == [
        ("root", "admin"),
        ("alice", "user"),
    ]
    assert set(listed[1]) == {
        "id",
        "username",
        "avatar",
        "lastSeen",
        "role",
        "is_active",
        "can_send_images",
        "created_at",
    }
    assert listed[1]["id"] == alice.id


async def test_a_disabled_account_is_out_until_enabled(
    backend: RawBackend, admin: Person, alice: Person
) -> None:
    credentials = {"username": "alice", "password": PASSWORD}
    async with alice.online() as socket:
        assert (await set_active(admin, alice, active=False)).body == {"success": True}
        assert (await socket.until_closed())[-1] == DISABLED

    login = await backend.call("POST", "/api/auth/login", credentials)
    call = await alice.call("GET", "/api/groups")
    async with backend.socket(alice.bearer) as raw:
        await raw.send("auth", userId=alice.id, username="alice")
        assert await raw.until_closed() == [DISABLED]

    assert (login.status, login.error) == (403, "Your account has been disabled")
    assert (call.status, call.error) == (403, "Your account has been disabled")
    await set_active(admin, alice, active=True)
    assert (await backend.call("POST", "/api/auth/login", credentials)).status == 200


async def test_disabled_tells_nothing_to_who_does_not_know_the_password(
    backend: RawBackend, admin: Person, alice: Person
) -> None:
    await set_active(admin, alice, active=False)
    body = {"username": "alice", "password": "wrong password"}

    assert (await backend.call("POST", "/api/auth/login", body)).status == 401


async def test_image_rights(admin: Person, alice: Person, bob: Person) -> None:
    async def allow(*, allowed: bool) -> None:
        path = f"/api/admin/users/{alice.id}/permissions"
        answer = await admin.call("PUT", path, {"can_send_images": allowed})
        assert answer.body == {"success": True}

    group = (await alice.call("POST", "/api/groups", {"name": "Team"})).body["id"]
    refusal = ("error", {"message": "You do not have permission to send images."})
    image = {"messageType": "image", "imageData": "data:image/png;base64,AAAA"}
    await allow(allowed=False)
    async with alice.online() as socket:
        await socket.send("message", to=bob.id, content="📷 Image", **image)
        await socket.send("message", to=bob.id, content="x", imageData=image["imageData"])
        await socket.send("group_message", groupId=group, content="📷 Image", **image)
        assert await socket.pending() == [refusal] * 3
        await socket.send("message", to=bob.id, content="text", messageType="text")
        assert (await socket.next("message"))["content"] == "text"

        await allow(allowed=True)
        await socket.send("message", to=bob.id, content="📷 Image", **image)
        assert (await socket.next("message"))["type"] == "image"


async def test_roles_are_given_and_taken(admin: Person, alice: Person) -> None:
    path = f"/api/admin/users/{alice.id}/role"

    assert (await admin.call("PUT", path, {"role": "admin"})).body == {"success": True}
    assert (await alice.call("GET", "/api/admin/users")).status == 200
    assert (await alice.call("PUT", path, {"role": "user"})).status == 200
    assert (await alice.call("GET", "/api/admin/users")).status == 403


@pytest.mark.parametrize(
    ("rest", "body", "status"),
    [
        ("/role", {"role": "god"}, 400),
        ("/role", {}, 400),
        ("/status", {"is_active": "maybe"}, 400),
        ("/permissions", {}, 400),
    ],
)
async def test_malformed_administration(
    admin: Person, alice: Person, rest: str, body: Any, status: int
) -> None:
    assert (await admin.call("PUT", f"/api/admin/users/{alice.id}{rest}", body)).status == status


@pytest.mark.parametrize(
    ("rest", "body"),
    [
        ("/role", {"role": "admin"}),
        ("/status", {"is_active": True}),
        ("/permissions", {"can_send_images": True}),
    ],
)
async def test_administrating_nobody(admin: Person, rest: str, body: Any) -> None:
    answer = await admin.call("PUT", f"/api/admin/users/nobody{rest}", body)

    assert (answer.status, answer.error) == (404, "User not found")
