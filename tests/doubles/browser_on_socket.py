"""The browser's double on a real socket: what it can read and cannot, and what it is given."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from doubles.browser import Browser, UndecryptableError
from doubles.raw_client import Person, PersonSocket, RawBackend


class BrowserOnSocket:
    """A user at a browser.

    Attributes:
        received: the id of every message that came, with its text; None where it could not be read.
        ran_dry: how often there was no one-time prekey for it in a bundle.
    """

    def __init__(self, person: Person, socket: PersonSocket) -> None:
        self.person = person
        self.browser = Browser()
        self.received: dict[str, str | None] = {}
        self.ran_dry = 0
        self._socket = socket
        self._changed = asyncio.Event()

    async def send(self, to: str, text: str) -> str:
        """Send a text, encrypted under a bundle fetched for it; its id."""
        bundle = await self.person.get(f"/api/users/{to}/prekeys")
        self.ran_dry += bundle["oneTimePrekey"] is None
        content = self.browser.encrypt(to, text, bundle)
        return await self._send(to, content=content, messageType="text", encrypted=True)

    async def send_clear(self, to: str, text: str) -> str:
        """Send a text as when its encryption failed: in clear, and silently; its id."""
        return await self._send(to, content=text, messageType="text", encrypted=False)

    async def send_image(self, to: str, data_url: str) -> str:
        """Send a picture, which it never encrypts; its id."""
        image = {"messageType": "image", "imageData": data_url}
        return await self._send(to, content="📷 Image", encrypted=False, **image)

    async def publish(self, one_time: int = 0) -> None:
        """Upload its keys, with so many new one-time prekeys."""
        body = self.browser.upload(self.browser.refill(one_time))
        answer = await self.person.call("POST", "/api/users/prekeys", body)
        assert answer.status == 200, answer

    async def until_received(self, message_id: str, seconds: float) -> str | None:
        """The text of a message that is to come; None if it cannot be read."""
        async with asyncio.timeout(seconds):
            while message_id not in self.received:
                self._changed.clear()
                await self._changed.wait()
        return self.received[message_id]

    async def _send(self, to: str, **payload: Any) -> str:
        message_id = str(uuid.uuid4())
        await self._socket.send("message", to=to, messageId=message_id, **payload)
        return message_id

    async def read(self) -> None:
        """Take what comes, until cancelled."""
        while True:
            frame = json.loads(await self._socket.socket.recv())
            kind, payload = frame["type"], frame["payload"]
            if kind == "message" and payload["from"] != self.person.id:
                self._take(payload)
                self._changed.set()

    def _take(self, payload: dict[str, Any]) -> None:
        text: str | None = payload["content"]
        if payload["encrypted"]:
            try:
                text = self.browser.decrypt(payload["from"], payload["content"])
            except UndecryptableError:
                text = None
        if self.received.get(payload["id"]) is None:  # sent again, it may be read now
            self.received[payload["id"]] = text


@asynccontextmanager
async def browser_on(backend: RawBackend, name: str) -> AsyncIterator[BrowserOnSocket]:
    """A new account in a browser that is open."""
    person = await backend.register(name)
    async with person.online() as socket:
        it = BrowserOnSocket(person, socket)
        await it.publish(one_time=20)
        reader = asyncio.create_task(it.read())
        try:
            yield it
        finally:
            reader.cancel()
            await asyncio.wait({reader})
