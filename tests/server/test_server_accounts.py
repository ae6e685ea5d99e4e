from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import PASSWORD, Answer, Person, RawBackend, raw_backend

from chatbot.server import Limits, Server


async def login(backend: RawBackend, username: str, password: str = PASSWORD) -> Answer:
    body = {"username": username, "password": password}
    return await backend.call("POST", "/api/auth/login", body)


async def test_registering_returns_the_account_and_a_token(backend: RawBackend) -> None:
    body = {"username": "alice", "password": PASSWORD, "avatar": "🦊"}
    answer = await backend.call("POST", "/api/auth/register", body)

    assert answer.status == 201
    account = answer.body
    assert set(account) == {
        "id",
        "username",
        "avatar",
        "lastSeen",
        "role",
        "is_active",
        "can_send_images",
        "created_at",
        "token",
    }
    assert (account["username"], account["avatar"], account["role"]) == ("alice", "🦊", "user")
    assert account["is_active"]
    assert account["can_send_images"]


async def test_logging_in_returns_the_same_account(backend: RawBackend, alice: Person) -> None:
    answer = await login(backend, "alice")

    assert answer.status == 200
    assert set(answer.body) == set(alice.account)
    assert answer.body["id"] == alice.id
    status = await backend.call(
        "GET",
        "/api/users/prekeys/status",
        headers={"Authorization": f"Bearer {answer.body['token']}"},
    )
    assert status.status == 200


@pytest.mark.parametrize(
    ("body", "text"),
    [
        ({}, "Username and password are required"),
        ({"username": "alice"}, "Username and password are required"),
        ({"username": "", "password": "secret-1"}, "Username and password are required"),
        ({"username": "al", "password": "secret-1"}, "Username must be at least 3 characters"),
        ({"username": "a" * 101, "password": "secret-1"}, "Username must be at most 100"),
        ({"username": "alice", "password": "12345"}, "Password must be at least 6 characters"),
        ({"username": "alice", "password": "x" * 1025}, "Password must be at most 1024"),
        ({"username": "al\u202eice", "password": "secret-1"}, "printable"),
        ({"username": " alice", "password": "secret-1"}, "not begin or end with a space"),
        ({"username": "alice", "password": "secret-1", "avatar": "x" * 70_000}, "Avatar"),
        ({"username": 7, "password": "secret-1"}, "username"),
        ([], "object"),
    ],
)
async def test_what_cannot_be_registered(backend: RawBackend, body: Any, text: str) -> None:
    answer = await backend.call("POST", "/api/auth/register", body)

    assert answer.status == 400
    assert text in answer.error
    assert (await backend.call("GET", "/api/users")).body == []


async def test_a_username_is_taken_once(backend: RawBackend, alice: Person) -> None:
    body = {"username": alice.name, "password": "another one"}
    answer = await backend.call("POST", "/api/auth/register", body)

    assert (answer.status, answer.error) == (409, "Username already taken")


async def test_two_racing_for_a_username(backend: RawBackend) -> None:
    body = {"username": "alice", "password": PASSWORD}
    answers = await asyncio.gather(
        *(backend.call("POST", "/api/auth/register", body) for _ in range(4))
    )

    assert sorted(answer.status for answer in answers) == [201, 409, 409, 409]


@pytest.mark.parametrize(
    ("username", "password"),
    [("alice", "wrong password"), ("nobody", PASSWORD), ("x" * 101, PASSWORD)],
)
async def test_wrong_credentials(
    backend: RawBackend, alice: Person, username: str, password: str
) -> None:
    answer = await login(backend, username, password)

    assert alice.name == "alice"
    assert (answer.status, answer.error) == (401, "Invalid username or password")


@pytest.mark.parametrize("body", [{}, {"username": "alice"}, {"password": "secret-1"}])
async def test_incomplete_credentials(backend: RawBackend, body: Any) -> None:
    answer = await backend.call("POST", "/api/auth/login", body)

    assert (answer.status, answer.error) == (400, "Username and password are required")


async def test_the_list_of_users_is_open(backend: RawBackend, alice: Person, bob: Person) -> None:
    answer = await backend.call("GET", "/api/users")

    assert answer.status == 200
    assert [set(entry) for entry in answer.body] == [{"id", "username", "avatar", "lastSeen"}] * 2
    assert [entry["id"] for entry in answer.body] == [alice.id, bob.id]


async def test_a_long_list_of_users_is_one_array(backend: RawBackend) -> None:
    """Three pages of pictures."""
    names = [f"user-{number}" for number in range(24)]
    for name in names:
        body = {"username": name, "password": PASSWORD, "avatar": "🦊" * 16_000}
        await backend.call("POST", "/api/auth/register", body)

    listed = (await backend.call("GET", "/api/users")).body

    assert [entry["username"] for entry in listed] == names


async def test_failed_logins_are_limited_per_username(database_path: Path) -> None:
    now = [1_000_000]
    limits = Limits(login_failures=3, login_window_ms=60_000)
    async with (
        Server(
            database_path,
            port=0,
            limits=limits,
            clock=lambda: now[0],
            password_hasher=CHEAP_HASHER,
        ) as server,
        raw_backend(server.url) as backend,
    ):
        for name in ("alice", "bob"):
            await backend.register(name)
        for _ in range(3):
            assert (await login(backend, "alice", "wrong password")).status == 401

        refused = await login(backend, "alice")
        assert refused.status == 429
        assert "60 seconds" in refused.error
        assert refused.headers["Retry-After"] == "60"
        assert (await login(backend, "bob")).status == 200

        now[0] += 60_000
        assert (await login(backend, "alice")).status == 200


async def test_a_right_password_forgets_the_wrong_ones(database_path: Path) -> None:
    limits = Limits(login_failures=2)
    async with (
        Server(database_path, port=0, limits=limits, password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        await backend.register("alice")
        for _ in range(3):
            assert (await login(backend, "alice", "wrong password")).status == 401
            assert (await login(backend, "alice")).status == 200


async def test_passwords_are_kept_as_argon2id_only(
    backend: RawBackend, alice: Person, database_path: Path
) -> None:
    await login(backend, alice.name)
    files = list(database_path.parent.iterdir())
    stored = b"".join(path.read_bytes() for path in files)

    assert b"$argon2id$" in stored
    assert PASSWORD.encode() not in stored
