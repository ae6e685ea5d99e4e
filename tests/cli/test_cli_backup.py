"""`chatbot backup` and `chatbot restore`."""

from __future__ import annotations

import shutil
from pathlib import Path

from doubles.served_bot import ServedBot, talk


def test_a_backup_of_a_running_bot_restores_into_one_that_works(tmp_path: Path) -> None:
    bot = ServedBot.make(tmp_path / "bot")
    (tmp_path / "bot" / "phrase").write_text("of the backup\n")
    (tmp_path / "bot" / "phrase").chmod(0o600)
    with bot:
        fingerprint = bot.run("fingerprint", "bot.toml").stdout
        written = bot.run("backup", "bot.toml", "all.backup", "--password-file", "phrase")
        assert (written.returncode, written.stderr) == (0, "")
    file = bot.folder / "all.backup"
    assert file.stat().st_mode & 0o777 == 0o600

    there = bot.run("restore", file, "bot.toml", "--password-file", "phrase")
    assert there.returncode == 4
    assert "exists already" in there.stderr

    shutil.rmtree(bot.account)
    restored = bot.run("restore", file, "bot.toml", "--password-file", "phrase")
    assert (restored.returncode, restored.stderr) == (0, "")
    assert bot.run("fingerprint", "bot.toml").stdout == fingerprint
    with bot:
        assert talk(bot, tmp_path / "a", "alice", "/echo anew") == ["anew"]


def test_a_backup_needs_a_password(running_bot: ServedBot) -> None:
    ended = running_bot.run("backup", "bot.toml", "none.backup")
    assert ended.returncode == 2
    assert "CHATBOT_BACKUP_PASSWORD" in ended.stderr
    assert not (running_bot.folder / "none.backup").exists()


def test_a_wrong_password_restores_nothing(stopped_bot: ServedBot) -> None:
    stopped_bot.command_line.environment["CHATBOT_BACKUP_PASSWORD"] = "right"
    assert stopped_bot.run("backup", "bot.toml", "all.backup").returncode == 0
    shutil.rmtree(stopped_bot.folder / "storage")
    stopped_bot.command_line.environment["CHATBOT_BACKUP_PASSWORD"] = "wrong"
    ended = stopped_bot.run("restore", "all.backup", "bot.toml")
    assert ended.returncode == 3
    assert list((stopped_bot.folder / "storage").glob("*/keys.db")) == []
