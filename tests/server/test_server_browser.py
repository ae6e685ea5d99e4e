"""What the browser client needs: CORS everywhere, and its unauthenticated calls where allowed."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import RawBackend, raw_backend

from chatbot.server import Server, ServerError

CORS = "Access-Control-Allow-Origin"


@pytest.fixture
async def lax(database_path: Path) -> AsyncIterator[RawBackend]:
    """A backend that believes browsers."""
    async with (
        Server(database_path, port=0, browser_compat=True, password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        yield backend


def bare(user_id: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {user_id}"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/users"),
        ("GET", "/api/groups"),
        ("POST", "/api/auth/login"),
        ("GET", "/nowhere"),
        ("GET", "/ws"),
    ],
)
async def test_every_answer_may_be_read_by_any_origin(
    backend: RawBackend, method: str, path: str
) -> None:
    answer = await backend.call(method, path, headers={"Origin": "https://chat.example"})

    assert answer.headers[CORS] == "*"


@pytest.mark.parametrize("path", ["/api/users", "/api/groups/x/members/y/role", "/nowhere", "/ws"])
async def test_preflights_are_answered_everywhere(backend: RawBackend, path: str) -> None:
    answer = await backend.call("OPTIONS", path, headers={"Origin": "https://chat.example"})

    assert answer.status == 204
    for method in ("GET", "POST", "PUT", "DELETE"):
        assert method in answer.headers["Access-Control-Allow-Methods"]
    for header in ("Authorization", "Content-Type", "X-Auth-Token"):
        assert header in answer.headers["Access-Control-Allow-Headers"]


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", "/"), ("GET", "/api"), ("GET", "/api/auth/login"), ("DELETE", "/api/users")],
)
async def test_unknown_paths(backend: RawBackend, method: str, path: str) -> None:
    answer = await backend.call(method, path)

    assert (answer.status, answer.body) == (404, "Not found")
    assert answer.headers["Content-Type"].startswith("text/plain")


async def test_bare_user_ids_are_believed(lax: RawBackend) -> None:
    alice, bob = await lax.register("alice"), await lax.register("bob")

    body = {"name": "Team", "memberIds": [bob.id]}
    made = await lax.call("POST", "/api/groups", body, headers=bare(alice.id))
    seen = await lax.call("GET", "/api/groups", headers=bare(bob.id))

    assert made.status == 201
    assert [group["id"] for group in seen.body] == [made.body["id"]]
    assert (await lax.call("GET", "/api/groups", headers=bare("nobody"))).status == 401
    assert (await lax.call("GET", "/api/groups")).status == 401


async def test_messages_need_no_header_at_all(lax: RawBackend) -> None:
    alice, bob = await lax.register("alice"), await lax.register("bob")
    body = {
        "id": "m1",
        "fromUser": alice.id,
        "toUser": bob.id,
        "content": "hello",
        "timestamp": 1,
        "status": "sent",
    }
    history = f"/api/messages/{alice.id}?user={bob.id}"

    assert (await lax.call("POST", "/api/messages", body)).status == 201
    updated = await lax.call(
        "PUT", "/api/messages/status", {"messageIds": ["m1"], "status": "read"}
    )
    (row,) = (await lax.call("GET", history)).body
    assert updated.body == {"success": True, "updated": 1}
    assert (row["content"], row["status"]) == ("hello", "read")


async def test_a_token_that_is_of_no_use_does_no_harm_to_messages(lax: RawBackend) -> None:
    """A browser may be open for longer than its token is good."""
    alice, bob = await lax.register("alice"), await lax.register("bob")
    stale = {"Authorization": f"Bearer {alice.token[:-2]}xx"}
    history = f"/api/messages/{bob.id}?user={alice.id}"

    assert (await lax.call("GET", history, headers=stale)).body == []
    assert (await lax.call("GET", "/api/users/prekeys/status", headers=stale)).status == 401


async def test_sockets_need_no_header_and_say_so(lax: RawBackend) -> None:
    alice = await lax.register("alice")
    async with lax.socket() as socket:
        assert socket.socket.response is not None
        assert "X-Authenticated-Sockets" not in socket.socket.response.headers
        await socket.send("auth", userId=alice.id, username=alice.name)
        assert (await socket.receive())[0] == "online"


async def test_a_socket_of_nobody_known_is_closed(lax: RawBackend) -> None:
    async with lax.socket() as socket:
        await socket.send("auth", userId="nobody", username="nobody")
        assert await socket.until_closed() == [("error", {"message": "User not found"})]


async def test_keys_need_a_token_all_the_same(lax: RawBackend) -> None:
    alice = await lax.register("alice")
    path = "/api/users/prekeys/status"

    assert (await lax.call("GET", path, headers=bare(alice.id))).status == 401
    assert (await lax.call("GET", path, headers=alice.bearer)).status == 200


async def test_a_token_still_counts_where_one_is_given(lax: RawBackend) -> None:
    alice, bob = await lax.register("alice"), await lax.register("bob")
    mismatch = {**bare(bob.id), "X-Auth-Token": alice.token}

    assert (await lax.call("GET", "/api/groups", headers=mismatch)).status == 401
    async with lax.socket(alice.bearer) as socket:
        await socket.send("auth", userId=bob.id, username=bob.name)
        assert await socket.until_closed() == [("error", {"message": "Unauthorized"})]


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.1", "chat.example"])  # noqa: S104
def test_browsers_are_believed_on_loopback_only(database_path: Path, host: str) -> None:
    with pytest.raises(ServerError, match="anybody"):
        Server(database_path, host=host, browser_compat=True)

    Server(database_path, host=host, browser_compat=True, force=True)
    Server(database_path, host=host)


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1", "127.8.8.8", "::1"])
def test_what_is_loopback(database_path: Path, host: str) -> None:
    assert Server(database_path, host=host, browser_compat=True).browser_compat
