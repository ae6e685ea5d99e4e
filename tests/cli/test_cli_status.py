"""`chatbot status`."""

from __future__ import annotations

import json

from doubles.platforms import NOT_AS_ROOT
from doubles.served_bot import ServedBot


def test_of_a_running_bot(running_bot: ServedBot) -> None:
    page = running_bot.run("status", "bot.toml")
    assert (page.returncode, page.stderr) == (0, "")
    assert "running for" in page.stdout
    assert "connected" in page.stdout
    facts = json.loads(running_bot.run("status", "bot.toml", "--json").stdout)
    assert facts["name"] == "served"
    assert facts["server_url"] == running_bot.url
    assert facts["live"]["connection"] == "connected"
    assert "play" in facts["live"]["plugins"]
    assert facts["depths"]["inbox"] == 0


def test_of_one_that_does_not_run(stopped_bot: ServedBot) -> None:
    assert "not running" in stopped_bot.run("status", "bot.toml").stdout
    facts = json.loads(stopped_bot.run("status", "bot.toml", "--json").stdout)
    assert facts["live"] is None
    assert facts["depths"]["inbox_parked"] == 1


def test_a_wrong_password_changes_nothing(stopped_bot: ServedBot) -> None:
    before = {path.name: path.read_bytes() for path in stopped_bot.account.glob("*.db")}
    (stopped_bot.folder / "secret").write_text("guessed\n")
    ended = stopped_bot.run("status", "bot.toml")
    assert ended.returncode == 3
    assert "does not open" in ended.stderr
    assert {path.name: path.read_bytes() for path in stopped_bot.account.glob("*.db")} == before


def test_a_bot_that_was_never_started(stopped_bot: ServedBot) -> None:
    config = stopped_bot.folder / "bot.toml"
    config.write_text(config.read_text().replace('"served"', '"stranger"'))
    ended = stopped_bot.run("status", "bot.toml")
    assert ended.returncode == 2
    assert "start it once" in ended.stderr


def test_a_killed_bot_leaves_nothing_in_the_way(stopped_bot: ServedBot) -> None:
    with stopped_bot:
        (control,) = stopped_bot.account.glob("control.*")
        assert control.stat().st_mode & 0o777 == 0o600
        stopped_bot.kill()
    assert control.exists()
    assert "not running" in stopped_bot.run("status", "bot.toml").stdout
    with stopped_bot:
        assert "running for" in stopped_bot.run("status", "bot.toml").stdout
    assert not control.exists()


def test_a_damaged_database_is_left_as_it_is(stopped_bot: ServedBot) -> None:
    file = stopped_bot.account / "messages.db"
    damaged = bytearray(file.read_bytes())
    damaged[:200] = b"\xff" * 200
    file.write_bytes(damaged)
    ended = stopped_bot.run("status", "bot.toml")
    assert ended.returncode == 4
    assert "damaged" in ended.stderr
    assert "What to do" in ended.stderr
    assert file.read_bytes() == damaged


@NOT_AS_ROOT
def test_a_folder_that_is_read_only(stopped_bot: ServedBot) -> None:
    stopped_bot.account.chmod(0o500)
    try:
        ended = stopped_bot.run("status", "bot.toml")
    finally:
        stopped_bot.account.chmod(0o700)
    assert ended.returncode == 4
    assert "writable" in ended.stderr


def test_a_file_where_the_folder_should_be(stopped_bot: ServedBot) -> None:
    account = stopped_bot.account
    account.rename(account.with_name("elsewhere"))
    account.write_text("")
    ended = stopped_bot.run("status", "bot.toml")
    assert ended.returncode == 4
    assert str(account) in ended.stderr
    assert account.read_text() == ""
