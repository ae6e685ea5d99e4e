from __future__ import annotations

import getpass
import sys
from pathlib import Path

import pytest

from chatbot.cli.passwords import (
    account_password,
    generate_password_file,
    read_password_file,
    storage_password,
)
from chatbot.client.exceptions import StorageError, ValidationError


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "password"
    path.touch(mode=0o600)
    return path


def answer(monkeypatch: pytest.MonkeyPatch, text: str) -> list[str]:
    """Sit at a terminal and type `text`; return what one is asked."""
    prompts: list[str] = []

    def typed(prompt: str) -> str:
        prompts.append(prompt)
        return text

    monkeypatch.setattr(sys.stdin, "isatty", lambda: True)
    monkeypatch.setattr(getpass, "getpass", typed)
    return prompts


def test_the_environment_comes_first(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file.write_text("from the file")
    prompts = answer(monkeypatch, "typed")
    environ = {"CHATBOT_PASSWORD": "from the environment"}
    assert account_password("bot", file, environ=environ) == "from the environment"
    assert account_password("bot", file, environ={}) == "from the file"
    assert prompts == []
    assert account_password("bot", None, environ={}) == "typed"
    assert prompts == ["Password for bot: "]


def test_without_a_terminal_nobody_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "typed")
    monkeypatch.setattr(sys.stdin, "isatty", lambda: False)
    with pytest.raises(ValidationError, match="CHATBOT_PASSWORD"):
        account_password("bot", None, environ={})


def test_an_empty_password_is_refused(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answer(monkeypatch, "")
    with pytest.raises(ValidationError, match="empty"):
        account_password("bot", None, environ={})
    with pytest.raises(ValidationError, match=r"empty.*CHATBOT_PASSWORD"):
        account_password("bot", None, environ={"CHATBOT_PASSWORD": ""})
    with pytest.raises(ValidationError, match=f"empty.*{file.name}"):
        account_password("bot", file, environ={})
    with pytest.raises(ValidationError, match=r"empty.*CHATBOT_STORAGE_PASSWORD"):
        storage_password(environ={"CHATBOT_STORAGE_PASSWORD": ""})


def test_the_storage_has_a_password_of_its_own_where_there_is_one() -> None:
    assert storage_password(environ={}) is None
    assert storage_password(environ={"CHATBOT_STORAGE_PASSWORD": "s3cret"}) == "s3cret"


@pytest.mark.parametrize(
    ("content", "password"),
    [
        (b"secret\n", "secret"),
        (b"secret\r\nnot this\r\n", "secret"),
        (b" spaces count ", " spaces count "),
        ("pässwörd\n".encode(), "pässwörd"),
        (b"x" * 1024 + b"\n", "x" * 1024),
    ],
)
def test_the_first_line_of_a_file_is_the_password(
    file: Path, content: bytes, password: str
) -> None:
    file.write_bytes(content)
    assert read_password_file(file) == password


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"x" * 2000])
def test_a_file_that_holds_no_password_is_refused(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    with pytest.raises(ValidationError) as caught:
        read_password_file(file)
    assert str(file) in str(caught.value)
    assert "xxx" not in str(caught.value)


def test_a_file_that_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="No such file"):
        read_password_file(tmp_path / "missing")
    with pytest.raises(StorageError, match="directory"):
        read_password_file(tmp_path)


def test_a_file_that_others_can_read_is_warned_of(
    file: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file.write_text("secret")
    read_password_file(file)
    assert capsys.readouterr().err == ""
    file.chmod(0o640)
    assert read_password_file(file) == "secret"
    assert f"other users can read {file}" in capsys.readouterr().err


def test_a_generated_password_is_its_owners_alone(tmp_path: Path) -> None:
    file = tmp_path / "var" / "bot.password"
    assert generate_password_file(file)
    assert file.stat().st_mode & 0o777 == 0o600
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert len(read_password_file(file)) == 32


def test_two_generated_passwords_differ(tmp_path: Path) -> None:
    generate_password_file(tmp_path / "a")
    generate_password_file(tmp_path / "b")
    assert read_password_file(tmp_path / "a") != read_password_file(tmp_path / "b")


def test_a_password_that_is_there_is_kept(file: Path) -> None:
    file.write_text("mine")
    assert not generate_password_file(file)
    assert file.read_text() == "mine"


def test_a_file_that_cannot_be_made_is_told(file: Path) -> None:
    with pytest.raises(StorageError, match="cannot be made"):
        generate_password_file(file / "below" / "password")
