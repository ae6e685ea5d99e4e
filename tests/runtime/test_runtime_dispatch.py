from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from doubles.plugin_world import BOB, MemoryGroup, MemoryHost, say

from chatbot import Context, Message, Plugin, Role, UsageError, filters
from chatbot.plugins.compiler import compile_plugin
from chatbot.runtime.table import Table, build_table

GROUP = MemoryGroup()


class Even(int):
    """A type of the plugin's own."""


def table(*plugins: Plugin) -> Table:
    compiled = []
    for plugin in plugins:
        result, problems = compile_plugin(plugin)
        assert problems == ()
        compiled.append(result)
    return build_table(compiled)


def answering(text: str) -> Callable[..., Any]:
    async def handler(ctx: Context) -> str:
        return f"{text} {ctx.message.content}"

    handler.__name__ = text
    return handler


async def test_filters_of_a_higher_priority_see_commands_too() -> None:
    plugin = Plugin("demo")
    plugin.command("go")(answering("command"))
    plugin.filter(priority=5, stop=False)(answering("five"))
    plugin.filter(priority=9, stop=False)(answering("nine"))
    plugin.filter()(answering("zero"))
    assert await say(table(plugin), "/go") == ["nine /go", "five /go", "command /go"]
    assert await say(table(plugin), "go") == ["nine go", "five go", "zero go"]


async def test_a_filter_that_stops_keeps_the_message_from_all_behind_it() -> None:
    plugin = Plugin("demo")
    plugin.command("go")(answering("command"))
    plugin.filter(text="/go", priority=1)(answering("first"))
    plugin.filter(text="stop")(answering("second"))
    plugin.filter()(answering("third"))
    assert await say(table(plugin), "/go") == ["first /go"]
    assert await say(table(plugin), "stop") == ["second stop"]
    assert await say(table(plugin), "else") == ["third else"]


async def test_filters_of_one_priority_keep_their_order_across_plugins() -> None:
    first, second = Plugin("first"), Plugin("second")
    second.filter(stop=False)(answering("b"))
    first.filter(stop=False)(answering("a"))
    first.filter(stop=False, priority=-1)(answering("c"))
    assert await say(table(first, second), "x") == ["a x", "b x", "c x"]


async def test_unknown_commands_are_answered_in_direct_chats_only() -> None:
    plugin = Plugin("demo")
    plugin.command("roll")(answering("roll"))
    assert await say(table(plugin), "/rol 6") == ['There is no command "rol". Did you mean /roll?']
    assert await say(table(plugin), "/x\u202e\x00") == ['There is no command "x<U+202E><U+0000>".']
    assert await say(table(plugin), "/rol 6", group=GROUP) == []


async def test_what_a_filter_takes_is_no_unknown_command() -> None:
    plugin = Plugin("demo")
    plugin.filter(regex=r"^/\d+d\d+$")(answering("dice"))
    assert await say(table(plugin), "/2d6") == ["dice /2d6"]


async def test_a_group_without_a_command_of_its_own_lists_what_is_below() -> None:
    plugin = Plugin("demo")
    tag = plugin.group("tag")
    tag.command("show", aliases=["s"])(answering("show"))
    tag.command("drop", role="admin")(answering("drop"))
    tag.command("debug", hidden=True)(answering("debug"))
    tag.group("inner").command("deep")(answering("deep"))
    built = table(plugin)
    assert await say(built, "/tag what") == ["Below /tag there are:\n/tag inner\n/tag show"]
    (owners,) = await say(built, "/tag", role=Role.OWNER)
    assert "/tag drop" in owners
    host = MemoryHost()
    host.hidden = True
    assert await say(built, "/tag", host=host) == ["There is nothing for you below /tag."]


async def test_who_is_not_admitted_gets_no_further() -> None:
    plugin = Plugin("demo")
    plugin.command("go")(answering("command"))
    plugin.filter(text="x")(answering("filter"))
    plugin.filter()(answering("other"))
    host = MemoryHost(refused=["demo:/go", "demo:filter:filter"])
    assert await say(table(plugin), "/go too many words", host=host) == []
    assert await say(table(plugin), "x", host=host) == ["other x"]
    assert await say(table(plugin), "y", host=MemoryHost(refused=[BOB.id]), user=BOB) == []
    assert host.ran == ["demo:filter:other"]


async def test_a_filter_that_raises_is_reported_and_passed_over() -> None:
    def broken(ctx: Context) -> bool:
        raise RuntimeError(ctx.prefix)

    plugin = Plugin("demo")
    plugin.filter(filters.predicate(broken))(answering("never"))
    plugin.filter()(answering("other"))
    host = MemoryHost()
    assert await say(table(plugin), "x", host=host) == ["other x"]
    ((key, error),) = host.failures
    assert (key, repr(error)) == ("demo:filter:never", "RuntimeError('/')")


async def test_what_a_filter_captured_must_convert() -> None:
    async def issue(number: int) -> str:
        return str(number)

    plugin = Plugin("demo")
    plugin.filter(regex=r"#(?P<number>\w+)")(issue)
    plugin.filter()(answering("other"))
    assert await say(table(plugin), "#12") == ["12"]
    assert await say(table(plugin), "#ab") == ["other #ab"]


async def test_answers_come_bit_by_bit() -> None:
    async def count(ctx: Context, to: int) -> AsyncIterator[str]:
        for number in range(to):
            yield f"{ctx.user.username} {number}"

    def blocking(message: Message) -> str:
        return message.content.upper()

    plugin = Plugin("demo")
    plugin.command("count")(count)
    plugin.command("shout")(blocking)
    assert await say(table(plugin), "/count 2") == ["alice 0", "alice 1"]
    assert await say(table(plugin), "/shout") == ["/SHOUT"]


@pytest.mark.parametrize("text", ["/add", "/add x", '/add "1', "/add 1 2", "/add \x00"])
async def test_wrong_arguments_get_usage_in_groups_too(text: str) -> None:
    async def add(number: int) -> str:
        return str(number)

    plugin = Plugin("demo")
    plugin.command("add")(add)
    for group in (None, GROUP):
        (answer,) = await say(table(plugin), text, group=group)
        assert answer.endswith("\nusage: /add <number>")


async def test_a_converters_own_words_are_answered() -> None:
    plugin = Plugin("demo")

    @plugin.converter(Even)
    def even(text: str) -> Even:
        if int(text) % 2:
            raise UsageError("only even numbers")
        return Even(text)

    async def half(number: Even) -> str:
        return str(number // 2)

    plugin.command("half")(half)
    assert await say(table(plugin), "/half 4") == ["2"]
    assert await say(table(plugin), "/half 3") == ["only even numbers\nusage: /half <number>"]
    expected = 'number: expected a Even\ngot: "x"\nusage: /half <number>'
    assert await say(table(plugin), "/half x") == [expected]
