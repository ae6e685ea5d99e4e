"""`chatbot doctor`."""

from __future__ import annotations

import os
import sqlite3
from contextlib import closing

import pytest
from doubles.served_bot import ServedBot


def test_a_running_bot_is_well(running_bot: ServedBot) -> None:
    ended = running_bot.run("doctor", "bot.toml")
    assert (ended.returncode, ended.stderr) == (0, "")
    assert "has the account open" in ended.stdout
    assert f"{running_bot.url} answers" in ended.stdout
    assert "!!" not in ended.stdout


def test_each_trouble_is_told_with_what_to_do(stopped_bot: ServedBot) -> None:
    (stopped_bot.account / "messages.db").chmod(0o644)
    (stopped_bot.account / "lock").write_text("4242")
    ended = stopped_bot.run("doctor", "bot.toml")
    assert ended.returncode == 1
    troubles = [line for line in ended.stdout.splitlines() if line.startswith("!!")]
    assert [line.split()[1] for line in troubles] == ["permissions:", "parked"]
    assert "chmod -R go-rwx" in ended.stdout
    assert "left behind by process 4242" in ended.stdout
    assert "chatbot inbox CONFIG list" in ended.stdout


def test_a_newer_schema_is_told(stopped_bot: ServedBot) -> None:
    with closing(sqlite3.connect(stopped_bot.account / "messages.db")) as connection, connection:
        connection.execute("UPDATE schema_versions SET version = 99 WHERE component = 'runtime'")
    ended = stopped_bot.run("doctor", "bot.toml")
    assert ended.returncode == 1
    assert "written by a newer version of this program: runtime 99" in ended.stdout


@pytest.mark.parametrize("name", ["keys.db", "messages.db"])
def test_a_damaged_database_is_told_and_left_as_it_is(stopped_bot: ServedBot, name: str) -> None:
    file = stopped_bot.account / name
    damaged = bytearray(file.read_bytes())
    damaged[4096:8192] = os.urandom(4096)
    file.write_bytes(damaged)
    ended = stopped_bot.run("doctor", "bot.toml")
    assert ended.returncode == 1
    assert f"!!  {name}: " in ended.stdout
    assert "restore a backup" in ended.stdout
    assert file.read_bytes() == damaged
