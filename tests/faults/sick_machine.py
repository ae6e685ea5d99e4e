"""`chatbot run` on a machine that is not well: `python -m faults.sick_machine run bot.toml`.

Nothing in between but the disk: SIGUSR1 fills it, SIGUSR2 makes room.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Final

import chatbot
from chatbot.cli.app import main as chatbot_main
from faults.disk import Disk, install

CONFIG: Final = """
[bot]
name = "bot"
password_file = "secret"
register = true
[server]
url = "{url}"
[plugins]
load = ["{plugin}"]
"""

_TESTS: Final = Path(__file__).parents[1]

_PATIENCE: Final = 60.0


class SickMachine:
    """A bot as an operator has it, in a folder of its own.

    Args:
        folder: gets the configuration and all files.
        url: where the backend is.
        plugin: the file of its one plugin.

    Attributes:
        storage: where its account's files are.
    """

    def __init__(self, folder: Path, url: str, plugin: Path) -> None:
        self.storage = folder / "storage"
        self._folder = folder
        (folder / "bot.toml").write_text(CONFIG.format(url=url, plugin=plugin))
        self._process: asyncio.subprocess.Process | None = None

    def files(self, name: str) -> list[Path]:
        """The files of that name in the storage, for one account only one."""
        return sorted(self.storage.rglob(name))

    async def start(self) -> bool:
        """Start the bot; whether it says that it runs."""
        source = Path(chatbot.__file__).parents[1]
        environment = {k: v for k, v in os.environ.items() if not k.startswith("CHATBOT_")}
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "faults.sick_machine",
            "run",
            "bot.toml",
            cwd=self._folder,
            env={**environment, "PYTHONPATH": os.pathsep.join((str(source), str(_TESTS)))},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        assert self._process.stdout is not None
        async with asyncio.timeout(_PATIENCE):
            return bool(await self._process.stdout.readline())

    def fill_disk(self) -> None:
        """Leave no room for another byte."""
        self._send(signal.SIGUSR1)

    async def stop(self) -> int:
        """Stop it as a service manager does; its exit code."""
        self._send(signal.SIGTERM)
        return (await self.ended())[0]

    async def ended(self) -> tuple[int, str]:
        """Wait until it has ended by itself: its exit code, and what it said of that."""
        assert self._process is not None
        async with asyncio.timeout(_PATIENCE):
            _, said = await self._process.communicate()
        assert self._process.returncode is not None
        return self._process.returncode, said.decode()

    async def kill(self) -> None:
        """Leave nothing behind, and no time for it."""
        if self._process is not None and self._process.returncode is None:
            self._process.kill()
            await self._process.communicate()

    def _send(self, number: signal.Signals) -> None:
        assert self._process is not None
        self._process.send_signal(number)


def main() -> None:
    """Put the faulty disk below, then be `chatbot`."""
    disk = Disk()
    keep = install(disk)
    signal.signal(signal.SIGUSR1, lambda *_: setattr(disk, "full", True))
    signal.signal(signal.SIGUSR2, lambda *_: setattr(disk, "full", False))
    try:
        chatbot_main()
    finally:
        disk.full = False  # for whatever measures the coverage, and writes it at the exit
        del keep


if __name__ == "__main__":
    main()
