"""The ledger: every broadcast, and one row for each of its recipients.

A broadcast's values begin with its number; `open` keys name those that have not ended. Commands
write how one stands, the courier its plan and its rows, so that neither undoes what the other did.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

from chatbot.client.models import Image
from chatbot.plugins.replies import Content, Reply, as_reply
from chatbot.plugins.services import Store

Standing: TypeAlias = Literal["running", "paused", "done", "cancelled", "failed"]

_COUNTER: Final = "broadcasts"
_OPEN: Final = "open\x1f"
_DIGITS: Final = 10


class Broadcast(Struct, frozen=True, kw_only=True):
    """What was asked for.

    Attributes:
        audience: a name, or `group:NAME`.
        at: ms.
    """

    number: int
    audience: str
    at: int


class Plan(Struct, frozen=True, kw_only=True):
    """How far the courier has got.

    Attributes:
        total: how many recipients there are.
        after: the last one that was seen to; they are seen to in the order of their ids.
        tries: how often the next one was tried.
    """

    total: int
    after: str = ""
    tries: int = 0


class Row(Struct, frozen=True, kw_only=True):
    """One recipient.

    Attributes:
        name: as people know them.
        message: the id of what was sent to them; empty where nothing was.
        reason: why they do not get it; empty where they may.
    """

    name: str
    message: str = ""
    reason: str = ""


class End(Struct, frozen=True, kw_only=True):
    """How a broadcast ended, and why where it did not end well."""

    standing: Literal["done", "cancelled", "failed"]
    at: int
    note: str = ""


class Pace(Struct, frozen=True, kw_only=True):
    """How many messages have gone out since a time (ms)."""

    since: int = 0
    used: int = 0


class _Stored(Struct, frozen=True, kw_only=True):
    """A `Reply` as it is kept."""

    text: str
    image: bytes | None = None
    mime: str = ""


@dataclass(frozen=True, slots=True)
class Ledger:
    """Reads and writes it; what is written commits with the handler that writes it."""

    store: Store

    # ------------------------------------------------------------ broadcasts

    async def begin(self, audience: str, content: Content, at: int) -> Broadcast:
        """A new broadcast. A handler that is run again gets the same one.

        Raises:
            ValueError: there is nothing to send, or more than can be kept.
        """
        reply = as_reply(content)
        if reply is None:
            raise ValueError("there is nothing to send: the text is empty")
        number = await self.store.incr(_COUNTER)
        broadcast = Broadcast(number=number, audience=audience, at=at)
        try:
            await self.store.set(_key(number, "content"), _stored(reply))
        except TypeError as error:
            raise ValueError(f"this cannot be kept for a broadcast: {error}") from None
        await self.store.set(_key(number, "broadcast"), broadcast)
        await self.stand(number, "running")
        return broadcast

    async def get(self, number: int) -> Broadcast | None:
        """The broadcast of that number."""
        return await self.store.get(_key(number, "broadcast"), Broadcast)

    async def latest(self, limit: int) -> list[Broadcast]:
        """The latest ones, the last first."""
        last = await self.store.get(_COUNTER, int, 0)
        found = [await self.get(number) for number in range(last, max(0, last - limit), -1)]
        return [broadcast for broadcast in found if broadcast is not None]

    async def content(self, number: int) -> Reply:
        """What is sent."""
        stored = await self.store.get(_key(number, "content"), _Stored, _Stored(text=""))
        if stored.image is None:
            return Reply(stored.text)
        return Reply(stored.text, image=Image(data=stored.image, mime=stored.mime))

    async def forget(self, number: int) -> None:
        """Drop all that is known of a broadcast, if it has ended."""
        if await self.end_of(number) is None:
            return
        async for _, row in self.rows(number):
            await self.store.delete(_message(row.message))
        async for key, _ in self.store.range(_key(number), Any):
            await self.store.delete(key)

    # ------------------------------------------------------------ how they stand

    async def running(self) -> list[int]:
        """The numbers of those that go on, in order."""
        opened = self.store.range(_OPEN, str)
        return [int(key.removeprefix(_OPEN)) async for key, how in opened if how == "running"]

    async def stand(self, number: int, standing: Literal["running", "paused"]) -> None:
        """Let an open one go on, or wait."""
        await self.store.set(_open(number), standing)

    async def standing(self, number: int) -> Standing:
        """How it stands now."""
        end = await self.end_of(number)
        if end is not None:
            return end.standing
        return "paused" if await self.store.get(_open(number), str) == "paused" else "running"

    async def end(
        self, number: int, standing: Literal["done", "cancelled", "failed"], at: int, note: str = ""
    ) -> None:
        """It has ended; unless it had before."""
        if await self.end_of(number) is None:
            await self.store.set(_key(number, "end"), End(standing=standing, at=at, note=note))
        await self.store.delete(_open(number))

    async def end_of(self, number: int) -> End | None:
        """How it ended, None where it has not."""
        return await self.store.get(_key(number, "end"), End)

    # ------------------------------------------------------------ recipients

    async def plan(self, number: int) -> Plan | None:
        """How far it has got, None before its audience was looked up."""
        return await self.store.get(_key(number, "plan"), Plan)

    async def save_plan(self, number: int, plan: Plan) -> None:
        """It has got that far."""
        await self.store.set(_key(number, "plan"), plan)

    async def rows(
        self, number: int, *, after: str = "", limit: int | None = None
    ) -> AsyncIterator[tuple[str, Row]]:
        """Recipients behind `after`, in the order of their ids, with their rows."""
        prefix = _key(number, "row")
        start = f"{prefix}{after}" if after else ""
        async for key, row in self.store.range(prefix, Row, after=start, limit=limit):
            yield key.removeprefix(prefix), row

    async def put(self, number: int, recipient: str, row: Row) -> None:
        """A recipient's row as it is now."""
        await self.store.set(f"{_key(number, 'row')}{recipient}", row)
        if row.message:
            await self.store.set(_message(row.message), number)

    async def give_up(self, message_id: str, recipient: str, reason: str) -> None:
        """A message was given up later on, if it is one of a broadcast."""
        number = await self.store.get(_message(message_id), int)
        if number is None:
            return
        key = f"{_key(number, 'row')}{recipient}"
        row = await self.store.get(key, Row)
        if row is not None:
            await self.store.set(key, Row(name=row.name, message=row.message, reason=reason))

    # ------------------------------------------------------------ pace

    async def pace(self, now: int, period: int) -> Pace:
        """What has gone out in this period (ms)."""
        pace = await self.store.get("pace", Pace, Pace())
        return pace if pace.since <= now < pace.since + period else Pace(since=now)

    async def save_pace(self, pace: Pace) -> None:
        """So much has gone out."""
        await self.store.set("pace", pace)


def _key(number: int, *parts: str) -> str:
    return "\x1f".join((f"{number:0{_DIGITS}}", *parts, ""))


def _open(number: int) -> str:
    return f"{_OPEN}{number:0{_DIGITS}}"


def _message(message_id: str) -> str:
    return f"message\x1f{message_id}"


def _stored(reply: Reply) -> _Stored:
    image = reply.image
    if image is None:
        return _Stored(text=reply.text)
    return _Stored(text=reply.text or image.caption, image=image.data, mime=image.mime)
