"""Stand-up: three questions a day, and everybody's answers in one message."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct

from chatbot import Bot, Context, Plugin, Store

MEMBER = "member/"
ANSWER = "answer/"
SKIP = "-"

plugin = Plugin("standup", description="Daily stand-up in writing")


class Member(Struct, frozen=True):
    """Somebody who takes part."""

    username: str


class Answers(Struct, frozen=True):
    """What somebody said on one day.

    Attributes:
        blocked: empty where nothing is in the way.
    """

    username: str
    done: str
    planned: str
    blocked: str = ""

    def __str__(self) -> str:
        lines = [f"{self.username}:", f"  done: {self.done}", f"  next: {self.planned}"]
        return "\n".join((*lines, *([f"  blocked: {self.blocked}"] if self.blocked else [])))


# ---------------------------------------------------------------- who takes part


@plugin.command("join", chats="direct", privileged=True)
async def join(ctx: Context) -> str:
    """Take part: be asked every working day at nine."""
    await ctx.store.set(f"{MEMBER}{ctx.user.id}", Member(ctx.user.username))
    return f"You take part. {ctx.prefix}leave ends that."


@plugin.command("leave", chats="direct", privileged=True)
async def leave(ctx: Context) -> str:
    """Take part no more."""
    await ctx.store.delete(f"{MEMBER}{ctx.user.id}")
    return "You take part no more."


async def members(store: Store) -> list[str]:
    """The user ids of those who take part."""
    return [key.removeprefix(MEMBER) async for key, _ in store.range(MEMBER, Member)]


# ---------------------------------------------------------------- what they say


@plugin.command("standup", chats="direct", privileged=True)
async def standup(ctx: Context) -> str:
    """Answer the three questions; /cancel ends it."""
    today = day(ctx.bot.now())
    done = await ctx.ask("What did you get done?", timeout="1h")
    planned = await ctx.ask("What comes next?", timeout="1h")
    is_blocked = await ctx.ask("Is anything in your way? (yes or no)", bool, timeout="1h")
    blocked = await ctx.ask("What is it?", timeout="1h") if is_blocked else ""
    answers = Answers(ctx.user.username, done, planned, blocked)
    await ctx.store.set(f"{today}{ctx.user.id}", answers)
    return f"Thank you. At half past nine everybody reads:\n{answers}"


@plugin.command("today", chats="direct", privileged=True)
async def today(ctx: Context) -> str:
    """Show what was said today."""
    return await summary(ctx.store, ctx.bot.now()) or "Nobody has said anything yet."


async def summary(store: Store, now: datetime) -> str:
    """What was said on that day; empty where nothing was."""
    said = [str(answers) async for _, answers in store.range(day(now), Answers)]
    return "\n".join(said)


def day(now: datetime) -> str:
    """What the keys of that day's answers begin with."""
    return f"{ANSWER}{now:%Y-%m-%d}/"


# ---------------------------------------------------------------- every working day


@plugin.job(cron="0 9 * * mon-fri", misfire="skip")
async def ask(bot: Bot, store: Store) -> None:
    """Ask whoever has not answered yet."""
    for user_id in await members(store):
        if await store.get(f"{day(bot.now())}{user_id}", Answers) is None:
            await bot.send(user_id, "Good morning! /standup takes a minute.")


@plugin.job(cron="30 9 * * mon-fri")
async def tell(bot: Bot, store: Store) -> None:
    """Tell everybody what everybody said."""
    text = await summary(store, bot.now())
    if text:
        for user_id in await members(store):
            await bot.send(user_id, text)
