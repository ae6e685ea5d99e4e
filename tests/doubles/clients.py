"""Clients for tests: real ones, on files of their own, with an Argon2 that costs nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from chatbot.client.client import WhatsAppClient
from chatbot.client.crypto.vault import Argon2Parameters
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions

CHEAP = Argon2Parameters(memory=8, passes=1, lanes=1)
PASSWORD = "correct horse"


class Clients:
    """Makes clients against one backend, and logs all of them out at the end."""

    def __init__(self, url: str, storage: Path) -> None:
        self.url = url
        self._storage = storage
        self._clients: list[WhatsAppClient] = []

    def new(self, **arguments: Any) -> WhatsAppClient:
        """A client that is not logged in; all share a storage path."""
        options = replace(arguments.pop("options", ClientOptions()), argon2=CHEAP)
        arguments = {"storage_path": self._storage} | arguments
        client = WhatsAppClient(self.url, options=options, **arguments)
        self._clients.append(client)
        return client

    async def register(self, name: str, **arguments: Any) -> WhatsAppClient:
        """A client of a new account, connected."""
        client = self.new(**arguments)
        await client.register(name, PASSWORD)
        return client

    async def login(self, name: str, **arguments: Any) -> WhatsAppClient:
        """A client of an account that is there, connected."""
        client = self.new(**arguments)
        await client.login(name, PASSWORD)
        return client

    async def close(self) -> None:
        """Log all of them out, at once: a backend need not answer."""
        await asyncio.gather(*(client.logout() for client in self._clients))


@asynccontextmanager
async def clients_on(url: str, storage: Path) -> AsyncIterator[Clients]:
    """Clients against the backend at `url`."""
    clients = Clients(url, storage)
    try:
        yield clients
    finally:
        await clients.close()


class Collected:
    """Calls of a handler, as they come.

    Args:
        register: the decorator to register with, e.g. `client.on_message`.
    """

    def __init__(self, register: Callable[[Callable[..., Any]], Any]) -> None:
        self._queue: asyncio.Queue[Any] = asyncio.Queue()
        self.all: list[Any] = []

        async def take(*arguments: Any) -> None:
            value = arguments[0] if len(arguments) == 1 else arguments
            self.all.append(value)
            self._queue.put_nowait(value)

        register(take)

    async def next(self, seconds: float = 10) -> Any:
        """The next call's argument, or arguments."""
        async with asyncio.timeout(seconds):
            return await self._queue.get()

    async def until(self, wanted: Any, seconds: float = 10) -> None:
        """Wait for this very call."""
        async with asyncio.timeout(seconds):
            while await self._queue.get() != wanted:
                pass

    async def until_content(self, wanted: str, seconds: float = 30) -> None:
        """Wait for a message that says this."""
        async with asyncio.timeout(seconds):
            while (await self._queue.get()).content != wanted:
                pass


def texts(messages: list[Message]) -> list[str]:
    """What the messages say."""
    return [message.content for message in messages]
