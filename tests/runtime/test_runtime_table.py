from __future__ import annotations

import pytest

from chatbot import Bot, Context, Plugin, events
from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.endpoints import JobEndpoint
from chatbot.runtime.table import Table, build_table


async def handler(ctx: Context) -> None: ...
async def tick(bot: Bot) -> None: ...
async def seen(event: events.PresenceChanged) -> None: ...


def table() -> Table:
    plugins = []
    for name in ("a", "b"):
        plugin = Plugin(name)
        plugin.command(name)(handler)
        plugin.filter(priority=1)(handler)
        plugin.filter()(handler)
        plugin.job(every="1m")(tick)
        plugin.startup(tick)
        plugin.on(events.PresenceChanged)(seen)
        plugins.append(compile_plugin(plugin)[0])
    return build_table(plugins)


def test_everything_is_found_by_what_it_is_looked_up_by() -> None:
    built = table()
    assert list(built.plugins) == ["a", "b"]
    assert list(built.jobs) == ["a:job:tick", "b:job:tick"]
    assert [hook.plugin for hook in built.observers[events.PresenceChanged]] == ["a", "b"]
    assert events.IdentityChanged not in built.observers
    assert [endpoint.key for endpoint in built.before] == ["a:filter:handler", "b:filter:handler"]
    assert [endpoint.key for endpoint in built.after] == [
        "a:filter:handler#2",
        "b:filter:handler#2",
    ]


def test_nothing_of_it_can_be_changed() -> None:
    built = table()
    job: JobEndpoint = next(iter(built.jobs.values()))
    with pytest.raises(TypeError):
        built.jobs["x"] = job  # type: ignore[index] # the point
    with pytest.raises(AttributeError):
        built.before = ()  # type: ignore[misc] # the point


def test_without_plugins_there_is_an_empty_one() -> None:
    empty = build_table([])
    assert empty.commands.find("a") is None
    assert not empty.plugins
    assert Table().before == ()
