"""The protocols that plugins meet, fulfilled in memory: no socket, no file, a clock that is set."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta, tzinfo
from typing import Any
from zoneinfo import ZoneInfo

import msgspec

from chatbot.client.models import Message, User
from chatbot.plugins.access import Decision, Role
from chatbot.plugins.context import CommandInfo, Context, DeliveryStatus, Group
from chatbot.plugins.endpoints import Call, CommandEndpoint, FilterEndpoint
from chatbot.plugins.people import Chat, GroupRole, Member
from chatbot.plugins.replies import Content, Reply, as_reply
from chatbot.plugins.services import ScheduledJob, Scheduler, Services, Sql, Store
from chatbot.runtime.dispatch import Target, dispatch
from chatbot.runtime.routing import Invocation
from chatbot.runtime.table import Table

BERLIN = ZoneInfo("Europe/Berlin")
BOT = User(id="bot-id", username="dicebot")
ALICE = User(id="alice-id", username="alice")
BOB = User(id="bob-id", username="bob")


class MemoryStore:
    """A `Store` that keeps JSON in a dict."""

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}

    async def get(self, key: str, kind: type[Any], default: Any = None) -> Any:
        raw = self.values.get(key)
        return default if raw is None else msgspec.json.decode(raw, type=kind)

    async def set(self, key: str, value: object) -> None:
        self.values[key] = msgspec.json.encode(value)

    async def delete(self, key: str) -> None:
        self.values.pop(key, None)

    async def range(
        self, prefix: str, kind: type[Any], *, after: str = "", limit: int | None = None
    ) -> AsyncIterator[tuple[str, Any]]:
        keys = sorted(key for key in self.values if key.startswith(prefix) and key > after)
        for key in keys[:limit]:
            yield key, msgspec.json.decode(self.values[key], type=kind)

    async def incr(self, key: str, by: int = 1) -> int:
        total = int(await self.get(key, int, 0)) + by
        await self.set(key, total)
        return total

    async def compare_and_set(self, key: str, expected: object, value: object) -> bool:
        raw = self.values.get(key)
        if (None if raw is None else msgspec.json.decode(raw)) != msgspec.to_builtins(expected):
            return False
        if value is None:
            await self.delete(key)
        else:
            await self.set(key, value)
        return True


class NoSql:
    """No plugin of these tests has a file."""

    async def read(self, query: Callable[..., Any]) -> Any:
        raise AssertionError(query)

    async def write(self, unit: Callable[..., Any]) -> Any:
        raise AssertionError(unit)


class NoScheduler:
    """Nor schedules anything."""

    async def schedule(self, job: str, **_when: Any) -> ScheduledJob:
        raise AssertionError(job)

    async def cancel(self, job_id: str) -> bool:
        raise AssertionError(job_id)

    async def jobs(self) -> Sequence[ScheduledJob]:
        return ()


@dataclass(frozen=True)
class MemoryServices:
    """One plugin's services."""

    logger: logging.Logger
    store: Store = field(default_factory=MemoryStore)
    sql: Sql = field(default_factory=NoSql)
    scheduler: Scheduler = field(default_factory=NoScheduler)


class MemoryBot:
    """A `Bot` that remembers what it would have sent."""

    def __init__(self, now: datetime | None = None, users: Sequence[User] = (ALICE, BOB)) -> None:
        self.user = BOT
        self.timezone: tzinfo = BERLIN
        self.clock = now or datetime(2026, 3, 2, 12, 0, tzinfo=BERLIN)
        self.sent: list[tuple[str, str]] = []
        self.users = users
        self.all_services: dict[str, MemoryServices] = {}

    def now(self) -> datetime:
        return self.clock

    async def send(
        self, to: str, content: Content, *, key: str | None = None, at_end: bool = False
    ) -> Message:
        del key, at_end
        self.sent.append((to, _text(content)))
        return make_message(_text(content), user=BOT)

    async def statuses(self, message_ids: Sequence[str]) -> Mapping[str, DeliveryStatus]:
        return dict.fromkeys(message_ids, "sent")

    async def broadcast(self, audience: str, content: Content) -> str:
        self.sent.append((audience, _text(content)))
        return "broadcast-1"

    async def find_user(self, name_or_id: str) -> User | None:
        name = name_or_id.removeprefix("@")
        return next((u for u in self.users if name in {u.id, u.username}), None)

    async def groups(self) -> Sequence[Group]:
        return ()

    async def find_group(self, group_id: str) -> Group | None:
        raise AssertionError(group_id)

    def commands(self) -> Sequence[CommandInfo]:
        return ()


@dataclass
class MemoryGroup:
    """A `Group` of a few people."""

    id: str = "group-id"
    name: str = "Dev Team"
    role: GroupRole = "admin"
    people: list[Member] = field(default_factory=list)

    async def members(self) -> Sequence[Member]:
        return self.people

    async def find_member(self, name_or_id: str) -> Member | None:
        name = name_or_id.removeprefix("@")
        return next((m for m in self.people if name in {m.id, m.username}), None)

    async def send(self, content: Content) -> Message:
        raise AssertionError(content)

    async def add(self, user_id: str) -> None:
        raise AssertionError(user_id)

    async def remove(self, user_id: str) -> None:
        raise AssertionError(user_id)

    async def set_role(self, user_id: str, role: GroupRole) -> None:
        raise AssertionError(user_id, role)

    async def set_locked(self, locked: bool) -> None:
        raise AssertionError(locked)


def make_message(
    content: str, *, user: User = ALICE, group: str | None = None, encrypted: bool = True
) -> Message:
    return Message(
        id="message-1",
        from_user=user.id,
        to_user="" if group else BOT.id,
        content=content,
        timestamp=1_772_449_200_000,
        status="delivered",
        is_encrypted=encrypted and group is None,
        group_id=group,
        from_username=user.username,
    )


@dataclass
class MemoryContext:
    """A `Context` that remembers its answers."""

    message: Message
    bot: MemoryBot = field(default_factory=MemoryBot)
    user: User = ALICE
    group: Group | None = None
    role: Role = Role.MEMBER
    is_verified: bool = False
    is_proven: bool = True
    prefix: str = "/"
    command: CommandInfo | None = None
    args: str = ""
    plugin: str = "test"
    answers: list[str] = field(default_factory=list)

    @property
    def chat(self) -> Chat:
        group = self.group
        return Chat(self.user.id, "direct") if group is None else Chat(group.id, "group")

    def services(self, plugin: str) -> Services:
        logger = logging.getLogger(f"plugin.{plugin}")
        return self.bot.all_services.setdefault(plugin, MemoryServices(logger))

    @property
    def store(self) -> Store:
        return self.services(self.plugin).store

    @property
    def state(self) -> Store:
        return self.store

    @property
    def logger(self) -> logging.Logger:
        return self.services(self.plugin).logger

    async def reply(self, content: Content) -> Message:
        self.answers.append(_text(content))
        return make_message(_text(content), user=BOT)

    @asynccontextmanager
    async def typing(self) -> AsyncIterator[None]:
        yield

    async def ask(
        self,
        question: Content,
        kind: Any = str,
        *,
        timeout: str | timedelta = "5m",  # noqa: ASYNC109 - as the protocol has it
    ) -> Any:
        raise AssertionError(question, kind, timeout)

    def may(self, command: CommandInfo) -> Decision:
        return Decision("allow" if self.role >= command.role else "deny", ())


def make_context(text: str = "", *, group: Group | None = None, **changes: Any) -> MemoryContext:
    """A context for a message with that text, of Alice's, 1:1 and encrypted."""
    user = changes.get("user", ALICE)
    message = make_message(text, user=user, group=None if group is None else group.id)
    ctx = MemoryContext(message, group=group, **changes)
    _: Context = ctx  # the type checker sees to it that the double is one
    return ctx


async def on_the_loop(call: Callable[[], Any]) -> Any:
    """Stands in for the thread pool."""
    return call()


class MemoryHost:
    """A `Host` that admits whoever it is told to, and runs handlers at once."""

    def __init__(self, *, refused: Sequence[str] = ()) -> None:
        self.refused = refused
        self.hidden = False
        self.ran: list[str] = []
        self.failures: list[tuple[str, Exception]] = []

    def bind(self, ctx: Context, endpoint: Target) -> Context:
        assert isinstance(ctx, MemoryContext)
        return replace(ctx, plugin=endpoint.plugin)

    async def admit(self, endpoint: Target, ctx: Context) -> bool:
        return endpoint.key not in self.refused and ctx.user.id not in self.refused

    def visible(self, endpoint: CommandEndpoint, ctx: Context) -> bool:
        return not self.hidden and ctx.role >= endpoint.rule.role

    async def run(self, endpoint: Target, ctx: Context, call: Call) -> None:
        self.ran.append(endpoint.key)
        result = await call.run(on_the_loop)
        if isinstance(result, AsyncIterator):
            async for item in result:
                await _send(ctx, item)
        else:
            await _send(ctx, result)

    async def answer(self, ctx: Context, text: str) -> None:
        await ctx.reply(text)

    def failed(self, endpoint: FilterEndpoint, error: Exception) -> None:
        self.failures.append((endpoint.key, error))


async def say(
    table: Table, text: str, *, host: MemoryHost | None = None, **changes: Any
) -> list[str]:
    """Bring a message through the table; what was answered."""
    ctx = make_context(text, **changes)
    routed = table.commands.route(text, Invocation(ctx.prefix, BOT.username))
    await dispatch(table, ctx, routed, host or MemoryHost())
    return ctx.answers


async def _send(ctx: Context, value: object) -> None:
    if (reply := as_reply(value)) is not None:
        await ctx.reply(reply)


def _text(content: Content) -> str:
    reply = as_reply(content)
    return reply.text if isinstance(reply, Reply) else ""
