"""Operations on a bot through its control socket, and on the files of one that does not run."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import AsyncMock

import pytest
from doubles.clients import CHEAP
from doubles.stage import Stage

from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import (
    AuthenticationError,
    IdentityError,
    SessionNotFoundError,
    StorageError,
    StorageLockedError,
    ValidationError,
    WrongPasswordError,
)
from chatbot.client.models import User
from chatbot.client.options import ClientOptions
from chatbot.runtime.control import endpoint
from chatbot.runtime.control.exchange import ControlServer, RunningTarget, running
from chatbot.runtime.control.operations import (
    ChangePassword,
    DropParked,
    Examine,
    ListParked,
    Operation,
    ReadStatus,
    RetryParked,
    ShowParked,
    Trust,
    WriteBackup,
)
from chatbot.runtime.control.target import Target, opened
from chatbot.runtime.handling import HandlingOptions
from chatbot.runtime.runtime import BotRuntime
from chatbot.testing.world import Person

PASSWORD = "a password for tests"
SOURCE = """
import pathlib
CALM = pathlib.Path(__file__).with_name("calm")

@plugin.command("crash")
async def crash(ctx: Context, what: str) -> str:
    if not CALM.exists():
        raise RuntimeError("not calm")
    return "calm again"

@plugin.command("echo")
async def echo(ctx: Context, what: str) -> str:
    return what

tries = asyncio.Semaphore(0)

@plugin.command("tries")
async def wait_for_tries(count: int) -> str:
    for _ in range(count):
        await tries.acquire()
    return str(count)

@plugin.job()
async def late(bot: Bot, user: str, word: str) -> None:
    if not CALM.exists():
        tries.release()
        raise RuntimeError("not calm")
    await bot.send(user, f"late: {word}")

@plugin.command("later")
async def later(ctx: Context, scheduler: Scheduler, word: str) -> str:
    await scheduler.schedule("late", after="10m", arguments={"user": ctx.user.id, "word": word})
    return "ok"

@plugin.command("left")
async def left(scheduler: Scheduler) -> str:
    return str(len(await scheduler.jobs()))
"""


@asynccontextmanager
async def controlled(bot: BotRuntime) -> AsyncIterator[RunningTarget]:
    """What another process reaches a running bot through."""
    async with ControlServer(bot.target), running(bot.target.account.path) as reached:
        assert reached is not None
        yield reached


@asynccontextmanager
async def files_of(stage: Stage, user: User, storage: Path, password: str) -> AsyncIterator[Target]:
    """The account of a bot that does not run."""
    options = ClientOptions(argon2=CHEAP)
    client = WhatsAppClient(
        stage.server.url, storage, auto_connect=False, storage_password=password, options=options
    )
    async with opened(client, user) as target:
        yield target


async def nobody_runs(directory: Path) -> bool:
    async with running(directory) as bot:
        return bot is None


async def play(stage: Stage) -> BotRuntime:
    return await stage.play(SOURCE, handling=HandlingOptions(tries=1))


@pytest.fixture
async def stage() -> AsyncIterator[Stage]:
    """One in a folder whose path is short enough for a socket, whatever pytest's is."""
    with TemporaryDirectory(prefix="c-") as folder:
        async with Stage(Path(folder)) as it:
            yield it


@pytest.fixture(params=["", "x" * 100], ids=["socket", "port"])
async def either_way(request: pytest.FixtureRequest) -> AsyncIterator[Stage]:
    """The same, and one whose path is too long: each is reached in its own way."""
    with TemporaryDirectory(prefix="c-") as folder:
        async with Stage(Path(folder) / request.param) as it:
            it.folder.mkdir(exist_ok=True)
            yield it


async def test_a_running_bot_tells_how_it_is(
    either_way: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    bot = await play(either_way)
    await (await either_way.person("alice")).says("/echo hi")
    async with controlled(bot) as reached:
        status = await reached.do(ReadStatus())
        assert status.fingerprint == bot.fingerprint
        assert status.live is not None
        assert status.live.connection == "connected"
        assert (status.live.handled, status.live.problems) == (1, ())
        subjects = {finding.subject: finding for finding in await reached.do(Examine())}
        assert {subject for subject, finding in subjects.items() if finding.advice} == set()
        either_way.advance(timedelta(hours=1))
        subjects = {finding.subject: finding for finding in await reached.do(Examine())}
        assert "ahead of the backend's" in subjects["clock"].state
        assert subjects["clock"].advice is not None
        refused = AsyncMock(side_effect=AuthenticationError("Your account has been disabled"))
        monkeypatch.setattr(bot.target.account.rest, "prekey_status", refused)
        subjects = {finding.subject: finding for finding in await reached.do(Examine())}
        assert subjects["backend"].state.endswith(
            "refuses this bot: Your account has been disabled"
        )
        kinds = await asyncio.to_thread(modes, bot.target.account.path)
    assert kinds == {0o600}
    assert await nobody_runs(bot.target.account.path)


def modes(directory: Path) -> set[int]:
    return {path.stat().st_mode & 0o777 for path in directory.glob("control.*")}


async def test_parked_messages_are_shown_retried_and_dropped(stage: Stage) -> None:
    bot = await play(stage)
    alice = await stage.person("alice")
    assert "went wrong" in await alice.says("/crash one")
    assert "went wrong" in await alice.says("/crash two")
    async with controlled(bot) as reached:
        one, two = await reached.do(ListParked())
        assert (one.sender, one.kind, one.attempts, one.text) == (alice.id, "direct", 1, None)
        assert (await reached.do(ShowParked(two.id))).text == "/crash two"
        await reached.do(DropParked(two.id))
        (stage.folder / "calm").touch()
        await reached.do(RetryParked(one.id))
        assert await alice.hears() == "calm again"
        assert await reached.do(ListParked()) == []
        gone: list[Operation[Any]] = [
            ShowParked(two.id),
            RetryParked(one.id),
            DropParked(two.id),
        ]
        for operation in gone:
            with pytest.raises(ValidationError, match="parked"):
                await reached.do(operation)


async def test_one_that_fails_again_is_parked_again(stage: Stage) -> None:
    bot = await play(stage)
    alice = await stage.person("alice")
    await alice.says("/crash one")
    async with controlled(bot) as reached:
        (one,) = await reached.do(ListParked())
        await reached.do(RetryParked(one.id))
        assert await alice.says("/echo behind") == "behind"
        (again,) = await reached.do(ListParked())
        assert (again.id, again.attempts) == (one.id, 2)


async def test_parked_runs_of_jobs_are_shown_retried_and_dropped(stage: Stage) -> None:
    bot = await play(stage)
    alice = await stage.person("alice")
    for word in ("one", "two"):
        assert await alice.says(f"/later {word}") == "ok"
    async with controlled(bot) as reached:
        stage.advance(timedelta(minutes=10))
        assert await alice.says("/tries 2") == "2"
        assert bot.target.parts is not None
        await bot.target.parts.jobs.drain()
        one, two = await reached.do(ListParked())
        assert (one.kind, one.where, one.sender, one.text) == ("job", "play:job:late", None, None)
        shown = await reached.do(ShowParked(one.id))
        assert shown.text is not None
        assert '"word":"one"' in shown.text
        await reached.do(DropParked(two.id))
        (stage.folder / "calm").touch()
        await reached.do(RetryParked(one.id))
        assert await alice.hears() == "late: one"
        assert await reached.do(ListParked()) == []
        for gone in (one.id, two.id, "j", "-1", "jj1", "9" * 30):
            with pytest.raises(ValidationError, match="is parked"):
                await reached.do(RetryParked(gone))
    assert await alice.says("/left") == "0"


async def test_a_changed_identity_is_trusted(stage: Stage) -> None:
    bot = await play(stage)
    alice = await stage.person("alice")
    await alice.says("/echo before")
    fingerprint = await alice.client.reset_encryption()
    await alice.says("/echo after")
    people = bot.target.parts.world.people if bot.target.parts else None
    assert people is not None
    assert (await people.standing(alice.id)).changed
    async with controlled(bot) as reached:
        subjects = {finding.subject: finding for finding in await reached.do(Examine())}
        assert alice.id in subjects["changed identities"].state
        with pytest.raises(IdentityError, match="another fingerprint"):
            await reached.do(Trust("alice", bot.fingerprint))
        assert (await people.standing(alice.id)).changed
        assert await reached.do(Trust("alice", fingerprint)) == fingerprint
        assert not (await people.standing(alice.id)).changed
        with pytest.raises(SessionNotFoundError):
            await reached.do(Trust("nobody"))


async def test_a_backup_under_traffic_becomes_an_account_that_works(stage: Stage) -> None:
    bot = await play(stage)
    alice = await stage.person("alice")
    file = stage.folder / "all.backup"
    async with controlled(bot) as reached, asyncio.TaskGroup() as group:
        talk = group.create_task(says_numbers(alice, 20))
        await reached.do(WriteBackup(str(file), "of the backup"))
        with pytest.raises(StorageError, match="exists already"):
            await reached.do(WriteBackup(str(file), "of the backup"))
    assert talk.result() == [str(n) for n in range(20)]
    await bot.stop()
    (stage.folder / "world" / "bot").rename(stage.folder / "lost")
    stage.advance(timedelta(seconds=1))
    await WhatsAppClient.restore(file, "of the backup", stage.folder / "world" / "bot")
    again = await stage.restart_bot()
    assert again.fingerprint == (await alice.client.get_peer_fingerprint("bot"))
    assert "could not be decrypted" in await alice.says("/echo before")
    assert await alice.hears() == "before"  # sent once more, now that there is a session
    assert await alice.says("/echo anew") == "anew"


async def says_numbers(person: Person, count: int) -> list[str]:
    return [await person.says(f"/echo {n}") for n in range(count)]


async def test_the_password_is_changed_while_the_bot_runs(stage: Stage) -> None:
    bot = await play(stage)
    user, storage = bot.user, bot.target.account.path.parent
    async with controlled(bot) as reached:
        with pytest.raises(WrongPasswordError):
            await reached.do(ChangePassword("guessed", "another"))
        await reached.do(ChangePassword(PASSWORD, "another"))
    await bot.stop()
    with pytest.raises(WrongPasswordError):
        async with files_of(stage, user, storage, PASSWORD):
            pass
    async with files_of(stage, user, storage, "another") as target:
        status = await ReadStatus().run(target)
        assert (status.name, status.live) == ("bot", None)
        assert await Trust("bot").run(target) == status.fingerprint


async def test_files_in_use_are_not_opened(stage: Stage) -> None:
    bot = await play(stage)
    with pytest.raises(StorageLockedError):
        async with files_of(stage, bot.user, bot.target.account.path.parent, PASSWORD):
            pass


async def test_what_is_no_operation_is_refused(either_way: Stage) -> None:
    bot = await play(either_way)
    async with ControlServer(bot.target):
        streams = await endpoint.connect(bot.target.account.path)
        assert streams is not None
        reader, writer = streams
        for line in (b"{}", b"nonsense", b'{"operation": "format"}', b'{"operation": "status"}'):
            writer.write(line + b"\n")
        answers = [json.loads(await reader.readline()) for _ in range(4)]
        assert [answer.get("error") for answer in answers] == ["ValidationError"] * 3 + [None]
        assert answers[3]["result"]["name"] == "bot"
        writer.close()


async def test_whoever_has_taken_a_dead_bots_port_learns_nothing(tmp_path: Path) -> None:
    heard = asyncio.get_running_loop().create_future()

    async def impostor(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(bytes(32) + bytes(32))
        heard.set_result(await reader.read())
        writer.close()

    directory = tmp_path / ("x" * 100)
    directory.mkdir()
    async with await asyncio.start_server(impostor, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        key = b"k" * 32
        (directory / "control.json").write_text(json.dumps({"port": port, "key": key.hex()}))
        assert await nobody_runs(directory)
        async with asyncio.timeout(10):
            said = await heard
    assert len(said) == 64  # a nonce and a proof
    assert key not in said


@pytest.mark.parametrize("left", ["{", '{"port": 1, "key": "00"}'])
async def test_what_a_dead_bot_left_is_in_nobodys_way(tmp_path: Path, left: str) -> None:
    directory = tmp_path / ("x" * 100)
    directory.mkdir()
    (directory / "control.json").write_text(left)
    assert await nobody_runs(directory)


async def test_a_stale_socket_is_replaced(stage: Stage) -> None:
    bot = await play(stage)
    path = bot.target.account.path / "control.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
    assert await nobody_runs(path.parent)
    async with controlled(bot) as reached:
        assert (await reached.do(ReadStatus())).name == "bot"
