"""`chatbot passwd`."""

from __future__ import annotations

from doubles.served_bot import ServedBot


def test_only_the_new_password_opens_what_is_on_the_disk(stopped_bot: ServedBot) -> None:
    (stopped_bot.folder / "fresh").write_text("the new one\n")
    (stopped_bot.folder / "fresh").chmod(0o600)
    changed = stopped_bot.run("passwd", "bot.toml", "--password-file", "fresh")
    assert (changed.returncode, changed.stderr) == (0, "")
    assert "CHATBOT_STORAGE_PASSWORD" in changed.stdout
    assert stopped_bot.run("status", "bot.toml").returncode == 3
    config = stopped_bot.folder / "bot.toml"
    config.write_text(config.read_text() + '[storage]\npassword_file = "fresh"\n')
    with stopped_bot:
        assert "running for" in stopped_bot.run("status", "bot.toml").stdout


def test_a_running_bot_checks_the_old_password(running_bot: ServedBot) -> None:
    environment = running_bot.command_line.environment
    environment |= {"CHATBOT_NEW_PASSWORD": "other", "CHATBOT_STORAGE_PASSWORD": "guessed"}
    try:
        ended = running_bot.run("passwd", "bot.toml")
    finally:
        del environment["CHATBOT_NEW_PASSWORD"], environment["CHATBOT_STORAGE_PASSWORD"]
    assert ended.returncode == 3


def test_a_new_password_has_to_come_from_somewhere(running_bot: ServedBot) -> None:
    ended = running_bot.run("passwd", "bot.toml")
    assert ended.returncode == 2
    assert "CHATBOT_NEW_PASSWORD" in ended.stderr
