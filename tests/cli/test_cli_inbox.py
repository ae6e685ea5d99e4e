"""`chatbot inbox`, while the bot runs and while it does not."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
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
    assert f"no message {number} is parked" in again.stderr


def test_on_a_running_bot(tmp_path: Path) -> None:
    with ServedBot.make(tmp_path / "bot") as bot:
        talk(bot, tmp_path / "c", "carol", "/crash one", "/crash two")
        one, two = parked_ids(bot)
        assert "/crash two" in bot.run("inbox", "bot.toml", "show", two).stdout
        assert bot.run("inbox", "bot.toml", "drop", two).returncode == 0
        assert bot.run("inbox", "bot.toml", "retry", one).returncode == 0
        bot.calm()
        assert talk(bot, tmp_path / "d", "dave", "/crash three") == ["calm again three"]
        assert two not in parked_ids(bot)


@pytest.mark.parametrize("action", ["show", "retry", "drop"])
def test_which_one_has_to_be_said(running_bot: ServedBot, action: str) -> None:
    ended = running_bot.run("inbox", "bot.toml", action)
    assert ended.returncode == 2
    assert "Which message?" in ended.stderr


def states(bot: ServedBot) -> list[tuple[int, str]]:
    with closing(sqlite3.connect(bot.account / "messages.db")) as connection:
        return connection.execute("SELECT seq, state FROM inbox").fetchall()
