from __future__ import annotations

import logging
from types import ModuleType
from typing import Any

import pytest

from chatbot import Plugin, events, hookimpl
from chatbot.plugins.hooks import Hooks


def by_hand(name: str, log: list[str], *, failing: bool = False) -> tuple[Plugin, object]:
    """A plugin whose module implements every hook."""
    plugin = Plugin(name)

    @hookimpl
    def chatbot_declare() -> Plugin:
        return plugin

    @hookimpl
    def chatbot_setup(plugin: Plugin, config: Any) -> None:
        log.append(f"{plugin.name} setup {config}")

    @hookimpl
    def chatbot_started(plugin: Plugin) -> None:
        log.append(f"{name} started {plugin.name}")

    @hookimpl
    def chatbot_stopped() -> None:
        log.append(f"{name} stopped")

    @hookimpl
    def chatbot_event(event: events.Event) -> None:
        if failing:
            raise RuntimeError(name)
        log.append(f"{name} saw {type(event).__name__}")

    functions = (chatbot_declare, chatbot_setup, chatbot_started, chatbot_stopped, chatbot_event)
    module = ModuleType(name)
    vars(module).update({function.__name__: function for function in functions})
    return plugin, module


def test_each_plugin_is_called_for_itself() -> None:
    log: list[str] = []
    hooks, first, second = Hooks(), by_hand("a", log), by_hand("b", log)
    for plugin, implementations in (first, second):
        hooks.register(plugin, implementations)
    hooks.setup(first[0], 5)
    hooks.started(second[0])
    hooks.stopped(first[0])
    assert log == ["a setup 5", "b started b", "a stopped"]


def test_everybody_sees_an_event_whoever_fails(caplog: pytest.LogCaptureFixture) -> None:
    log: list[str] = []
    hooks = Hooks()
    for name, failing in (("a", False), ("b", True), ("c", False)):
        hooks.register(*by_hand(name, log, failing=failing))
    with caplog.at_level(logging.ERROR):
        hooks.event(events.ConnectionChanged("connected"))
    assert sorted(log) == ["a saw ConnectionChanged", "c saw ConnectionChanged"]
    assert [record.getMessage() for record in caplog.records] == [
        "plugin b: its hook chatbot_event failed"
    ]


def test_taking_a_plugin_out_takes_its_hooks_out() -> None:
    log: list[str] = []
    hooks, (plugin, implementations) = Hooks(), by_hand("a", log)
    unregister = hooks.register(plugin, implementations)
    with pytest.raises(ValueError, match="a"):
        hooks.register(plugin, implementations)
    unregister()
    hooks.event(events.ConnectionChanged("connected"))
    assert log == []
    hooks.register(plugin, implementations)


def test_an_ordinary_plugin_is_a_pluggy_plugin() -> None:
    hooks, plugin = Hooks(), Plugin("plain")
    hooks.register(plugin, plugin)
    hooks.setup(plugin, None)
    hooks.event(events.ConnectionChanged("connected"))
    assert plugin.chatbot_declare() is plugin
