"""What Ctrl-C and service managers send, while a command still waits for a backend."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from doubles.command_line import CommandLine

CONFIG = """
[bot]
name = "some-bot"
[server]
url = "http://127.0.0.1:{port}"
"""
SECONDS = 5


@pytest.mark.parametrize(("command", "number"), [("run", signal.SIGTERM), ("chat", signal.SIGINT)])
def test_a_backend_that_never_answers_keeps_nobody_from_stopping(
    command_line: CommandLine, tmp_path: Path, command: str, number: int
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        (tmp_path / "bot.toml").write_text(CONFIG.format(port=port))
        arguments = {
            "run": ["run", "bot.toml"],
            "chat": [
                "chat",
                "--server",
                f"http://127.0.0.1:{port}",
                "--as",
                "alice",
                "--to",
                "bob",
            ],
        }
        with subprocess.Popen(
            [sys.executable, "-m", "chatbot", *arguments[command]],
            cwd=tmp_path,
            env={
                **command_line.environment,
                "CHATBOT_PASSWORD": "a password",
                "HOME": str(tmp_path),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                silent.settimeout(60)
                connection, _ = silent.accept()
                with connection:
                    process.send_signal(number)
                    _, errors = process.communicate(timeout=SECONDS)
            finally:
                process.kill()
    assert (process.returncode, errors) == (0, "")
