"""Broadcasts where not all is well: outages, people without keys, jobs of other plugins."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from textwrap import dedent

import aiohttp
import pytest
from doubles.log_lines import log_lines
from doubles.raw_client import RawBackend
from doubles.reports import report

from chatbot.testing import ChatWorld, Person

DICE = Path(__file__).parent / "data" / "dice.py"

WEATHER = """
    from chatbot import Plugin
    from chatbot.client.exceptions import BackendError, ConnectionError

    plugin = Plugin("weather")
    tries = {}

    @plugin.middleware("outbound")
    async def rain(out, call_next):
        if out.plugin == "broadcast" and out.cause is None:
            count = tries[out.chat.id] = tries.get(out.chat.id, 0) + 1
            FALL
        return await call_next(out)
"""

OUTAGE = 'if count <= 7: raise ConnectionError("it rains")'
ILLNESS = 'raise BackendError("it is ill", status=500)'


async def start(world: ChatWorld, *plugins: str, team: tuple[str, ...]) -> Person:
    section = {"rate": "1000/1s", "audiences": {"team": team}}
    await world.start_bot(
        ["broadcast", *plugins], owners=["alice"], sections={"broadcast": section}
    )
    return await world.person("alice")


def weather(folder: Path, fall: str) -> str:
    file = folder / "weather.py"
    file.write_text(dedent(WEATHER).replace("FALL", fall))
    return str(file)


async def test_an_outage_is_waited_out(chat_world: ChatWorld, tmp_path: Path) -> None:
    alice = await start(chat_world, weather(tmp_path, OUTAGE), team=("bob",))
    bob = await chat_world.person("bob")
    with log_lines("plugin.broadcast") as log:
        await alice.says("/announce now team news")
        for times in range(1, 8):
            await log.until("broadcast 1 is held up: it rains", times)
            chat_world.advance(timedelta(seconds=31))
    assert await bob.hears() == "news"
    await bob.hears_nothing()


async def test_it_goes_on_when_the_connection_is_back(
    chat_world: ChatWorld, tmp_path: Path
) -> None:
    file = weather(tmp_path, OUTAGE)
    alice = await start(chat_world, file, team=("bob",))
    bob = await chat_world.person("bob")
    with log_lines("plugin.broadcast") as log:
        await alice.says("/announce now team news")
        await log.until("broadcast 1 is held up: it rains")
    weather(tmp_path, "pass")
    await chat_world.restart_bot()
    assert await bob.hears() == "news"
    await bob.hears_nothing()


async def test_one_error_does_not_keep_it_from_the_others(
    chat_world: ChatWorld, tmp_path: Path
) -> None:
    alice = await start(chat_world, weather(tmp_path, ILLNESS), team=("bob",))
    with log_lines("plugin.broadcast") as log:
        await chat_world.person("bob")
        await alice.says("/announce now team news")
        for times in range(1, 5):
            await log.until("broadcast 1 is held up: it is ill", times)
            chat_world.advance(timedelta(seconds=31))
    assert (await report(alice, 1, "done")).endswith("failed:\n@bob: it is ill")


async def test_what_a_plugin_holds_back_is_reported(chat_world: ChatWorld, tmp_path: Path) -> None:
    alice = await start(chat_world, weather(tmp_path, "return None"), team=("bob",))
    bob = await chat_world.person("bob")
    await alice.says("/announce now team news")
    told = await report(alice, 1, "done: 0 of 1 sent")
    assert told.endswith("failed:\n@bob: a plugin held it back")
    await bob.hears_nothing()


async def test_whoever_has_no_keys_is_reported(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, team=("bob", "keyless"))
    bob = await chat_world.person("bob")
    async with aiohttp.ClientSession() as http:
        await RawBackend(chat_world.server.url, http).register("keyless")
    await alice.says("/announce now team news")
    assert await bob.hears() == "news"
    told = await report(alice, 1, "done: 1 of 2 sent")
    assert told.endswith("failed:\n@keyless: has published no keys")


async def test_the_designs_job_reaches_its_team(chat_world: ChatWorld) -> None:
    alice = await start(chat_world, str(DICE), team=("alice", "bob"))
    bob = await chat_world.person("bob")
    for day in range(3):
        chat_world.advance(timedelta(days=7))
        heard = {await alice.hears(), await bob.hears()}
        assert heard == {"Stand-up in 10 minutes"}, day
        assert len((await alice.says("/broadcast")).splitlines()) == day + 1


async def test_a_job_that_names_no_audience_fails_and_says_so(chat_world: ChatWorld) -> None:
    await chat_world.start_bot(["broadcast", str(DICE)])
    with log_lines("chatbot.runtime.jobs") as log:
        chat_world.advance(timedelta(days=7))
        await log.until("job dice:job:standup failed")


async def test_a_picture_is_broadcast_too(chat_world: ChatWorld, tmp_path: Path) -> None:
    file = tmp_path / "pictures.py"
    file.write_text(
        dedent("""
        import base64
        from chatbot import Bot, Image, Plugin, Reply

        plugin = Plugin("pictures")
        PIXEL = base64.b64decode(
            "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5E"
            "rkJggg=="
        )

        @plugin.command()
        async def show(bot: Bot) -> str:
            image = Image(data=PIXEL, mime="image/png")
            return await bot.broadcast("team", Reply("one pixel", image=image))

        @plugin.command()
        async def wrong(bot: Bot, audience: str, text: str) -> str:
            try:
                return await bot.broadcast(audience, text)
            except ValueError as error:
                return str(error)
        """)
    )
    alice = await start(chat_world, str(file), team=("bob",))
    bob = await chat_world.person("bob")
    assert await bob.says("/ping") == "pong"  # so that the bot knows what bob reads
    assert await alice.says("/show") == "1"
    message = await bob.receives()
    assert message.image is not None
    assert message.image.data.startswith(b"\x89PNG")
    assert (message.content, message.image.caption) == ("one pixel", "one pixel")
    assert "there is no audience" in await alice.says("/wrong nobody text")
    assert await alice.says('/wrong team ""') == "there is nothing to send: the text is empty"


@pytest.mark.parametrize(
    ("section", "problem"),
    [
        ({"rate": "fast"}, "plugins.broadcast.rate: expected a rate"),
        ({"audiences": {"The Team": []}}, "plugins.broadcast.audiences.The Team"),
        ({"audiences": {"team": [""]}}, "plugins.broadcast.audiences.team.0"),
        ({"open": ["a b"]}, "plugins.broadcast.open.0"),
        ({"keep": 0}, "plugins.broadcast.keep"),
        ({"audience": {}}, "plugins.broadcast.audience: unknown key; did you mean audiences?"),
    ],
)
async def test_a_wrong_configuration_is_named(
    chat_world: ChatWorld, section: dict[str, object], problem: str
) -> None:
    with pytest.raises(Exception, match="broadcast") as raised:
        await chat_world.start_bot(["broadcast"], sections={"broadcast": section})
    assert problem in str(raised.value)
