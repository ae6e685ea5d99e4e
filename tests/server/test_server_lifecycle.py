from __future__ import annotations

import asyncio
import os
import socket
import sqlite3
import stat
import sys
import time
from pathlib import Path

import pytest
from doubles.faulty_backend import CHEAP_HASHER
from doubles.platforms import NOT_AS_ROOT
from doubles.raw_client import Person, RawBackend, raw_backend

from chatbot.server import DatabaseError, ListenError, Server, ServerError


def a_server(path: Path, port: int = 0, host: str = "127.0.0.1") -> Server:
    return Server(path, host=host, port=port, password_hasher=CHEAP_HASHER)


async def test_a_stopped_server_starts_again_on_its_port(database_path: Path) -> None:
    server = a_server(database_path)
    await server.start()
    url = server.url
    async with raw_backend(url) as backend:
        await backend.register("alice")
    await server.stop()
    with pytest.raises(OSError, match=r"refused|Connect call failed"):
        await asyncio.open_connection("127.0.0.1", server.port)

    await server.start()
    async with raw_backend(url) as backend:
        users = (await backend.call("GET", "/api/users")).body
    await server.stop()

    assert server.url == url
    assert [user["username"] for user in users] == ["alice"]


async def test_stopping_closes_every_socket_within_a_second(
    server: Server, alice: Person, bob: Person
) -> None:
    async with alice.online() as first, bob.online() as second:
        began = time.monotonic()
        await server.stop()

        assert time.monotonic() - began < 1.5
        for connection in (first, second):
            await connection.until_closed()
            assert connection.socket.close_code == 1001


async def test_stopping_does_not_wait_for_who_does_not_answer(
    server: Server, alice: Person
) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", server.port)
    writer.write(
        b"GET /ws HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: MTIzNDU2Nzg5MDEyMzQ1Ng==\r\n"
        b"Authorization: Bearer " + alice.token.encode() + b"\r\n\r\n"
    )
    assert b"101" in await reader.readline()
    began = time.monotonic()
    await server.stop()

    assert time.monotonic() - began < 2
    writer.close()


async def test_what_came_in_before_stopping_is_kept(
    server: Server, alice: Person, bob: Person, database_path: Path
) -> None:
    async with alice.online() as sender:
        for number in range(50):
            await sender.send("message", to=bob.id, content=str(number), messageType="text")
        for _ in range(50):
            await sender.next("message")
        await server.stop()

    with sqlite3.connect(database_path) as connection:
        rows = connection.execute("SELECT content FROM messages ORDER BY seq").fetchall()
    connection.close()
    assert [row[0] for row in rows] == [str(number) for number in range(50)]


async def test_starting_twice(server: Server) -> None:
    with pytest.raises(ServerError, match="runs already"):
        await server.start()


async def test_stopping_twice_is_no_harm(database_path: Path) -> None:
    server = a_server(database_path)
    await server.start()
    await server.stop()
    await server.stop()

    with pytest.raises(ServerError, match="not running"):
        await server.make_admin("alice")


async def test_a_port_that_is_taken(database_path: Path, tmp_path: Path) -> None:
    async with a_server(database_path) as first:
        with pytest.raises(ListenError, match=f"port {first.port}: the port is taken.*another"):
            await a_server(tmp_path / "other.db", port=first.port).start()


async def test_a_database_that_another_backend_uses(database_path: Path) -> None:
    async with a_server(database_path):
        with pytest.raises(DatabaseError, match=f"in use by process {os.getpid()}"):
            await a_server(database_path).start()
    async with a_server(database_path):
        pass


async def test_ipv6(database_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    try:
        async with (
            a_server(database_path, host="::1") as server,
            raw_backend(server.url) as backend,
        ):
            assert server.url == f"http://[::1]:{server.port}"
            assert (await backend.call("GET", "/api/users")).status == 200
    except ServerError:
        pytest.skip("this machine has no IPv6")


async def test_files_are_the_owners_alone(backend: RawBackend, database_path: Path) -> None:
    await backend.register("alice")

    modes = {
        path.name: stat.S_IMODE(path.stat().st_mode) for path in database_path.parent.iterdir()
    }

    assert modes
    assert set(modes.values()) == {0o600}, modes
    assert stat.S_IMODE(database_path.parent.stat().st_mode) == 0o700


async def test_a_file_with_looser_permissions_is_tightened(database_path: Path) -> None:
    async with a_server(database_path):
        pass
    database_path.chmod(0o644)
    async with a_server(database_path):
        assert stat.S_IMODE(database_path.stat().st_mode) == 0o600


@pytest.mark.skipif(sys.platform == "win32", reason="folders are no files there either")
async def test_a_folder_that_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(DatabaseError, match="cannot be opened"):
        await a_server(tmp_path / "file" / "backend.db").start()


@NOT_AS_ROOT
async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)

    with pytest.raises(DatabaseError, match="cannot be opened"):
        await a_server(tmp_path / "backend.db").start()


async def test_a_file_that_is_no_database_is_left_as_it_is(database_path: Path) -> None:
    database_path.parent.mkdir()
    database_path.write_bytes(b"something precious, and no database at all" * 100)
    before = database_path.read_bytes()

    with pytest.raises(DatabaseError, match="cannot be used"):
        await a_server(database_path).start()

    assert database_path.read_bytes() == before


async def test_a_database_of_a_newer_version_is_left_as_it_is(database_path: Path) -> None:
    async with a_server(database_path):
        pass
    with sqlite3.connect(database_path) as connection:
        connection.execute("PRAGMA user_version = 99")
    connection.close()

    with pytest.raises(DatabaseError, match="newer version"):
        await a_server(database_path).start()
