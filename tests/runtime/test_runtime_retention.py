"""`keep_days`: once a day, beside the traffic, what is older goes."""

from __future__ import annotations

import asyncio
import sqlite3
from datetime import timedelta

from doubles.stage import Stage

from chatbot.client.storage.retention import DAY
from chatbot.runtime.runtime import BotRuntime

SOURCE = """
@plugin.command("echo")
async def echo(ctx: Context, what: str) -> str:
    return what
"""


async def stored(bot: BotRuntime) -> int:
    def count(connection: sqlite3.Connection) -> int:
        row = connection.execute("SELECT count(*) FROM messages").fetchone()
        return int(row[0])

    return await bot.target.account.database.read(count)


async def test_old_messages_go_and_new_ones_stay(stage: Stage) -> None:
    bot = await stage.play(SOURCE, keep=30 * DAY)
    alice = await stage.person("alice")
    assert await alice.says("/echo old") == "old"
    committed = asyncio.Event()
    bot.target.account.database.on_commit.append(lambda *_: committed.set())
    stage.advance(timedelta(days=29))
    assert await alice.says("/echo new") == "new"
    assert await stored(bot) == 4
    stage.advance(timedelta(days=2))
    async with asyncio.timeout(20):
        while await stored(bot) > 2:
            await committed.wait()
            committed.clear()
    assert await alice.says("/echo still") == "still"


async def test_without_it_everything_stays(stage: Stage) -> None:
    bot = await stage.play(SOURCE)
    alice = await stage.person("alice")
    assert await alice.says("/echo old") == "old"
    stage.advance(timedelta(days=400))
    assert await alice.says("/echo new") == "new"
    assert await stored(bot) == 4
