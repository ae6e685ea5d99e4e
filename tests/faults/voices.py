"""Who talks to the bot: each has an account, writes texts and hears texts."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Protocol

from doubles.clients import CHEAP, PASSWORD

from chatbot.client.client import WhatsAppClient
from chatbot.client.exceptions import ConnectionError
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions

_RETRY_SECONDS = 0.3


class Voice(Protocol):
    """One account, as a person at a screen has it.

    Attributes:
        heard: the id and the text of every message from the bot that could be read, in order.
    """

    name: str
    heard: asyncio.Queue[tuple[str, str]]

    @property
    def id(self) -> str:
        """The account's user id."""

    async def write(self, to: str, text: str) -> str:
        """Write to somebody; returns the message's id."""


class ClientVoice:
    """Our own client, which keeps what it sends until the backend has it."""

    def __init__(self, name: str, client: WhatsAppClient) -> None:
        self.name = name
        self.heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._client = client
        client.on_message(self._hear)

    @property
    def id(self) -> str:
        """The account's user id."""
        return self._client.user_id

    async def write(self, to: str, text: str) -> str:
        """Write to somebody; returns the message's id."""
        while True:
            try:
                message = await self._client.queue_message(to, text)
            except ConnectionError:
                await asyncio.sleep(_RETRY_SECONDS)  # nothing was queued: the backend is down
            else:
                return message.id

    def _hear(self, message: Message) -> None:
        self.heard.put_nowait((message.id, message.content))


@asynccontextmanager
async def client_voice(url: str, storage: Path, name: str) -> AsyncIterator[ClientVoice]:
    """Somebody with our own client, connected."""
    options = ClientOptions(argon2=CHEAP, trusted_server=True, reconnect_delay=0.3)
    client = WhatsAppClient(url, options=options, storage_path=storage)
    voice = ClientVoice(name, client)
    try:
        await client.register(name, PASSWORD)
        yield voice
    finally:
        await client.logout()
