from __future__ import annotations

import json
import signal
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from doubles.command_line import CommandLine


def call(url: str, body: dict[str, str] | None = None) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, data)  # noqa: S310 - the address is the test's own
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        return json.load(answer)


def credentials(name: str) -> dict[str, str]:
    return {"username": name, "password": "correct horse"}


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_says_where_it_is_serves_and_stops_in_order(
    command_line: CommandLine, tmp_path: Path, number: int
) -> None:
    with command_line.serving() as server:
        assert call(f"{server.url}/api/users") == []
        assert server.stop(number) == (0, "Stopped\n", "")
    assert (tmp_path / "backend.db").stat().st_mode & 0o777 == 0o600


def test_accounts_survive_a_restart(command_line: CommandLine, tmp_path: Path) -> None:
    db = tmp_path / "deep" / "b.db"
    with command_line.serving("--db", db) as server:
        first = call(f"{server.url}/api/auth/register", credentials("alice"))
        server.stop()
    with command_line.serving("--db", db) as server:
        assert call(f"{server.url}/api/auth/login", credentials("alice"))["id"] == first["id"]
        server.stop()


def test_administrators_are_named_on_the_command_line(command_line: CommandLine) -> None:
    with command_line.serving() as server:
        call(f"{server.url}/api/auth/register", credentials("alice"))
        call(f"{server.url}/api/auth/register", credentials("bob"))
        server.stop()
    with command_line.serving("--admin", "alice") as server:
        assert call(f"{server.url}/api/auth/login", credentials("alice"))["role"] == "admin"
        assert call(f"{server.url}/api/auth/login", credentials("bob"))["role"] != "admin"
        server.stop()


def test_an_unknown_administrator_is_refused(command_line: CommandLine) -> None:
    ended = command_line.run("serve", "--port", "0", "--admin", "nobody-here")
    assert ended.returncode == 2
    assert "nobody-here" in ended.stderr
    assert is_one_message(ended.stderr)


def test_a_taken_port_is_one_message(command_line: CommandLine) -> None:
    with command_line.serving("--db", "first.db") as server:
        ended = command_line.run("serve", "--port", str(server.port), "--db", "second.db")
    assert ended.returncode == 5
    assert f"port {server.port}" in ended.stderr
    assert is_one_message(ended.stderr)


def test_a_damaged_database_is_one_message_and_stays_as_it_is(
    command_line: CommandLine, tmp_path: Path
) -> None:
    db = tmp_path / "b.db"
    db.write_bytes(b"this was never a database\n" * 100)
    before = db.read_bytes()
    ended = command_line.run("serve", "--port", "0", "--db", db)
    assert ended.returncode == 4
    assert str(db) in ended.stderr
    assert is_one_message(ended.stderr)
    assert db.read_bytes() == before


def test_a_database_that_cannot_be_made_is_one_message(
    command_line: CommandLine, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()
    ended = command_line.run("serve", "--port", "0", "--db", tmp_path / "file" / "b.db")
    assert ended.returncode == 4
    assert is_one_message(ended.stderr)


def test_browser_compatible_mode_stays_on_this_machine(command_line: CommandLine) -> None:
    ended = command_line.run("serve", "--port", "0", "--host", "0.0.0.0", "--browser-compat")  # noqa: S104
    assert ended.returncode == 2
    assert "127.0.0.1" in ended.stderr
    assert is_one_message(ended.stderr)


def is_one_message(text: str) -> bool:
    return text.startswith("Error: ") and "Traceback" not in text and len(text.splitlines()) == 1
