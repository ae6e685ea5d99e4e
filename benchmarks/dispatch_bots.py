"""The contenders of the dispatch benchmark: the same commands in our runtime and in aiogram.

Both are fed messages as their transport would hand them over, decoded already, and both end in a
handler that was given its number. Ours also checks the number's range, decides on permissions with
their reasons and counts the command's cooldown, which aiogram does not.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Annotated, Any, Final, TypeAlias, cast

from aiogram import Bot as AiogramBot
from aiogram import Dispatcher
from aiogram.filters import Command, CommandObject
from aiogram.types import Update

from chatbot.client.models import Message, User
from chatbot.plugins.access import Role
from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.context import Context
from chatbot.plugins.endpoints import Call, CommandEndpoint, FilterEndpoint
from chatbot.plugins.markers import Range
from chatbot.plugins.people import Chat
from chatbot.plugins.plugin import Plugin
from chatbot.runtime.dispatch import Target, dispatch
from chatbot.runtime.limits import Cooldowns
from chatbot.runtime.permissions import Facts, Policy, decide
from chatbot.runtime.routing import Invocation
from chatbot.runtime.table import Table, build_table

Feed: TypeAlias = Callable[[], Awaitable[object]]
"""Brings one message to its handler."""

_ALICE: Final = User(id="4711", username="alice")
_GROUP: Final = Chat("4712", "group")
_TOKEN: Final = "1:made-up"  # aiogram wants the form of one


class Calls:
    """Counts handler calls, so that nobody is praised for doing nothing."""

    def __init__(self) -> None:
        self.count = 0


@dataclass(frozen=True, slots=True)
class _Context:
    """As much of a context as dispatching looks at."""

    message: Message
    chat: Chat
    user: User = _ALICE
    prefix: str = "/"
    role: Role = Role.MEMBER


class _Host:
    """Decides, counts and runs; journals and sends nothing."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._policy = Policy()
        self._cooldowns = Cooldowns(clock)

    def bind(self, ctx: Context, _endpoint: Target) -> Context:
        return ctx

    async def admit(self, endpoint: Target, ctx: Context) -> bool:
        user, chat = ctx.user.id, ctx.chat
        facts = Facts(user=user, chat=chat.id, kind=chat.kind)
        if not decide(self._policy, endpoint.rule, facts).allowed:
            return False
        return not self._cooldowns.take(endpoint.key, endpoint.limit, user=user, chat=chat.id)

    def visible(self, endpoint: CommandEndpoint, ctx: Context) -> bool:
        return ctx.role >= endpoint.rule.role

    async def run(self, _endpoint: Target, _ctx: Context, call: Call) -> None:
        await call.run(_never)

    async def answer(self, _ctx: Context, text: str) -> None:
        if not text:
            raise AssertionError

    def failed(self, _endpoint: FilterEndpoint, error: Exception) -> None:
        raise error


async def _never(call: Callable[[], Any]) -> Any:
    raise AssertionError(call)


def our_table(commands: int, calls: Calls) -> Table:
    """A plugin with so many commands."""
    plugin = Plugin("bench")
    for number in range(commands):

        @plugin.command(f"command{number}", cooldown="999999/1s")
        async def handle(_ctx: Context, sides: Annotated[int, Range(2, 1000)] = 6) -> None:
            calls.count += sides // 6

    compiled, problems = compile_plugin(plugin)
    if problems:
        raise AssertionError(problems[0])
    return build_table([compiled])


def our_bot(commands: int, text: str, calls: Calls, chat: Chat = _GROUP) -> Feed:
    """Our dispatching of a message with that text."""
    table, invocation = our_table(commands, calls), Invocation("/", "bench")
    host = _Host(lambda: time.monotonic_ns() // 1_000_000)
    message = Message(
        id="1",
        from_user=_ALICE.id,
        to_user="",
        content=text,
        timestamp=0,
        status="delivered",
        is_encrypted=False,
        group_id=chat.id,
    )

    async def feed() -> None:
        ctx = cast("Context", _Context(message, chat))
        await dispatch(table, ctx, table.commands.route(message.content, invocation), host)

    return feed


def aiogram_bot(commands: int, text: str, calls: Calls) -> Feed:
    """The dispatching of aiogram."""
    bot, dispatcher = AiogramBot(_TOKEN), Dispatcher()
    for number in range(commands):

        @dispatcher.message(Command(f"command{number}"))
        async def handle(_message: object, command: CommandObject) -> None:
            calls.count += int(command.args or 6) // 6

    update = Update.model_validate(
        {
            "update_id": 1,
            "message": {
                "message_id": 1,
                "date": datetime(2026, 3, 2, tzinfo=UTC),
                "chat": {"id": 4712, "type": "group", "title": "Dev Team"},
                "from": {"id": 4711, "is_bot": False, "first_name": "Alice"},
                "text": text,
            },
        },
        context={"bot": bot},
    )

    async def feed() -> object:
        return await dispatcher.feed_update(bot, update)

    return feed


def on_loop(loop: asyncio.AbstractEventLoop, feed: Feed) -> Callable[[int], None]:
    """Make a contender of a feed."""

    async def batch(count: int) -> None:
        for _ in range(count):
            await feed()

    return lambda count: loop.run_until_complete(batch(count))
