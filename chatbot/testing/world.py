"""A backend, a bot on it, and people who talk to the bot."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from argon2 import PasswordHasher

from chatbot.client.client import WhatsAppClient
from chatbot.client.crypto.vault import Argon2Parameters
from chatbot.client.models import Message
from chatbot.client.options import ClientOptions
from chatbot.runtime.access import Appointments
from chatbot.runtime.arrivals import HandlingOptions
from chatbot.runtime.runtime import BotOptions, BotRuntime
from chatbot.server import Server
from chatbot.testing.clock import MovableClock

PATIENCE: Final = 10.0
"""Seconds that a person waits for an answer."""

_PASSWORD: Final = "a password for tests"  # noqa: S105 - nothing is behind it
_CLIENT: Final = ClientOptions(argon2=Argon2Parameters(memory=8, passes=1, lanes=1))


class Person:
    """Somebody with an account, who talks to the bot.

    Attributes:
        client: the person's own client, for whatever `says` and `hears` do not cover.
    """

    def __init__(self, name: str, client: WhatsAppClient, bot: str) -> None:
        self.name = name
        self.client = client
        self._bot = bot
        self._heard: asyncio.Queue[Message] = asyncio.Queue()
        client.on_message(self._heard.put_nowait)

    def __repr__(self) -> str:
        return f"<Person {self.name}>"

    @property
    def id(self) -> str:
        """The person's user id."""
        return self.client.user_id

    async def says(self, text: str, *, seconds: float = PATIENCE) -> str:
        """Write to the bot and return what it answers.

        Raises:
            AssertionError: it does not answer in time.
        """
        await self.writes(text)
        return await self.hears(seconds=seconds)

    async def writes(self, text: str) -> Message:
        """Write to the bot and wait for no answer."""
        return await self.client.send_message(self._bot, text)

    async def hears(self, *, seconds: float = PATIENCE) -> str:
        """The next message to the person: its text."""
        return (await self.receives(seconds=seconds)).content

    async def receives(self, *, seconds: float = PATIENCE) -> Message:
        """The next message to the person.

        Raises:
            AssertionError: none comes in time.
        """
        try:
            async with asyncio.timeout(seconds):
                return await self._heard.get()
        except TimeoutError:
            raise AssertionError(f"{self.name} heard nothing for {seconds} s") from None

    async def hears_nothing(self) -> None:
        """Make sure that nothing has come and nothing is on its way.

        The bot answers in order: once it has answered a ping, there was nothing before.

        Raises:
            AssertionError: there is something.
        """
        heard = await self.says("/ping")
        if not heard.lower().startswith("pong"):
            raise AssertionError(f"{self.name} heard {heard!r}")

    async def leaves(self) -> None:
        """Go offline."""
        await self.client.logout()

    async def returns(self) -> None:
        """Come online again."""
        await self.client.login(self.name, _PASSWORD)

    async def starts_group(self, name: str, *others: Person) -> ChatGroup:
        """Make a group with the bot and these people in it."""
        bot = await self.client.find_user(self._bot)
        if bot is None:
            raise AssertionError("the bot has no account")
        members = [bot.id, *(person.id for person in others)]
        group = await self.client.create_group(name, member_ids=members)
        return ChatGroup(group.id, bot.id)


class ChatGroup:
    """A group that the bot is in."""

    def __init__(self, group_id: str, bot_id: str) -> None:
        self.id = group_id
        self._bot_id = bot_id
        self._heard: dict[Person, asyncio.Queue[Message]] = {}

    async def says(self, person: Person, text: str, *, seconds: float = PATIENCE) -> str:
        """Let somebody write in the group and return what the bot answers there.

        Raises:
            AssertionError: it does not answer in time.
        """
        heard = self._listen(person)
        await self.writes(person, text)
        try:
            async with asyncio.timeout(seconds):
                return (await heard.get()).content
        except TimeoutError:
            raise AssertionError(f"the bot said nothing for {seconds} s") from None

    async def writes(self, person: Person, text: str) -> None:
        """Let somebody write in the group and wait for no answer."""
        await person.client.send_group_message(self.id, text)

    def _listen(self, person: Person) -> asyncio.Queue[Message]:
        if person not in self._heard:
            queue = self._heard[person] = asyncio.Queue[Message]()

            def take(message: Message) -> None:
                if message.group_id == self.id and message.from_user == self._bot_id:
                    queue.put_nowait(message)

            person.client.on_group_message(take)
        return self._heard[person]


class ChatWorld:
    """A backend of its own in a folder, a bot, and people. An async context manager.

    Args:
        folder: where everything is kept; a test's `tmp_path`.

    Attributes:
        clock: everybody's.
        bot: the running bot.
        server: the backend.
    """

    bot: BotRuntime

    def __init__(self, folder: Path) -> None:
        self.clock = MovableClock()
        self.server = Server(
            folder / "backend" / "backend.db",
            port=0,
            clock=self.clock,
            password_hasher=PasswordHasher(time_cost=1, memory_cost=8, parallelism=1),
        )
        self._folder = folder
        self._people: dict[str, Person] = {}
        self._options: BotOptions | None = None
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        await self._stack.enter_async_context(self.server)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stack.aclose()

    async def start_bot(
        self,
        plugins: Sequence[str],
        *,
        name: str = "bot",
        prefix: str = "/",
        owners: Sequence[str] = (),
        sections: Mapping[str, Mapping[str, Any]] | None = None,
        base: Path | None = None,
        **changes: Any,
    ) -> BotRuntime:
        """Start the bot with these plugins.

        Args:
            plugins: modules, entry points or files, as `[plugins] load` lists them.
            name: its account's.
            prefix: what commands begin with.
            owners: user names or ids.
            sections: `[plugins.NAME]` by name.
            base: what relative paths count from; the folder of the tests otherwise.
            changes: to any other field of `BotOptions`.
        """
        options = BotOptions(
            name=name,
            password=_PASSWORD,
            server_url=self.server.url,
            storage_path=self._folder / "bot",
            registers=True,
            plugins=tuple(plugins),
            sections=sections or {},
            base=base or Path.cwd(),
            appointments=Appointments(owners=tuple(owners)),
            handling=HandlingOptions(prefix=prefix),
            client=replace(_CLIENT, trusted_server=True),
        )
        self._options = replace(options, **changes)
        self._stack.push_async_callback(self._stop_bot)
        return await self._start()

    async def restart_bot(self) -> BotRuntime:
        """Stop the bot and start it again on the same files."""
        await self.bot.stop()
        return await self._start()

    async def person(self, name: str) -> Person:
        """Somebody, who registers when first met."""
        if name not in self._people:
            client = WhatsAppClient(
                self.server.url, self._folder / "people", options=_CLIENT, clock=self.clock
            )
            self._stack.push_async_callback(client.logout)
            await client.register(name, _PASSWORD)
            bot = self._options.name if self._options is not None else "bot"
            self._people[name] = Person(name, client, bot)
        return self._people[name]

    def advance(self, time: timedelta) -> None:
        """Move everybody's clock on; jobs that have become due run."""
        self.clock.advance(round(time / timedelta(milliseconds=1)))

    async def _start(self) -> BotRuntime:
        if self._options is None:
            raise RuntimeError("start_bot comes first")
        self.bot = BotRuntime(self._options, clock=self.clock)
        await self.bot.start()
        return self.bot

    async def _stop_bot(self) -> None:
        await self.bot.stop()
