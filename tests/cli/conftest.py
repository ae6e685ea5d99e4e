"""What the tests of the command line share."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from doubles.command_line import CommandLine, command_line_in
from doubles.served_bot import ServedBot, talk


@pytest.fixture
def command_line(tmp_path: Path) -> CommandLine:
    """`chatbot`, started in the test's own folder."""
    return command_line_in(tmp_path)


@pytest.fixture(scope="session")
def running_bot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServedBot]:
    """A bot that runs; the tests share it, and leave it as it is."""
    with ServedBot.make(tmp_path_factory.mktemp("running")) as bot:
        yield bot


@pytest.fixture(scope="session")
def _former_bot(tmp_path_factory: pytest.TempPathFactory) -> ServedBot:
    with ServedBot.make(tmp_path_factory.mktemp("former")) as bot:
        (sorry,) = talk(bot, tmp_path_factory.mktemp("alice"), "alice", "/crash first")
    assert "something went wrong" in sorry
    return bot


@pytest.fixture
def stopped_bot(_former_bot: ServedBot, tmp_path: Path) -> ServedBot:
    """The test's own bot, which does not run; one message, `/crash first` of alice, is parked."""
    return ServedBot(shutil.copytree(_former_bot.folder, tmp_path / "stopped"))
