"""More comes in than is handled: memory stays flat, order holds, and nobody else has to wait."""

from __future__ import annotations

from doubles.stage import Stage

from chatbot.client.messaging.inbox import SHARE

FLOOD = SHARE + 50


async def test_one_who_floods_fills_no_memory_and_keeps_nobody_waiting(stage: Stage) -> None:
    bot = await stage.play("""
        gate = asyncio.Event()

        @plugin.command()
        async def slow(number: int) -> str:
            await gate.wait()
            return str(number)

        @plugin.command("open")
        async def open_gate() -> str:
            gate.set()
            return "open"
    """)
    mallory, bob = await stage.person("mallory"), await stage.person("bob")
    for number in range(FLOOD):
        message = await mallory.writes(f"/slow {number}")
        assert message.status != "pending"  # the bot was there to take it
    assert await bob.says("/ping") == "pong"
    gauges = await bot.gauges()
    assert gauges is not None
    assert gauges.in_memory <= SHARE
    assert gauges.inbox > SHARE  # the rest waits on the disk
    assert await bob.says("/open") == "open"
    assert [await mallory.hears() for _ in range(FLOOD)] == [str(n) for n in range(FLOOD)]
