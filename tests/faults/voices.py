"""Who talks to the bot: each has an account, writes texts and hears texts."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from http import HTTPStatus
from pathlib import Path
from typing import Any, Protocol

import aiohttp
import msgspec
import websockets
from doubles.browser import Browser, UndecryptableError
from doubles.clients import CHEAP, PASSWORD
from doubles.raw_client import Person, RawBackend, RawSocket

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


class BrowserVoice:
    """Somebody with a browser: gets only what comes while it is there, and sends nothing again."""

    def __init__(self, person: Person) -> None:
        self.name = person.name
        self.heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
        self._person = person
        self._browser = Browser()
        self._socket: websockets.ClientConnection | None = None
        self._connected = asyncio.Event()

    @property
    def id(self) -> str:
        """The account's user id."""
        return self._person.id

    async def publish(self) -> None:
        """Make its keys known."""
        body = self._browser.upload(self._browser.refill(50))
        answer = await self._person.call("POST", "/api/users/prekeys", body)
        assert answer.status == HTTPStatus.OK, answer

    async def write(self, to: str, text: str) -> str:
        """Write to somebody; returns the message's id."""
        while True:
            await self._connected.wait()
            try:
                bundle = await self._person.get(f"/api/users/{to}/prekeys")
            except (aiohttp.ClientError, OSError, TimeoutError, AssertionError):
                await asyncio.sleep(_RETRY_SECONDS)  # the person tries again
                continue
            if self._socket is not None:
                return await self._send(self._socket, to, self._browser.encrypt(to, text, bundle))

    async def _send(self, socket: websockets.ClientConnection, to: str, content: str) -> str:
        message_id = str(uuid.uuid4())
        with suppress(websockets.ConnectionClosed):  # then nobody will ever see it
            await RawSocket(socket).send(
                "message",
                to=to,
                content=content,
                messageType="text",
                encrypted=True,
                messageId=message_id,
            )
        return message_id

    async def stay(self) -> None:
        """Be there, for ever, and hear what comes."""
        while True:
            with suppress(websockets.WebSocketException, OSError, TimeoutError, AssertionError):
                async with self._person.online() as raw:
                    self._socket = raw.socket
                    self._connected.set()
                    async for frame in raw.socket:
                        self._hear(msgspec.json.decode(frame))
            self._socket = None
            self._connected.clear()
            await asyncio.sleep(_RETRY_SECONDS)

    def _hear(self, frame: dict[str, Any]) -> None:
        payload = frame["payload"]
        if frame["type"] != "message" or payload["from"] == self.id or not payload["encrypted"]:
            return
        with suppress(UndecryptableError):  # what the browser shows as such
            text = self._browser.decrypt(payload["from"], payload["content"])
            self.heard.put_nowait((payload["id"], text))


@asynccontextmanager
async def browser_voice(backend: RawBackend, name: str) -> AsyncIterator[BrowserVoice]:
    """Somebody with a browser, connected."""
    voice = BrowserVoice(await backend.register(name))
    await voice.publish()
    staying = asyncio.create_task(voice.stay())
    try:
        yield voice
    finally:
        staying.cancel()
        await asyncio.gather(staying, return_exceptions=True)
