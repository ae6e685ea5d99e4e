"""A bot in a process of its own, so that it can be killed: `python -m doubles.bot_process JSON`."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import chatbot
from chatbot.client.options import ClientOptions
from chatbot.runtime.access import Appointments
from chatbot.runtime.options import BotOptions
from chatbot.runtime.runtime import BotRuntime
from doubles.clients import CHEAP

READY = "ready"


class BotProcess:
    """A bot that dies and comes back.

    Args:
        options: server_url, storage_path, base, plugins, owners, sections.
    """

    def __init__(self, **options: Any) -> None:
        self._options = {key: str(v) if isinstance(v, Path) else v for key, v in options.items()}
        self._process: subprocess.Popen[str] | None = None

    async def start(self) -> None:
        """Start it, and wait until it is ready or dead."""
        source = str(Path(chatbot.__file__).parents[1])
        tests = str(Path(__file__).parents[1])
        self._process = subprocess.Popen(
            [sys.executable, "-m", "doubles.bot_process", json.dumps(self._options)],
            env={**os.environ, "PYTHONPATH": os.pathsep.join((source, tests))},
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        await asyncio.to_thread(self._process.stdout.readline)

    async def died(self) -> None:
        """Wait until it is dead."""
        process, self._process = self._process, None
        assert process is not None
        await asyncio.to_thread(process.communicate, timeout=20)

    def kill(self) -> None:
        """As a power cut would, but for the disk's cache."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def stop(self) -> None:
        """As a service manager would."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        self._process.communicate(timeout=10)
        self._process = None


async def _main(options: Mapping[str, Any]) -> None:
    runtime = BotRuntime(
        BotOptions(
            name="bot",
            password="a password for tests",
            registers=True,
            server_url=options["server_url"],
            storage_path=Path(options["storage_path"]),
            base=Path(options["base"]),
            plugins=options["plugins"],
            sections=options.get("sections", {}),
            appointments=Appointments(owners=options.get("owners", ())),
            client=ClientOptions(argon2=CHEAP, trusted_server=True),
        )
    )
    stopped = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
    async with runtime:
        print(READY, flush=True)  # noqa: T201 - whoever started it waits for this line
        await stopped.wait()


if __name__ == "__main__":
    asyncio.run(_main(json.loads(sys.argv[1])))
