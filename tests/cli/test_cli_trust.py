"""`chatbot trust`, while the bot runs and while it does not."""

from __future__ import annotations

import pytest
from doubles.served_bot import ServedBot


@pytest.mark.parametrize("kind", ["running", "stopped"])
def test_an_identity_is_trusted(request: pytest.FixtureRequest, kind: str) -> None:
    bot: ServedBot = request.getfixturevalue(f"{kind}_bot")
    shown = bot.run("fingerprint", "bot.toml").stdout.strip()
    ended = bot.run("trust", "bot.toml", "served", "--fingerprint", shown)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert shown in ended.stdout


def test_only_the_fingerprint_that_was_compared(running_bot: ServedBot) -> None:
    ended = running_bot.run("trust", "bot.toml", "served", "--fingerprint", "0" * 60)
    assert ended.returncode == 1
    assert "another fingerprint" in ended.stderr


def test_somebody_unknown(running_bot: ServedBot) -> None:
    ended = running_bot.run("trust", "bot.toml", "nobody")
    assert ended.returncode == 1
    assert "no user 'nobody'" in ended.stderr
