"""`chatbot inbox` on the files of a bot; test_runtime_control.py has it on one that runs."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

from doubles.served_bot import ServedBot, talk


def parked_ids(bot: ServedBot) -> list[str]:
    listed = bot.run("inbox", "bot.toml")
    assert (listed.returncode, listed.stderr) == (0, "")
    return [line.split()[0] for line in listed.stdout.splitlines() if "tries" in line]


def test_what_is_parked_is_listed_and_shown(stopped_bot: ServedBot) -> None:
    (number,) = parked_ids(stopped_bot)
    assert "RuntimeError" in stopped_bot.run("inbox", "bot.toml", "list").stdout
    shown = stopped_bot.run("inbox", "bot.toml", "show", number)
    assert shown.returncode == 0
    assert "/crash first" in shown.stdout
    assert "direct chat" in shown.stdout


def test_a_retried_message_is_handled_when_the_bot_starts(
    stopped_bot: ServedBot, tmp_path: Path
) -> None:
    (number,) = parked_ids(stopped_bot)
    assert stopped_bot.run("inbox", "bot.toml", "retry", number).returncode == 0
    assert parked_ids(stopped_bot) == []
    stopped_bot.calm()
    with stopped_bot:
        assert talk(stopped_bot, tmp_path / "b", "bob", "/echo hi") == ["hi"]
    assert states(stopped_bot) == []


def test_a_dropped_message_is_never_handled(stopped_bot: ServedBot) -> None:
    (number,) = parked_ids(stopped_bot)
    assert stopped_bot.run("inbox", "bot.toml", "drop", number).returncode == 0
    assert states(stopped_bot) == []
    with closing(sqlite3.connect(stopped_bot.account / "messages.db")) as connection:
        assert connection.execute("SELECT count(*) FROM steps").fetchone() == (0,)
    again = stopped_bot.run("inbox", "bot.toml", "drop", number)
    assert again.returncode == 2
    assert f"nothing with the id {number} is parked" in again.stderr


def test_of_a_running_bot(running_bot: ServedBot) -> None:
    assert running_bot.run("inbox", "bot.toml").stdout == "Nothing is parked\n"
    unsaid = running_bot.run("inbox", "bot.toml", "show")
    assert unsaid.returncode == 2
    assert "Which one?" in unsaid.stderr


def states(bot: ServedBot) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(bot.account / "messages.db")) as connection:
        return connection.execute("SELECT seq, state FROM inbox").fetchall()
