"""A bot as `chatbot run` runs it, with its own backend, and somebody who writes to it."""

from __future__ import annotations

import asyncio
import io
import os
import re
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import chdir, redirect_stderr, redirect_stdout
from pathlib import Path
from types import TracebackType
from typing import Self
from unittest import mock

from chatbot.cli.app import main
from chatbot.client.models import Message
from doubles.clients import CHEAP
from doubles.command_line import CommandLine, command_line_in

CONFIG = """
[bot]
name = "served"
password_file = "secret"
[server]
port = 0
[plugins]
load = ["./play.py"]
[limits]
tries = 1
"""
PLUGIN = """
from __future__ import annotations
from pathlib import Path
from chatbot import Context, Plugin
plugin = Plugin("play")

@plugin.command("crash")
async def crash(ctx: Context, what: str = "") -> str:
    if not Path(__file__).with_name("calm").exists():
        raise RuntimeError("not calm")
    return f"calm again {what}"

@plugin.command("echo")
async def echo(ctx: Context, what: str) -> str:
    return what
"""


class ServedBot:
    """A bot in a folder of its own; runs within `with`.

    Attributes:
        command_line: runs commands in the folder; `bot.toml` is there.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.command_line: CommandLine = command_line_in(folder)
        self.url = ""
        self._process: subprocess.Popen[str] | None = None

    @classmethod
    def make(cls, folder: Path) -> Self:
        """Write the configuration and the plugin."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "bot.toml").write_text(CONFIG)
        (folder / "play.py").write_text(PLUGIN)
        return cls(folder)

    @property
    def account(self) -> Path:
        """The folder of the account's files."""
        (keys,) = (self.folder / "storage").glob("*/keys.db")
        return keys.parent

    def calm(self) -> None:
        """`/crash` does not crash any more."""
        (self.folder / "calm").touch()

    def run(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        """Run a command to its end, here: the bot alone is another process."""
        line = ["chatbot", *map(str, arguments)]
        out, err = io.StringIO(), io.StringIO()
        with (
            chdir(self.folder),
            mock.patch.dict(os.environ, self.command_line.environment, clear=True),
            mock.patch.object(sys, "argv", line),
            mock.patch.object(sys, "stdin", io.StringIO()),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            try:
                main()
            except SystemExit as ended:
                code = int(ended.code or 0)
        return subprocess.CompletedProcess(line, code, out.getvalue(), err.getvalue())

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "chatbot", "run", "bot.toml"],
            cwd=self.folder,
            env=self.command_line.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stdout is not None
        said = [self._process.stdout.readline() for _ in range(4)]
        found = re.search(r"--server (\S+)", "".join(said))
        assert found is not None, said
        self.url = found[1]
        return self

    def kill(self) -> None:
        """As a power cut would."""
        self._end(signal.SIGKILL)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._end(signal.SIGTERM)

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.communicate(timeout=20)


async def _talk(url: str, storage: Path, name: str, texts: Sequence[str]) -> list[str]:
    from chatbot.client.client import WhatsAppClient  # noqa: PLC0415 - most tests talk to nobody
    from chatbot.client.options import ClientOptions  # noqa: PLC0415 - the same

    client = WhatsAppClient(url, storage, options=ClientOptions(argon2=CHEAP))
    heard: asyncio.Queue[Message] = asyncio.Queue()
    client.on_message(heard.put_nowait)
    async with client, asyncio.timeout(30):
        await client.register(name, "a password for tests")
        answers = []
        for text in texts:
            await client.send_message("served", text)
            answers.append((await heard.get()).content)
        return answers


def talk(bot: ServedBot, storage: Path, name: str, *texts: str) -> list[str]:
    """Write to a running bot as somebody new; what it answers to each."""
    return asyncio.run(_talk(bot.url, storage, name, texts))
