"""A client in a process of its own, that can be killed: `python -m doubles.client_process`."""

from __future__ import annotations

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import AsyncExitStack
from pathlib import Path

import chatbot
from chatbot.client.client import WhatsAppClient
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions
from doubles.clients import CHEAP, PASSWORD

READY = "ready"

Heard = tuple[str, str]
"""The id of a peer or a group, and what was said there."""


class ClientProcess:
    """A client that handles messages until it is killed, and can be started again.

    Attributes:
        heard: what its handlers were given, over all its lives.
    """

    def __init__(self, url: str, name: str, storage: Path) -> None:
        self._arguments = (url, name, str(storage))
        self._process: Process | None = None
        self.heard: list[Heard] = []

    async def start(self) -> None:
        """Start it, and wait until it is connected."""
        roots = (Path(chatbot.__file__).parents[1], Path(__file__).parents[1])
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "doubles.client_process",
            *self._arguments,
            env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, roots))},
            stdout=PIPE,
        )
        while await self._next_line() != READY:
            pass

    async def until(self, heard: Heard, seconds: float = 60) -> None:
        """Wait until its handlers were given this."""
        async with asyncio.timeout(seconds):
            while heard not in self.heard:
                await self._next_line()

    async def kill(self) -> None:
        """As a power cut would, but for the disk's cache; what it had said by then is heard."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        assert process.stdout is not None
        async for line in process.stdout:
            self._take(line.decode())
        await process.wait()

    async def _next_line(self) -> str:
        assert self._process is not None
        assert self._process.stdout is not None
        line = await self._process.stdout.readline()
        assert line, "it died by itself"
        return self._take(line.decode())

    def _take(self, line: str) -> str:
        said = json.loads(line)
        if said != READY:
            where, content = said
            self.heard.append((where, content))
        return str(said)


async def _main(url: str, name: str, storage: str) -> None:
    client = WhatsAppClient(url, storage_path=storage, options=ClientOptions(argon2=CHEAP))

    def say(what: object) -> None:
        print(json.dumps(what), flush=True)  # noqa: T201 - whoever started it listens

    @client.on_message
    @client.on_group_message
    async def handle(message: Message) -> None:
        say((message.group_id or message.from_user, message.content))

    async with AsyncExitStack() as stack:
        stack.push_async_callback(client.logout)
        await client.login(name, PASSWORD)
        say(READY)
        await asyncio.get_running_loop().create_future()


if __name__ == "__main__":
    asyncio.run(_main(*sys.argv[1:]))
