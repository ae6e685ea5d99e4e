"""`chatbot run` on disks that fail: it says so, ends, overwrites nothing, and later goes on."""

from __future__ import annotations

import os
import shutil
import sqlite3
from collections.abc import AsyncIterator
from contextlib import closing
from pathlib import Path

import pytest
from doubles.platforms import NOT_AS_ROOT
from doubles.stage import Stage

from chatbot.client.messaging.messenger import HEAL_NOTICE
from chatbot.testing.world import Person
from faults import tally
from faults.sick_machine import SickMachine

STORAGE = 4
"""What a service manager sees when files are the reason."""


@pytest.fixture
async def stage(tmp_path: Path) -> AsyncIterator[Stage]:
    async with Stage(tmp_path) as stage:
        yield stage


@pytest.fixture
async def machine(stage: Stage) -> AsyncIterator[SickMachine]:
    """A bot that counts, not started yet."""
    folder = stage.folder / "machine"
    folder.mkdir()
    machine = SickMachine(folder, stage.server.url, Path(str(tally.__file__)))
    yield machine
    await machine.kill()


async def a_talk(stage: Stage, machine: SickMachine) -> Person:
    """Somebody whom the bot has answered."""
    assert await machine.start()
    alice = await stage.person("alice")
    assert await alice.says("/n 1") == "re 1"
    return alice


async def everything_counts(alice: Person, *numbers: int) -> None:
    """Each was handled once and in order."""
    told = await alice.says("/tally")
    assert f'"total": {len(numbers)},' in told
    assert f'"handled": {list(numbers)}' in told


async def test_a_full_disk_ends_it_and_with_room_again_it_goes_on(
    stage: Stage, machine: SickMachine
) -> None:
    alice = await a_talk(stage, machine)
    machine.fill_disk()
    await alice.writes("/n 2")
    await alice.writes("/n 3")
    code, said = await machine.ended()
    assert code == STORAGE
    assert "full" in said
    assert "free some disk space" in said
    assert "Traceback" not in said
    assert await machine.start()
    assert [await alice.hears(), await alice.hears()] == ["re 2", "re 3"]
    await everything_counts(alice, 1, 2, 3)


@pytest.mark.parametrize("name", ["keys.db", "messages.db"])
async def test_a_damaged_file_is_told_of_and_left_as_it_is(
    stage: Stage, machine: SickMachine, name: str
) -> None:
    alice = await a_talk(stage, machine)
    assert await machine.stop() == 0
    (file,) = machine.files(name)
    good = file.read_bytes()
    file.write_bytes(good[:100] + os.urandom(len(good) - 100))
    damaged = file.read_bytes()
    await alice.writes("/n 2")
    assert not await machine.start()
    code, said = await machine.ended()
    assert code == STORAGE
    assert name in said
    assert "restore a backup" in said
    assert file.read_bytes() == damaged
    file.write_bytes(good)
    assert await machine.start()
    assert await alice.hears() == "re 2"
    await everything_counts(alice, 1, 2)


async def test_a_file_that_somebody_else_writes_to(stage: Stage, machine: SickMachine) -> None:
    alice = await a_talk(stage, machine)
    (file,) = machine.files("messages.db")
    with closing(sqlite3.connect(file, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        await alice.writes("/n 2")
        code, said = await machine.ended()
        assert code == STORAGE
        assert "locked" in said
        assert "close the other program" in said
    assert await machine.start()
    assert await alice.hears() == "re 2"
    await everything_counts(alice, 1, 2)


async def test_a_second_one_on_the_same_files_is_refused(
    stage: Stage, machine: SickMachine
) -> None:
    alice = await a_talk(stage, machine)
    second = SickMachine(machine.storage.parent, stage.server.url, Path(str(tally.__file__)))
    assert not await second.start()
    code, said = await second.ended()
    assert code == STORAGE
    assert "in use" in said
    assert await alice.says("/n 2") == "re 2"


async def test_a_disk_rolled_back_to_yesterday_begins_a_new_epoch(
    stage: Stage, machine: SickMachine
) -> None:
    alice = await a_talk(stage, machine)
    assert await machine.stop() == 0
    yesterday = stage.folder / "yesterday"
    shutil.copytree(machine.storage, yesterday)
    assert await machine.start()
    assert await alice.says("/n 2") == "re 2"
    assert await machine.stop() == 0
    shutil.rmtree(machine.storage)
    shutil.copytree(yesterday, machine.storage)
    assert await machine.start()
    assert await alice.says("/n 3") == HEAL_NOTICE  # the session it was written in is forgotten
    assert await alice.hears() == "re 3"  # and so it came once more
    assert await alice.says("/n 4") == "re 4"
    await everything_counts(alice, 1, 2, 3, 4)  # so did the one before: its answer was known
    await alice.hears_nothing()


@NOT_AS_ROOT
async def test_a_folder_that_may_not_be_written_to(stage: Stage, machine: SickMachine) -> None:
    alice = await a_talk(stage, machine)
    assert await machine.stop() == 0
    folder = machine.files("messages.db")[0].parent
    for path in (*folder.iterdir(), folder):
        path.chmod(path.stat().st_mode & ~0o222)
    assert not await machine.start()
    code, said = await machine.ended()
    for path in (folder, *folder.iterdir()):
        path.chmod(path.stat().st_mode | 0o200)
    assert code == STORAGE
    assert "writable" in said
    await alice.writes("/n 2")
    assert await machine.start()
    assert await alice.hears() == "re 2"
