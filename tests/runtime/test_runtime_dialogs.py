"""Questions in the middle of handlers."""

from __future__ import annotations

import pytest
from doubles.stage import Stage

from chatbot.wire import SendFrame

ORDER = """
    @plugin.command()
    async def order(ctx: Context) -> str:
        dish = await ctx.ask("What?")
        number = await ctx.ask("How many?", int, timeout="10m")
        return f"{number} x {dish} for {ctx.user.username}"
"""


async def test_plain_code_asks_and_goes_on(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    assert await alice.says("/order") == "What?"
    assert await alice.says("a big pizza") == "How many?"
    assert await alice.says("two") == (
        'answer: expected a whole number\ngot: "two"\n(/cancel ends this.)'
    )
    assert await alice.says("2") == "2 x a big pizza for alice"


async def test_commands_go_on_meanwhile(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    assert (await alice.says("/ping")).startswith("pong")
    assert await alice.says("soup") == "How many?"


async def test_two_users_never_share_a_dialog(stage: Stage) -> None:
    await stage.play(ORDER)
    alice, bob = await stage.person("alice"), await stage.person("bob")
    group = await alice.starts_group("Dinner", bob)
    assert await group.says(alice, "/order") == "What?"
    await group.writes(bob, "nothing for me")
    assert await bob.says("/order") == "What?"
    assert await group.says(alice, "salad") == "How many?"
    assert await bob.says("soup") == "How many?"
    assert await group.says(alice, "1") == "1 x salad for alice"
    assert await bob.says("3") == "3 x soup for bob"


async def test_cancelling_says_so(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    assert await alice.says("/cancel") == "Cancelled."
    assert await alice.says("/cancel") == "There is nothing to cancel."


async def test_a_question_that_nobody_answers_ends(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    stage.clock.advance(5 * 60_000)
    assert await alice.hears() == "No answer came in time, so this has ended."


@pytest.mark.parametrize("restarts", [False, True])
async def test_a_clock_that_was_ahead_keeps_no_question_open(stage: Stage, restarts: bool) -> None:
    stage.clock.advance(86_400_000)
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    await alice.says("tea")
    stage.clock.advance(-86_400_000)
    if restarts:
        await stage.restart_bot()
    assert "expected a whole number" in await alice.says("a few")  # so it has been asked again
    stage.clock.advance(10 * 60_000)
    assert await alice.hears() == "No answer came in time, so this has ended."


async def test_time_limits_do_not_count_the_waiting(stage: Stage) -> None:
    await stage.play("""
        @plugin.command(timeout="100ms")
        async def slow(ctx: Context) -> str:
            answer = await ctx.ask("Well?")
            await asyncio.sleep(0.01)
            return answer
    """)
    alice = await stage.person("alice")
    await alice.says("/slow")
    for _ in range(3):  # takes longer than the limit
        await alice.says("/ping")
    assert await alice.says("here") == "here"


async def test_a_new_dialog_ends_the_one_before(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    assert await alice.says("/order") == "Cancelled."
    assert await alice.hears() == "What?"
    assert await alice.says("rice") == "How many?"


async def test_a_handler_may_catch_the_ending(stage: Stage) -> None:
    await stage.play("""
        from chatbot import DialogEnded

        @plugin.command()
        async def guess(ctx: Context) -> str:
            try:
                return await ctx.ask("What am I thinking of?", timeout="1m")
            except DialogEnded as ended:
                return f"too slow ({ended.reason})"
    """)
    alice = await stage.person("alice")
    await alice.says("/guess")
    stage.clock.advance(60_000)
    assert await alice.hears() == "too slow (timeout)"


async def test_a_reload_ends_the_plugins_dialogs(stage: Stage) -> None:
    bot = await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    await bot.reload("play")
    assert (await alice.hears()).startswith("This has ended: the bot was updated")
    assert await alice.says("/order") == "What?"


async def test_dialogs_survive_a_restart(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    await alice.says("tea")
    await stage.restart_bot()
    assert await alice.says("2") == "2 x tea for alice"


async def test_a_timeout_goes_on_counting_over_a_restart(stage: Stage) -> None:
    await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    await stage.bot.stop()
    stage.clock.advance(5 * 60_000)
    await stage.restart_bot()
    assert (await alice.hears()).startswith("No answer came in time")


async def test_what_is_not_encrypted_answers_no_encrypted_question(stage: Stage) -> None:
    bot = await stage.play(ORDER)
    alice = await stage.person("alice")
    await alice.says("/order")
    forged = SendFrame(to=bot.user.id, content="poison", encrypted=False)
    alice.client._account.socket.send_nowait("message", forged)
    assert await alice.says("bread") == "How many?"
    assert await alice.says("1") == "1 x bread for alice"


async def test_state_is_one_users_in_one_chat(stage: Stage) -> None:
    await stage.play("""
        @plugin.command()
        async def remember(ctx: Context, word: str) -> str:
            before = await ctx.state.get("word", str, "nothing")
            await ctx.state.set("word", word)
            return f"{before} before"
    """)
    alice, bob = await stage.person("alice"), await stage.person("bob")
    group = await alice.starts_group("Words", bob)
    assert await alice.says("/remember one") == "nothing before"
    assert await bob.says("/remember two") == "nothing before"
    assert await group.says(alice, "/remember three") == "nothing before"
    await stage.restart_bot()
    assert await alice.says("/remember four") == "one before"
    assert await group.says(alice, "/remember five") == "three before"


@pytest.mark.parametrize("kind", ["dict[str, int]", "object"])
async def test_asking_for_what_nothing_reads_fails(stage: Stage, kind: str) -> None:
    await stage.play(f"""
        @plugin.command()
        async def wrong(ctx: Context) -> str:
            return str(await ctx.ask("What?", {kind}))
    """)
    alice = await stage.person("alice")
    assert (await alice.says("/wrong")).startswith("Sorry")
