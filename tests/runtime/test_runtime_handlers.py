"""What handlers answer with, and what becomes of those that fail."""

from __future__ import annotations

import pytest
from doubles.log_lines import log_lines
from doubles.stage import Stage


async def test_a_command_answers(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def double(number: int) -> str:
            return str(number * 2)
    """)
    alice = await stage.person("alice")
    assert await alice.says("/double 21") == "42"
    assert await alice.says("@bot double 4") == "8"
    assert "usage: /double <number>" in await alice.says("/double x")
    assert await alice.says("/dubble 4") == ('There is no command "dubble". Did you mean /double?')


async def test_every_form_of_answer(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def nothing() -> None:
            return None

        @plugin.command()
        def blocking() -> str:
            return "from a thread"

        @plugin.command()
        async def several() -> AsyncIterator[str]:
            for word in ("one", "two", "three"):
                yield word

        @plugin.command()
        async def both(ctx: Context) -> str:
            await ctx.reply("first")
            async with ctx.typing():
                await ctx.reply(Reply("second"))
            return "last"
    """)
    alice = await stage.person("alice")
    await alice.writes("/nothing")
    assert await alice.says("/blocking") == "from a thread"
    assert await alice.says("/several") == "one"
    assert [await alice.hears(), await alice.hears()] == ["two", "three"]
    assert await alice.says("/both") == "first"
    assert [await alice.hears(), await alice.hears()] == ["second", "last"]


async def test_answers_are_encrypted_and_in_order(stage: Stage) -> None:
    await stage.play("""
        @plugin.filter()
        async def echo(ctx: Context) -> str:
            return ctx.message.content
    """)
    alice = await stage.person("alice")
    for number in range(10):
        await alice.writes(str(number))
    received = [await alice.receives() for _ in range(10)]
    assert [message.content for message in received] == [str(number) for number in range(10)]
    assert all(message.is_encrypted for message in received)


async def test_a_failing_handler_apologises_once_is_tried_again_and_parked(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    bot = await stage.play("""
        tries = []

        @plugin.command()
        async def fail(ctx: Context) -> str:
            tries.append(1)
            raise ValueError("what went wrong inside")

        @plugin.command()
        async def count() -> str:
            return str(len(tries))
    """)
    alice = await stage.person("alice")
    with log_lines("chatbot.runtime") as log:
        apology = await alice.says("/fail")
        assert apology.startswith("Sorry, something went wrong (reference ")
        assert "inside" not in apology
        assert apology.partition("reference ")[2][:8] in caplog.text
        assert "what went wrong inside" in caplog.text  # the log has the traceback
        assert await alice.says("/count") == "1"  # its lane is not blocked
        stage.clock.advance(1_000)
        await log.until("(try 2)")
        stage.clock.advance(60_000)
        await log.until("is parked")
    assert await alice.says("/count") == "3"
    assert (bot.metrics.retried, bot.metrics.parked) == (2, 1)
    await alice.hears_nothing()


async def test_a_handler_that_recovers_answers_late(stage: Stage) -> None:
    await stage.play("""
        tries = []

        @plugin.command()
        async def flaky(ctx: Context) -> str:
            tries.append(1)
            await ctx.reply("begun")
            if len(tries) == 1:
                raise OSError
            return "done"
    """)
    alice = await stage.person("alice")
    assert await alice.says("/flaky") == "begun"
    assert (await alice.hears()).startswith("Sorry")
    stage.clock.advance(1_000)
    assert await alice.hears() == "done"
    await alice.hears_nothing()


async def test_a_handler_that_hangs_is_cut_off(stage: Stage) -> None:
    bot = await stage.play("""
        @plugin.command(timeout="50ms")
        async def hang(ctx: Context) -> None:
            await asyncio.sleep(3600)
    """)
    alice = await stage.person("alice")
    assert (await alice.says("/hang")).startswith("Sorry")
    assert bot.metrics.outcomes["play", "timeout"] == 1


async def test_a_blocking_handler_that_hangs_is_not_called_again_while_it_does(
    stage: Stage,
) -> None:
    bot = await stage.play("""
        import threading
        going = threading.Event()
        calls = []

        @plugin.command(timeout="50ms")
        def hang() -> str:
            calls.append(1)
            going.wait()
            return "back"

        @plugin.command()
        async def go() -> str:
            going.set()
            return str(len(calls))
    """)
    alice = await stage.person("alice")
    assert (await alice.says("/hang")).startswith("Sorry")
    assert (await alice.says("/hang")).startswith("Sorry")
    assert await alice.says("/go") == "1"
    assert bot.metrics.outcomes["play", "timeout"] == 1


@pytest.mark.parametrize("value", ["['a list']", "7", "object()"])
async def test_a_wrong_type_is_a_failure_of_the_handler(stage: Stage, value: str) -> None:
    await stage.play(f"""
        @plugin.command()
        async def wrong() -> str:
            return {value}
    """)
    alice = await stage.person("alice")
    assert (await alice.says("/wrong")).startswith("Sorry")


async def test_a_handler_that_floods_is_stopped(stage: Stage) -> None:
    bot = await stage.play("""
        @plugin.command()
        async def flood(ctx: Context) -> None:
            number = 0
            while True:
                await ctx.store.incr("number")
    """)
    alice = await stage.person("alice")
    assert (await alice.says("/flood")).startswith("Sorry")
    assert bot.metrics.outcomes["play", "failed"] == 1


async def test_a_failing_filter_keeps_nobody_from_the_others(stage: Stage) -> None:
    await stage.play("""
        def broken(ctx: Context) -> bool:
            raise RuntimeError

        @plugin.filter(filters.predicate(broken), priority=2)
        async def never() -> str:
            return "never"

        @plugin.filter(text="hello", priority=1, stop=False)
        async def fails(ctx: Context) -> None:
            raise RuntimeError

        @plugin.filter(text="hello")
        async def greets(ctx: Context) -> None:
            await ctx.reply("hello yourself")
    """)
    alice = await stage.person("alice")
    assert await alice.says("hello") == "hello yourself"


async def test_usage_errors_of_handlers_are_answers(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def even(ctx: Context, number: int) -> str:
            await ctx.store.set("touched", True)
            if number % 2:
                raise UsageError("that is odd")
            return str(await ctx.store.get("touched", bool))
    """)
    alice = await stage.person("alice")
    assert await alice.says("/even 3") == "that is odd\nusage: /even <number>"
    assert await alice.says("/even 4") == "True"
