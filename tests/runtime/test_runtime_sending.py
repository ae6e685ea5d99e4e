"""Messages under a key, with the handler's end, and what becomes of them; jobs under a key."""

from __future__ import annotations

from datetime import timedelta

from doubles.log_lines import log_lines
from doubles.stage import Stage

KEYED = """
@plugin.command()
async def welcome(ctx: Context, key: str, user: User) -> str:
    sent = await ctx.bot.send(user.id, f"under {key}", key=key)
    again = await ctx.bot.send(user.id, "another text", key=key)
    return f"{sent.id == again.id} {again.content}"

@plugin.command()
async def both(ctx: Context, user: User, fails: bool = False) -> str:
    for _ in range(2):
        await ctx.bot.send(user.id, "at the end", key="end", at_end=True)
    await ctx.store.set("told", user.username)
    if fails:
        raise UsageError("it did not go well")
    return "done"

@plugin.command()
async def told(ctx: Context) -> str:
    return await ctx.store.get("told", str, "nobody")
"""


async def test_under_a_key_somebody_gets_one_message(stage: Stage) -> None:
    await stage.play(KEYED)
    alice, bob, carol = [await stage.person(name) for name in ("alice", "bob", "carol")]
    assert await alice.says("/welcome first bob") == "True under first"
    assert await bob.hears() == "under first"
    await stage.restart_bot()
    assert await alice.says("/welcome first bob") == "True under first"
    assert await alice.says("/welcome first carol") == "True under first"
    assert await alice.says("/welcome second bob") == "True under second"
    assert await carol.hears() == "under first"
    assert await bob.hears() == "under second"
    await bob.hears_nothing()


async def test_under_a_key_at_the_same_time_it_is_still_one(stage: Stage) -> None:
    await stage.play(
        """
    @plugin.command()
    async def rush(ctx: Context, user: User, number: int) -> str:
        for key in range(number):
            await asyncio.gather(
                *(ctx.bot.send(user.id, f"{key}", key=f"rush {key}") for _ in range(4))
            )
        return "done"
    """
    )
    alice, bob = await stage.person("alice"), await stage.person("bob")
    assert await bob.says("/ping") == "pong"
    await bob.leaves()
    assert await alice.says("/rush bob 10") == "done"
    await alice.hears_nothing()
    await bob.returns()
    assert sorted([await bob.hears() for _ in range(10)]) == [str(key) for key in range(10)]
    await bob.hears_nothing()


async def test_a_message_may_wait_for_the_handlers_end(stage: Stage) -> None:
    await stage.play(KEYED)
    alice, bob = await stage.person("alice"), await stage.person("bob")
    assert "did not go well" in await alice.says("/both bob yes")
    assert await alice.says("/told") == "nobody"
    await bob.hears_nothing()
    assert await alice.says("/both bob") == "done"
    assert await alice.says("/told") == "bob"
    assert await bob.hears() == "at the end"
    await bob.hears_nothing()


async def test_how_far_messages_have_got(stage: Stage) -> None:
    await stage.play(
        """
    from logging import Logger

    @plugin.command()
    async def tell(ctx: Context, user: User) -> str:
        sent = await ctx.bot.send(user.id, "news")
        await ctx.store.set("ids", [*await ctx.store.get("ids", list[str], []), sent.id])
        return "told"

    @plugin.command()
    async def report(ctx: Context) -> str:
        ids = await ctx.store.get("ids", list[str])
        found = await ctx.bot.statuses([*ids, "unknown"])
        return " ".join(found[message_id] for message_id in ids) + f" of {len(found)}"

    @plugin.on(events.MessageFailed)
    async def failed(event: events.MessageFailed, bot: Bot, store: Store, logger: Logger) -> None:
        assert event.message_id == (await store.get("ids", list[str]))[-1]
        user = await bot.find_user(event.user_id)
        logger.warning("%s does not get it: %s", user.username, event.reason)
    """
    )
    alice, bob, carol = [await stage.person(name) for name in ("alice", "bob", "carol")]
    await alice.says("/tell bob")
    await bob.hears()
    await carol.leaves()
    await alice.says("/tell carol")
    await bob.hears_nothing()
    assert await alice.says("/report") == "delivered sent of 2"
    await carol.returns()
    assert await carol.hears() == "news"
    await carol.hears_nothing()
    assert await alice.says("/report") == "delivered delivered of 2"
    await carol.leaves()
    await alice.says("/tell carol")
    await bob.hears_nothing()
    with log_lines("plugin.play") as log:
        stage.advance(timedelta(days=8))
        await stage.restart_bot()
        await log.until("carol does not get it: it could not be delivered in time")
    assert (await alice.says("/report")).endswith("delivered failed of 3")


async def test_a_job_under_a_key_takes_the_place_of_the_one_before(stage: Stage) -> None:
    await stage.play(
        """
    @plugin.job()
    async def remind(bot: Bot, user: str, text: str) -> None:
        await bot.send(user, text)

    @plugin.command()
    async def later(ctx: Context, scheduler: Scheduler, after: str, text: Rest) -> str:
        arguments = {"user": ctx.user.id, "text": text}
        await scheduler.schedule("remind", after=after, arguments=arguments, key=ctx.user.id)
        return str(len(await scheduler.jobs()))
    """
    )
    alice = await stage.person("alice")
    await alice.says("/later 10m the tea")
    assert await alice.says("/later 20m the cake") == "1"
    await stage.restart_bot()
    stage.advance(timedelta(minutes=10))
    await alice.hears_nothing()
    stage.advance(timedelta(minutes=10))
    assert await alice.hears() == "the cake"
    await alice.says("/later 5m the tea again")
    stage.advance(timedelta(minutes=5))
    assert await alice.hears() == "the tea again"
