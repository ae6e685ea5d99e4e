"""`chatbot run` with a backend that errs, hangs and goes away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from doubles.clients import Clients, Collected, clients_on
from doubles.faulty_backend import FaultyServer

from faults import tally
from faults.sick_machine import SickMachine

NETWORK = 5
"""What a service manager sees when the backend is the reason."""


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[FaultyServer]:
    async with FaultyServer(tmp_path / "backend.db") as server:
        yield server


@pytest.fixture
async def people(server: FaultyServer, tmp_path: Path) -> AsyncIterator[Clients]:
    async with clients_on(server.url, tmp_path / "people") as people:
        yield people


@pytest.fixture
async def machine(server: FaultyServer, tmp_path: Path) -> AsyncIterator[SickMachine]:
    folder = tmp_path / "machine"
    folder.mkdir()
    machine = SickMachine(folder, server.url, Path(str(tally.__file__)))
    yield machine
    await machine.kill()


async def test_errors_at_the_start_are_told_and_later_it_starts(
    server: FaultyServer, machine: SickMachine
) -> None:
    server.fail_next(20, path="/api/auth")
    assert not await machine.start()
    code, said = await machine.ended()
    assert code == NETWORK
    assert "HTTP 500" in said
    assert "Traceback" not in said
    server.recover()
    assert await machine.start()
    assert await machine.stop() == 0


async def test_while_it_runs_it_outlives_all_of_that(
    server: FaultyServer, people: Clients, machine: SickMachine
) -> None:
    assert await machine.start()
    alice = await people.register("alice")
    heard = Collected(alice.on_message)
    await alice.send_message("bot", "/n 0")
    assert (await heard.next()).content == "re 0"
    server.hang()
    await asyncio.sleep(0.5)  # what it is: a time in which nothing is answered
    server.release()
    await alice.queue_message("bot", "/n 1")
    assert (await heard.next(60)).content == "re 1"
    await server.stop()
    await alice.queue_message(heard.all[0].from_user, "/n 2")
    await server.start()
    server.fail_next(3)
    assert (await heard.next(60)).content == "re 2"
    await alice.queue_message("bot", "/tally")
    assert '"handled": [0, 1, 2]' in (await heard.next(60)).content
