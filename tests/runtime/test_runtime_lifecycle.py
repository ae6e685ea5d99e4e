"""Plugins come and go while people talk to the bot."""

from __future__ import annotations

import asyncio
import gc
import os

import pytest
from doubles.stage import Stage

from chatbot.plugins.control import ControlError
from chatbot.runtime.context import MessageContext
from chatbot.runtime.options import PluginsError
from chatbot.runtime.table import Table

VERSION = """
    @plugin.startup
    async def up(store: Store) -> None:
        await store.set("ups", await store.get("ups", int, 0) + 1)

    @plugin.shutdown
    async def down(store: Store) -> None:
        await store.set("downs", await store.get("downs", int, 0) + 1)

    @plugin.command()
    async def version(store: Store) -> str:
        return f"{number} {{await store.get('ups', int)}} {{await store.get('downs', int, 0)}}"
"""


async def test_a_reload_brings_the_new_code_in(stage: Stage) -> None:
    bot = await stage.play(VERSION.format(number=1))
    alice = await stage.person("alice")
    assert await alice.says("/version") == "1 1 0"
    stage.write("play", VERSION.format(number=2))
    await bot.reload("play")
    assert await alice.says("/version") == "2 2 1"


@pytest.mark.parametrize(
    ("broken", "problem"),
    [
        ("this is no python", "SyntaxError"),
        ("@plugin.command()\n    async def f(x: object()) -> None: ...", "f()"),
        (
            "@plugin.startup\n    async def f() -> None:\n        raise OSError('no')",
            "did not start",
        ),
    ],
)
async def test_the_old_one_stays_where_the_new_one_fails(
    stage: Stage, broken: str, problem: str
) -> None:
    bot = await stage.play(VERSION.format(number=1))
    alice = await stage.person("alice")
    stage.write("play", f"\n    {broken}")
    with pytest.raises(ControlError) as raised:
        await bot.reload("play")
    assert problem in str(raised.value.problems)
    assert await alice.says("/version") == "1 1 0"
    stage.write("play", VERSION.format(number=3))
    await bot.reload("play")
    assert (await alice.says("/version")).startswith("3")


async def test_plugins_are_switched_in_the_chat_and_stay_so(stage: Stage) -> None:
    await stage.play(VERSION.format(number=1), owners=["alice"])
    alice = await stage.person("alice")
    assert await alice.says("/plugins disable play") == "play is off now."
    assert (await alice.says("/version")).startswith("There is no command")
    await stage.restart_bot()
    assert "play (off)" in (await alice.says("/plugins")).splitlines()
    assert await alice.says("/plugins enable play") == "play is in use now."
    assert (await alice.says("/version")).startswith("1 ")
    assert await alice.says("/plugins enable play") == "Not done: play is in use already"
    assert await alice.says("/plugins reload admin") == "admin is the new one now."
    assert (await alice.says("/plugins disable admin")).startswith("without admin nobody")
    assert (await alice.says("/plugins reload nonsense")).startswith("Not done: nonsense stays")


async def test_what_cannot_be_used_is_left_out_and_reported(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    listed = [
        stage.write("good", "@plugin.command()\nasync def good() -> str:\n    return 'good'"),
        stage.write("broken", "raise RuntimeError('at import')"),
        stage.write("unready", "@plugin.startup\nasync def up() -> None:\n    raise OSError"),
        "./missing.py",
    ]
    needs = stage.folder / "needs.py"
    needs.write_text("from chatbot import Plugin\nplugin = Plugin('needs', requires=['unready'])\n")
    bot = await stage.start_bot([*listed, "./needs.py"], base=stage.folder, owners=["alice"])
    alice = await stage.person("alice")
    assert await alice.says("/good") == "good"
    assert {p.plugin for p in bot.problems} == {"./broken.py", "unready", "./missing.py", "needs"}
    assert "RuntimeError: at import" in caplog.text
    stage.write("broken", "@plugin.command()\nasync def mended() -> str:\n    return 'mended'")
    assert await alice.says("/plugins enable ./broken.py") == "./broken.py is in use now."
    assert await alice.says("/mended") == "mended"


async def test_a_bot_none_of_whose_listed_plugins_can_be_used_does_not_start(
    stage: Stage,
) -> None:
    with pytest.raises(PluginsError, match="at import"):
        await stage.play("raise RuntimeError('at import')")
    with pytest.raises(PluginsError, match="did not start"):
        await stage.play("@plugin.startup\nasync def up() -> None:\n    raise OSError")


async def test_events_reach_their_observers_each_on_its_own(
    stage: Stage, caplog: pytest.LogCaptureFixture
) -> None:
    await stage.play("""
        @plugin.on(events.PresenceChanged)
        async def fails(event: events.PresenceChanged) -> None:
            raise ValueError

        @plugin.on(events.PresenceChanged)
        async def sees(event: events.PresenceChanged, store: Store) -> None:
            await store.set("seen " + event.user_id, event.online)

        @plugin.command()
        async def seen(ctx: Context) -> str:
            return str(await ctx.store.get("seen " + ctx.user.id, bool))
    """)
    alice = await stage.person("alice")
    assert await alice.says("/seen") == "True"
    assert "fails failed" in caplog.text


async def test_a_running_handler_ends_before_its_plugin_does(stage: Stage) -> None:
    going = stage.folder / "going"
    bot = await stage.play("""
        from pathlib import Path

        ended = asyncio.Event()

        @plugin.command()
        def slow() -> str:
            with Path(__file__).with_name("going").open() as fifo:
                fifo.read()
            return "by the old one"

        @plugin.shutdown
        async def down(store: Store) -> None:
            await store.set("down", True)
    """)
    os.mkfifo(going)
    alice, bob = await stage.person("alice"), await stage.person("bob")
    await alice.writes("/slow")
    with await asyncio.to_thread(going.open, "w"):  # once the handler reads
        reloading = asyncio.create_task(bot.reload("play"))
        await bob.says("/ping")
        assert not reloading.done()
    await reloading
    assert await alice.hears() == "by the old one"


@pytest.mark.parametrize("rounds", [200])
async def test_reloading_under_traffic_loses_nothing_and_leaves_nothing(
    stage: Stage, rounds: int
) -> None:
    source = """
        @plugin.middleware("inbound")
        async def passing(ctx: Context, call_next: InboundNext) -> None:
            await call_next(ctx)

        @plugin.command()
        async def number(ctx: Context, number: int) -> str:
            return f"{{number}} of {{await ctx.store.incr('count')}}"

        @plugin.job(every="1h")
        async def idle() -> None: ...
    """
    bot = await stage.play(source.format())
    people = [await stage.person(name) for name in ("alice", "bob")]
    stop, answered = asyncio.Event(), asyncio.Event()

    async def talk(place: int) -> int:
        asked = 0
        while not stop.is_set():
            answer = await people[place].says(f"/number {asked}")
            assert answer.startswith(f"{asked} of ")
            asked += 1
            answered.set()
        return asked

    talking = [asyncio.create_task(talk(place)) for place in range(2)]
    await bot.reload("play")
    before = counted()
    for _ in range(rounds):
        await bot.reload("play")
        answered.clear()
        await answered.wait()
    after = counted()
    stop.set()
    asked = sum(await asyncio.gather(*talking))
    assert (await people[0].says("/number 0")).endswith(f" of {asked + 1}")
    assert after <= before + 5
    assert asked >= rounds


def counted() -> int:
    gc.collect()
    kinds = (Table, MessageContext)
    return sum(isinstance(thing, kinds) for thing in gc.get_objects())
