"""Calling the pluggy hooks of one bot's plugins, each plugin on its own."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import pluggy

from chatbot.plugins import hookspecs
from chatbot.plugins.events import Event
from chatbot.plugins.hookspecs import PROJECT
from chatbot.plugins.plugin import Plugin

logger: Final = logging.getLogger(__name__)


class Hooks:
    """One bot's pluggy manager. What one plugin's hook raises never reaches another's."""

    __slots__ = ("_manager",)

    def __init__(self) -> None:
        self._manager = pluggy.PluginManager(PROJECT)
        self._manager.add_hookspecs(hookspecs)

    def register(self, plugin: Plugin, hooks: object) -> Callable[[], None]:
        """Register a plugin; calling what is returned takes it out again.

        Raises:
            ValueError: a plugin of that name is registered.
        """
        self._manager.register(hooks, plugin.name)

        def unregister() -> None:
            self._manager.unregister(hooks, plugin.name)

        return unregister

    def setup(self, plugin: Plugin, config: object) -> None:
        """Run `chatbot_setup` of one plugin; what it raises goes through."""
        self._call(plugin.name, "chatbot_setup", plugin=plugin, config=config)

    def started(self, plugin: Plugin) -> None:
        """Run `chatbot_started` of one plugin; what it raises is logged."""
        self._observe(plugin.name, "chatbot_started", plugin=plugin)

    def stopped(self, plugin: Plugin) -> None:
        """Run `chatbot_stopped` of one plugin; what it raises is logged."""
        self._observe(plugin.name, "chatbot_stopped", plugin=plugin)

    def event(self, event: Event) -> None:
        """Run `chatbot_event` of every plugin that has it; what they raise is logged."""
        for implementation in self._manager.hook.chatbot_event.get_hookimpls():
            self._observe(implementation.plugin_name, "chatbot_event", event=event)

    def _observe(self, name: str, hook: str, **arguments: Any) -> None:
        try:
            self._call(name, hook, **arguments)
        except Exception:
            logger.exception("plugin %s: its hook %s failed", name, hook)

    def _call(self, name: str, hook: str, **arguments: Any) -> None:
        others = [p for other, p in self._manager.list_name_plugin() if other != name and p]
        self._manager.subset_hook_caller(hook, others)(**arguments)
