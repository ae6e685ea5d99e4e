"""`[http]` of a bot that `chatbot run` started."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from doubles.command_line import CommandLine

CONFIG = """
[bot]
name = "watched"
password_file = "secret"
[server]
port = 0
[http]
port = 0
"""


def status(url: str, token: str) -> int:
    request = urllib.request.Request(url, headers={"Authorization": f"Bearer {token}"})  # noqa: S310 - the bot's
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310 - the same
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_the_token_is_made_and_asked_for(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "bot.toml").write_text(CONFIG)
    with subprocess.Popen(
        [sys.executable, "-m", "chatbot", "run", "bot.toml"],
        cwd=tmp_path,
        env=command_line.environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            said = [process.stdout.readline() for _ in range(5)]
            found = re.search(r"watch it: +(\S+)/metrics", said[-1])
            assert found is not None, said
            token = tmp_path / "storage" / "http.token"
            assert token.stat().st_mode & 0o777 == 0o600
            assert status(f"{found[1]}/readyz", token.read_text().strip()) == 200
            assert status(f"{found[1]}/readyz", "guessed") == 401
            process.send_signal(signal.SIGTERM)
            assert process.wait(timeout=5) == 0
        finally:
            process.kill()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "bot.example"])  # noqa: S104 - refused
def test_beyond_this_machine_it_needs_a_certificate(
    command_line: CommandLine, tmp_path: Path, host: str
) -> None:
    (tmp_path / "bot.toml").write_text(f'{CONFIG}host = "{host}"\n')
    ended = command_line.run("run", "bot.toml")
    assert ended.returncode == 2
    assert "bot.toml: http.host" in ended.stderr
    assert "certificate" in ended.stderr
    assert not (tmp_path / "storage").exists()
