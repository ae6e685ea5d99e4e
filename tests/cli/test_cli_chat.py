"""`chatbot chat` and `chatbot fingerprint`: processes that talk through a real backend."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from doubles.command_line import CommandLine, Server

BOT = """
[bot]
name = "echo-bot"
[server]
url = "embedded"
port = 0
[storage]
path = "storage"
"""


def chat(
    command_line: CommandLine, server: Server, name: str, to: str, *options: str, stdin: str = ""
) -> tuple[int, str, str]:
    """Let somebody chat to the end of the input."""
    ended = command_line.run(
        "chat", "--server", server.url, "--as", name, "--to", to, "--storage", "people",
        "--wait", "1", *options, stdin=stdin,
    )  # fmt: skip
    return ended.returncode, ended.stdout, ended.stderr


@pytest.fixture
def with_password(command_line: CommandLine) -> CommandLine:
    command_line.environment["CHATBOT_PASSWORD"] = "correct horse"
    return command_line


def test_lines_arrive_in_order_and_once_for_people_and_for_machines(
    with_password: CommandLine,
) -> None:
    with with_password.serving() as server:
        code, _, _ = chat(with_password, server, "bob", "bob-does-not-matter", "--register")
        assert code == 1  # nobody to talk to; the account is there all the same
        code, out, err = chat(
            with_password, server, "alice", "bob", "--register", stdin="one\n  \ntwo\n\x1b[2Jboo\n"
        )
        assert (code, out) == (0, "")
        assert err.count("bob is offline") == 3
        code, out, _ = chat(with_password, server, "bob", "alice")
        assert (code, out) == (0, "alice: one\nalice: two\nalice: \\x1b[2Jboo\n")
        chat(with_password, server, "alice", "bob", stdin='say "hi"\n')
        code, out, _ = chat(with_password, server, "bob", "alice", "--json")
        message = json.loads(out)  # that one only
        assert (code, message["from"], message["text"]) == (0, "alice", 'say "hi"')
        assert message["encrypted"] is True


def test_mistakes_and_their_exit_codes(with_password: CommandLine) -> None:
    with with_password.serving() as server:
        code, _, err = chat(with_password, server, "alice", "nobody", "--register")
        assert (code, err.count("\n")) == (1, 1)
        assert err.startswith("Error: there is no user 'nobody': ")
        code, _, err = chat(with_password, server, "alice", "alice", stdin="me\nmyself\n")
        assert (code, err.count("message to oneself")) == (2, 1)
        with_password.environment["CHATBOT_PASSWORD"] = "wrong one"
        code, _, err = chat(with_password, server, "alice", "nobody")
        assert code == 3
        assert "refuses the login of 'alice': Invalid username or password" in err
        with_password.environment["CHATBOT_PASSWORD"] = ""
        code, _, err = chat(with_password, server, "alice", "nobody")
        assert code == 2
        assert "empty" in err
        del with_password.environment["CHATBOT_PASSWORD"]
        code, _, err = chat(with_password, server, "alice", "nobody")
        assert code == 2
        assert "CHATBOT_PASSWORD" in err
        server.stop()
        with_password.environment["CHATBOT_PASSWORD"] = "correct horse"
        code, _, err = chat(with_password, server, "alice", "nobody")
        assert code == 5
        assert "cannot be reached" in err


def test_the_fingerprint_of_a_bot_that_never_ran(command_line: CommandLine) -> None:
    (command_line.folder / "config.toml").write_text(BOT)
    ended = command_line.run("fingerprint", "config.toml")
    assert ended.returncode == 2
    assert "has no fingerprint yet" in ended.stderr


def test_the_fingerprint_of_an_account(with_password: CommandLine) -> None:
    folder: Path = with_password.folder
    with with_password.serving() as server:
        chat(with_password, server, "echo-bot", "nobody", "--register", "--storage", "storage")
    (folder / "config.toml").write_text(BOT)
    ended = with_password.run("fingerprint", "config.toml", "--qr", "code.svg")
    assert ended.returncode == 0, ended.stderr
    assert re.fullmatch(r"([0-9A-F]{5} ){11}[0-9A-F]{5}\n", ended.stdout)
    assert "<svg" in (folder / "code.svg").read_text()
    wrong = with_password.run("fingerprint", "config.toml", "--qr", "code.doc")
    assert wrong.returncode == 2
