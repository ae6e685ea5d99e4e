from __future__ import annotations

import base64
import hashlib
import hmac
import json
from pathlib import Path
from typing import Any

import pytest
import websockets
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import Person, RawBackend, raw_backend

from chatbot.server import Server

GUARDED = [
    ("POST", "/api/users/prekeys"),
    ("GET", "/api/users/prekeys/status"),
    ("GET", "/api/users/{id}/prekeys"),
    ("POST", "/api/verify-key"),
    ("GET", "/api/verify-key/{id}"),
    ("DELETE", "/api/verify-key/{id}"),
    ("GET", "/api/messages/{id}?user={id}"),
    ("POST", "/api/messages"),
    ("PUT", "/api/messages/status"),
    ("POST", "/api/groups"),
    ("GET", "/api/groups"),
    ("GET", "/api/groups/{id}"),
    ("PUT", "/api/groups/{id}"),
    ("GET", "/api/groups/{id}/members"),
    ("POST", "/api/groups/{id}/members"),
    ("DELETE", "/api/groups/{id}/members/{id}"),
    ("PUT", "/api/groups/{id}/members/{id}/role"),
    ("POST", "/api/groups/{id}/leave"),
    ("GET", "/api/groups/{id}/messages"),
    ("POST", "/api/groups/{id}/invite"),
    ("POST", "/api/groups/join"),
    ("DELETE", "/api/groups/{id}/invite/{id}"),
    ("GET", "/api/admin/users"),
    ("PUT", "/api/admin/users/{id}/status"),
    ("PUT", "/api/admin/users/{id}/permissions"),
    ("PUT", "/api/admin/users/{id}/role"),
    ("GET", "/ws"),
]


def encode(part: Any) -> str:
    data = part if isinstance(part, bytes) else json.dumps(part).encode()
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def decode(part: str) -> Any:
    return json.loads(base64.urlsafe_b64decode(part + "=" * (-len(part) % 4)))


def forged_tokens(genuine: str) -> dict[str, str]:
    header, payload, signature = genuine.split(".")
    claims = decode(payload)
    other = encode({**claims, "sub": "somebody-else"})
    none = encode({"alg": "none", "typ": "JWT"})
    empty_key = hmac.digest(b"", f"{header}.{payload}".encode(), hashlib.sha256)
    return {
        "alg none": f"{none}.{payload}.",
        "alg none, old signature": f"{none}.{payload}.{signature}",
        "another subject": f"{header}.{other}.{signature}",
        "no signature": f"{header}.{payload}.",
        "an empty key": f"{header}.{payload}.{encode(empty_key)}",
        "a padded signature": f"{genuine}=",
        "a part too many": f"{genuine}.x",
        "nothing": "..",
        "not ascii": f"{header}.{payload}.ü",
        "huge": "x" * 5000 + ".x.x",
    }


async def test_nothing_but_the_open_calls_is_served_to_nobody(
    backend: RawBackend, alice: Person
) -> None:
    nobody = [{}, {"Authorization": f"Bearer {alice.id}"}, {"X-Auth-Token": alice.id}]
    for method, path in GUARDED:
        body: Any = None if method == "GET" else {}
        for headers in nobody:
            answer = await backend.call(
                method, path.replace("{id}", alice.id), body, headers=headers
            )
            assert (answer.status, answer.error) == (401, "Unauthorized"), path


async def test_forged_tokens_open_nothing(backend: RawBackend, alice: Person) -> None:
    for what, token in forged_tokens(alice.token).items():
        for headers in ({"Authorization": f"Bearer {token}"}, {"X-Auth-Token": token}):
            answer = await backend.call("GET", "/api/groups", headers=headers)
            assert answer.status == 401, what


async def test_the_bare_id_and_the_token_beside_it_name_one_user(
    backend: RawBackend, alice: Person, bob: Person
) -> None:
    async def status(authorization: str, token: str) -> int:
        headers = {"Authorization": f"Bearer {authorization}", "X-Auth-Token": token}
        return (await backend.call("GET", "/api/groups", headers=headers)).status

    assert await status(alice.id, alice.token) == 200
    assert await status(alice.token, alice.token) == 200
    assert await status(bob.id, alice.token) == 401
    assert await status(bob.token, alice.token) == 401
    assert await status(alice.id, "not-a-token") == 401


async def test_a_token_alone_is_enough(backend: RawBackend, alice: Person) -> None:
    answer = await backend.call("GET", "/api/groups", headers={"X-Auth-Token": alice.token})

    assert (answer.status, answer.body) == (200, [])


async def test_a_token_lives_24_hours(database_path: Path) -> None:
    now = [1_700_000_000_000]
    async with (
        Server(database_path, port=0, clock=lambda: now[0], password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        alice = await backend.register("alice")
        now[0] += 24 * 3600 * 1000 - 1
        assert (await alice.call("GET", "/api/groups")).status == 200
        now[0] += 1
        assert (await alice.call("GET", "/api/groups")).status == 401


async def test_tokens_survive_a_restart_but_not_another_database(
    database_path: Path, tmp_path: Path
) -> None:
    async def status(path: Path, person: Person) -> int:
        async with (
            Server(path, port=0, password_hasher=CHEAP_HASHER) as server,
            raw_backend(server.url) as backend,
        ):
            return (await backend.call("GET", "/api/groups", headers=person.bearer)).status

    async with (
        Server(database_path, port=0, password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        alice = await backend.register("alice")

    assert await status(database_path, alice) == 200
    assert await status(tmp_path / "other.db", alice) == 401


async def test_the_token_says_who_reads_a_history(
    alice: Person, bob: Person, carol: Person
) -> None:
    spied = await carol.call("GET", f"/api/messages/{bob.id}?user={alice.id}")
    own = await carol.call("GET", f"/api/messages/{bob.id}")

    assert spied.status == 401
    assert own.status == 200


async def test_the_token_says_who_stores_a_message(alice: Person, bob: Person) -> None:
    body = {
        "id": "m",
        "fromUser": alice.id,
        "toUser": bob.id,
        "content": "forged",
        "timestamp": 1,
        "status": "sent",
    }
    assert (await bob.call("POST", "/api/messages", body)).status == 401
    assert await alice.get(f"/api/messages/{bob.id}") == []


async def test_a_socket_is_its_tokens_user_only(
    backend: RawBackend, alice: Person, bob: Person
) -> None:
    async with backend.socket(alice.bearer) as socket:
        await socket.send("auth", userId=bob.id, username=bob.name)

        assert await socket.until_closed() == [("error", {"message": "Unauthorized"})]
    async with bob.online() as online:
        assert await online.pending() == []


@pytest.mark.parametrize("headers", [{}, {"Authorization": "Bearer ..."}, {"X-Auth-Token": "x"}])
async def test_a_handshake_without_a_token_is_refused(
    backend: RawBackend, headers: dict[str, str]
) -> None:
    with pytest.raises(websockets.InvalidStatus) as refused:
        async with backend.socket(headers):
            pass
    assert refused.value.response.status_code == 401


async def test_the_handshake_says_that_sockets_are_authenticated(
    backend: RawBackend, alice: Person
) -> None:
    async with backend.socket(alice.bearer) as socket:
        assert socket.socket.response is not None
        assert socket.socket.response.headers["X-Authenticated-Sockets"] == "1"
