"""What is not the caller's fault: a damaged database, a busy machine, a full group."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from argon2 import PasswordHasher
from doubles.faulty_backend import CHEAP_HASHER
from doubles.raw_client import PASSWORD, Person, RawBackend, raw_backend

from chatbot.server import Limits, Server

SHAKEN = ("error", {"message": "Invalid message format"})


def change(path: Path, statement: str, *rows: tuple[Any, ...]) -> None:
    """Change the database behind the backend's back, once for each of the rows."""
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.executemany(statement, rows or [()])


async def test_a_failed_call_says_so_and_nothing_more(
    alice: Person, database_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    change(database_path, "DROP TABLE verifications")

    answer = await alice.call("GET", "/api/verify-key/x")

    assert (answer.status, answer.error) == (500, "Internal server error")
    assert "A call failed" in caplog.text
    assert alice.token not in caplog.text


async def test_a_message_that_cannot_be_stored_is_not_forwarded(
    alice: Person, bob: Person, database_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with bob.online() as recipient, alice.online() as sender:
        await recipient.pending()
        change(database_path, "DROP TABLE messages")
        await sender.send("message", to=bob.id, content="my secret", messageType="text")

        assert await sender.pending() == [SHAKEN]
        assert await recipient.pending() == []
    assert "A frame failed" in caplog.text
    assert "my secret" not in caplog.text


async def test_a_history_that_breaks_off_does_not_look_whole(
    backend: RawBackend, alice: Person, bob: Person, database_path: Path
) -> None:
    pair = ":".join(sorted((alice.id, bob.id)))
    change(
        database_path,
        "INSERT INTO messages (pair, from_user, to_user, timestamp, status, type, encrypted,"
        " content, id) VALUES (?, ?, ?, 1, 'sent', 'text', 0, ?, ?)",
        *((pair, alice.id, bob.id, "x" * 1_000_000, f"m{number}") for number in range(40)),
    )
    request = backend.http.get(f"{backend.url}/api/messages/{bob.id}", headers=alice.bearer)
    async with request as answer:
        assert answer.status == 200
        change(database_path, "DROP TABLE messages")
        with pytest.raises(aiohttp.ClientPayloadError):
            await answer.read()


async def test_an_account_disabled_midway_is_told_at_its_next_message(
    alice: Person, bob: Person, database_path: Path
) -> None:
    async with alice.online() as sender:
        change(database_path, "UPDATE users SET is_active = 0 WHERE id = ?", (alice.id,))
        await sender.send("message", to=bob.id, content="hello", messageType="text")

        assert await sender.until_closed() == [
            ("error", {"message": "Your account has been disabled by an administrator."})
        ]


class SlowHasher(PasswordHasher):
    """Hashes when it is let."""

    def __init__(self) -> None:
        super().__init__(time_cost=1, memory_cost=8, parallelism=1)
        self.let = threading.Event()

    def hash(self, password: str | bytes, **options: Any) -> str:
        self.let.wait()
        return super().hash(password, **options)


async def test_passwords_are_not_queued_without_end(database_path: Path) -> None:
    hasher = SlowHasher()
    async with (
        Server(database_path, port=0, password_hasher=hasher) as server,
        raw_backend(server.url) as backend,
    ):
        calls = [
            asyncio.create_task(
                backend.call(
                    "POST",
                    "/api/auth/register",
                    {"username": f"user-{number}", "password": PASSWORD},
                )
            )
            for number in range(80)
        ]
        done, _ = await asyncio.wait(calls, return_when=asyncio.FIRST_COMPLETED)
        refused = done.pop().result()
        # The loop is free while passwords wait.
        assert (await backend.call("GET", "/api/users")).body == []
        hasher.let.set()
        statuses = sorted([answer.status for answer in await asyncio.gather(*calls)])

    assert (refused.status, refused.error) == (503, "The server is busy. Try again later")
    assert set(statuses) == {201, 503}
    assert statuses.count(201) >= 64


async def test_expired_invites_make_room(database_path: Path) -> None:
    now = [1_000]
    limits = Limits(group_invites=2)
    async with (
        Server(
            database_path,
            port=0,
            clock=lambda: now[0],
            limits=limits,
            password_hasher=CHEAP_HASHER,
        ) as server,
        raw_backend(server.url) as backend,
    ):
        alice, bob = await backend.register("alice"), await backend.register("bob")
        group = (await alice.call("POST", "/api/groups", {"name": "Team"})).body["id"]
        path = f"/api/groups/{group}/invite"
        brief = (await alice.call("POST", path, {"expiresIn": 500})).body
        await alice.call("POST", path, {})
        full = await alice.call("POST", path, {})
        now[0] = 1_500
        expired = await bob.call("POST", "/api/groups/join", {"linkCode": brief["link_code"]})
        again = await alice.call("POST", path, {})

        assert brief["expires_at"] == 1_500
        assert (full.status, again.status) == (400, 201)
        assert (expired.status, expired.error) == (400, "Invite link has expired")


async def test_pages_of_pictures_are_bounded_and_never_empty(database_path: Path) -> None:
    limits = Limits(group_page_bytes=25_000)
    async with (
        Server(database_path, port=0, limits=limits, password_hasher=CHEAP_HASHER) as server,
        raw_backend(server.url) as backend,
    ):
        alice = await backend.register("alice")
        group = (await alice.call("POST", "/api/groups", {"name": "Team"})).body["id"]
        async with alice.online() as socket:
            for size in (10_000, 10_000, 10_000, 30_000):
                await socket.send("group_message", groupId=group, content="x" * size)
                await socket.next("group_message")

        async def page(before: int | None = None) -> list[dict[str, Any]]:
            query = "" if before is None else f"?before={before}"
            rows: list[dict[str, Any]] = await alice.get(f"/api/groups/{group}/messages{query}")
            return rows

        last = await page()
        earlier = await page(last[0]["timestamp"])
        assert [len(row["content"]) for row in last] == [30_000]
        assert [len(row["content"]) for row in earlier] == [10_000, 10_000]
