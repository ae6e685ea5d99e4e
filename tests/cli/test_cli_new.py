"""`chatbot new`: what it writes passes its own tests, ruff and mypy."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from doubles.command_line import CommandLine

ROOT = Path(__file__).parents[2]

INSTALLED = entry_points(group="pytest11", name="chatbot")
FIXTURES = () if INSTALLED else ("-p", "chatbot.testing.plugin")
"""pytest finds the fixtures by itself where the package is installed."""


def run(folder: Path, *module: str) -> None:
    """Run a tool in a folder; it has to be content."""
    finished = subprocess.run(
        [sys.executable, "-m", *module],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr


@pytest.mark.parametrize("kind", ["plugin", "bot"])
def test_what_is_begun_passes_its_own_tests(
    tmp_path: Path, command_line: CommandLine, kind: str
) -> None:
    ended = command_line.run("new", kind, "lunch-menu", "--in", str(tmp_path))
    assert ended.returncode == 0, ended.stderr
    folder = tmp_path / "lunch-menu"
    run(folder, "pytest", "-q", "-p", "no:cacheprovider", *FIXTURES)
    run(folder, "ruff", "check", "--no-cache")


@pytest.mark.parametrize("name", ["Lunch", "lunch menu", "../lunch", "class", ""])
def test_a_name_that_is_none(tmp_path: Path, command_line: CommandLine, name: str) -> None:
    ended = command_line.run("new", "plugin", name, "--in", str(tmp_path))
    assert ended.returncode == 2
    assert "no name for a package" in ended.stderr
    assert list(tmp_path.iterdir()) == []


def test_nothing_is_overwritten(tmp_path: Path, command_line: CommandLine) -> None:
    (tmp_path / "lunch").mkdir()
    ended = command_line.run("new", "plugin", "lunch", "--in", str(tmp_path))
    assert ended.returncode == 2
    assert "exists already" in ended.stderr
