"""The pluggy hooks. Most plugins never see them: a `Plugin` implements them itself.

A module that implements them by hand is a plugin too:

    from chatbot import Plugin, hookimpl

    @hookimpl
    def chatbot_declare() -> Plugin:
        plugin = Plugin("clock")
        plugin.command("now")(now)
        return plugin

pluggy runs all of them, and pluggy cannot await: all are synchronous. What needs the running bot
is declared on the `Plugin` (`startup`, `shutdown`, `on`), where it may be async and asks for what
it needs by type. The last three hooks here are for what only wants to know.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pluggy

if TYPE_CHECKING:
    from chatbot.plugins.events import Event
    from chatbot.plugins.plugin import Plugin

PROJECT: Final = "chatbot"
"""pluggy's name for us, and the prefix of every hook."""

hookspec: Final = pluggy.HookspecMarker(PROJECT)
hookimpl: Final = pluggy.HookimplMarker(PROJECT)
"""Marks a function as an implementation of the hook whose name it has."""


@hookspec(firstresult=True)
def chatbot_declare() -> Plugin:  # type: ignore[empty-body] # a specification has none
    """Return the plugin and its declarations. Called once, when it is loaded."""


@hookspec
def chatbot_setup(plugin: Plugin, config: Any) -> None:
    """Prepare, with the validated configuration, before anything is connected.

    Where it raises, the plugin is left out.

    Args:
        plugin: as it was declared.
        config: an instance of its model, None where it has none.
    """


@hookspec
def chatbot_started(plugin: Plugin) -> None:
    """The plugin's `startup` functions have run; messages may come now."""


@hookspec
def chatbot_stopped(plugin: Plugin) -> None:
    """The plugin's `shutdown` functions have run; it is about to be forgotten."""


@hookspec
def chatbot_event(event: Event) -> None:
    """Something happened (`chatbot.events`). Must return at once."""
