"""`chatbot run` in a process of its own."""

from __future__ import annotations

import asyncio
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from queue import Queue
from threading import Thread

import pytest
from doubles.clients import CHEAP, Collected
from doubles.command_line import command_line_in

from chatbot.cli.bots import BotConfig, RunningBot
from chatbot.cli.run import run_apart
from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import StorageError
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions
from chatbot.settings import load_settings

CONFIG = """
[bot]
name = "{name}"
password_file = "{name}.secret"
[server]
port = 0
[storage]
path = "{name}"
[plugins]
load = ["./{name}.py"]
"""
PLUGIN = """
from chatbot import Plugin
plugin = Plugin("{name}")

@plugin.command("version")
async def version() -> str:
    return "{name} {number}"
"""
PATIENCE = 30


class Running:
    """A `chatbot run` whose lines are read as they come."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self._lines: Queue[str] = Queue()
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._lines.put(line)

    def says(self, pattern: str) -> str:
        """Wait for a line; its first group, or all that matched."""
        while True:
            found = re.search(pattern, self._lines.get(timeout=PATIENCE))
            if found:
                return found[found.lastindex or 0]

    def end(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return code


def write(folder: Path, name: str, number: int) -> None:
    (folder / f"{name}.toml").write_text(CONFIG.format(name=name))
    (folder / f"{name}.py").write_text(PLUGIN.format(name=name, number=number))


@contextmanager
def running(folder: Path, *arguments: str) -> Iterator[Running]:
    with subprocess.Popen(
        [sys.executable, "-m", "chatbot", "run", *arguments],
        cwd=folder,
        env=command_line_in(folder).environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as process:
        try:
            yield Running(process)
        finally:
            process.kill()


async def ask(url: str, storage: Path, bot: str, person: str) -> str:
    """Somebody new asks the bot for its version."""
    client = WhatsAppClient(url, storage, options=ClientOptions(argon2=CHEAP))
    heard: asyncio.Queue[Message] = asyncio.Queue()
    client.on_message(heard.put_nowait)
    async with client, asyncio.timeout(PATIENCE):
        await client.register(person, "a password for tests")
        await client.send_message(bot, "/version")
        return (await heard.get()).content


def test_reload_takes_a_changed_file_and_keeps_the_old_one_where_the_new_one_is_broken(
    tmp_path: Path,
) -> None:
    write(tmp_path, "one", 1)
    config, late = tmp_path / "one.toml", tmp_path / "late.py"
    config.write_text(config.read_text().replace('["./one.py"]', '["./one.py", "./late.py"]'))
    late.write_text("this is no python either")
    people = tmp_path / "people"
    with running(tmp_path, "one.toml", "--reload") as bot:
        url = bot.says(r"--server (\S+)")
        assert asyncio.run(ask(url, people, "one", "alice")) == "one 1"
        (tmp_path / "one.py").write_text("this is no python")
        bot.says("SyntaxError")
        assert asyncio.run(ask(url, people, "one", "bob")) == "one 1"
        write(tmp_path, "one", 2)
        bot.says("one is reloaded")
        assert asyncio.run(ask(url, people, "one", "carol")) == "one 2"
        late.write_text("from chatbot import Plugin\nplugin = Plugin('late')\n")
        bot.says("late.py is reloaded")
        assert bot.end() == 0


def test_several_bots_each_with_its_own_backend_and_plugins(tmp_path: Path) -> None:
    write(tmp_path, "one", 1)
    write(tmp_path, "two", 2)
    people = tmp_path / "people"
    with running(tmp_path, "one.toml", "two.toml") as bots:
        urls = {name: bots.says(rf"--server (\S+) .*--to {name}\b") for name in ("one", "two")}
        assert urls["one"] != urls["two"]
        for name, number in (("one", 1), ("two", 2)):
            assert asyncio.run(ask(urls[name], people, name, "alice")) == f"{name} {number}"
        assert bots.end() == 0


async def test_where_one_cannot_go_on_the_others_do(tmp_path: Path) -> None:
    stop = asyncio.Event()
    async with AsyncExitStack() as stack:
        bots = []
        for name in ("one", "two"):
            write(tmp_path, name, 1)
            file = tmp_path / f"{name}.toml"
            config = BotConfig.of(file, load_settings(file))
            bots.append(await stack.enter_async_context(RunningBot(config)))
        going = asyncio.create_task(run_apart(bots, stop, reload=False))
        sick, well = bots
        lost = Collected(sick.runtime.client.on_connection_change)
        for listener in sick.runtime.client._account.database.on_failure:
            listener(StorageError("the disk is full"))
        await lost.until(wanted=False, seconds=PATIENCE)
        assert await ask(well.url, tmp_path / "people", "two", "alice") == "two 1"
        stop.set()
        with pytest.raises(StorageError, match="full"):
            await going


@pytest.mark.parametrize("second", ["one", "two"])
def test_two_bots_that_would_keep_the_same_files_are_refused(tmp_path: Path, second: str) -> None:
    for name in ("one", "two"):
        write(tmp_path, name, 1)
        file = tmp_path / f"{name}.toml"
        file.write_text(file.read_text().replace(f'path = "{name}"', 'path = "shared"'))
    ended = command_line_in(tmp_path).run("run", "one.toml", f"{second}.toml")
    assert ended.returncode == 2
    assert "keep the same files" in " ".join(ended.stderr.replace("│", " ").split())
    assert not (tmp_path / "shared").exists()


def test_where_one_cannot_start_the_ones_before_it_are_stopped_and_it_is_said(
    tmp_path: Path,
) -> None:
    write(tmp_path, "one", 1)
    write(tmp_path, "two", 2)
    (tmp_path / "two.py").write_text("this is no python")
    ended = command_line_in(tmp_path).run("run", "one.toml", "two.toml")
    assert ended.returncode == 2
    assert "SyntaxError" in ended.stderr
    assert "Traceback" not in ended.stderr
