from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any, NoReturn

import pytest
from doubles.command_line import CommandLine

from chatbot.cli.app import COMMANDS, main
from chatbot.version import __version__


def ended(
    monkeypatch: pytest.MonkeyPatch, *arguments: str, instead: dict[str, Any] | None = None
) -> int | str | None:
    """Run `main` in this process, with parts of `chatbot.cli.check` replaced; return its code."""
    for name, value in (instead or {}).items():
        monkeypatch.setattr(f"chatbot.cli.check.{name}", value)
    monkeypatch.setattr(sys, "argv", ["chatbot", *arguments])
    with pytest.raises(SystemExit) as exit_:
        main()
    return exit_.value.code


def raising(error: BaseException) -> Any:
    def fail(*_arguments: object) -> NoReturn:
        raise error

    return fail


def test_the_version_is_said(command_line: CommandLine) -> None:
    result = command_line.run("--version")
    assert (result.returncode, result.stdout) == (0, f"chatbot {__version__}\n")


def test_help_lists_every_command(command_line: CommandLine) -> None:
    result = command_line.run("--help")
    assert result.returncode == 0
    for name in COMMANDS:
        assert f"  {name} " in result.stdout


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ended(monkeypatch, name, "--help") == 0
    shown = capsys.readouterr().out
    assert f"Usage: chatbot {name} " in shown
    assert f"Example: chatbot {name} " in shown


@pytest.mark.parametrize("arguments", [(), ("fly",), ("check",), ("check", "--fast", "x")])
def test_wrong_usage_ends_with_2(monkeypatch: pytest.MonkeyPatch, arguments: tuple[str]) -> None:
    assert ended(monkeypatch, *arguments) == 2


def test_help_loads_nothing_heavy() -> None:
    code = (
        "import sys; from chatbot.cli.app import app; app(['--help'], standalone_mode=False); "
        "print(sorted({'aiohttp', 'asyncio', 'nacl', 'pydantic', 'rich', 'sqlite3'}"
        " & sys.modules.keys()))"
    )
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        timeout=30,
        check=True,
        env={"COLUMNS": "80", "PYTHONPATH": ":".join(sys.path)},
    )
    assert result.stdout.splitlines()[-1] == "[]"


def test_ctrl_c_ends_with_130(monkeypatch: pytest.MonkeyPatch) -> None:
    code = ended(monkeypatch, "check", "x", instead={"load_settings": raising(KeyboardInterrupt())})
    assert code == 130


def test_a_fault_of_ours_is_told_without_its_text(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fault = raising(KeyError("hunter2"))
    assert ended(monkeypatch, "check", "x", instead={"load_settings": fault}) == 1
    shown = capsys.readouterr().err
    assert shown.startswith("Error: this is a fault in chatbot itself: KeyError.")
    assert "--debug" in shown
    assert "Traceback" not in shown
    assert "hunter2" not in shown


def test_debug_shows_where_an_error_comes_from(command_line: CommandLine, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = command_line.run("--debug", "serve", "--db", "file/b.db")
    assert result.returncode == 4
    assert "Traceback" in result.stderr
    assert "\nError: The backend's database" in f"\n{result.stderr}"
