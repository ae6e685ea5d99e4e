"""All that an assembly of plugins comes to at run time, as one immutable object.

Whoever handles a message takes the table once and keeps to it, so that a reload, which swaps in
another, never shows anybody half of each.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from chatbot.plugins.endpoints import (
    CompiledPlugin,
    FilterEndpoint,
    HookEndpoint,
    JobEndpoint,
    MiddlewareEntry,
)
from chatbot.runtime.middleware import ordered
from chatbot.runtime.routing import Commands, build_commands


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Table:
    """One generation of a bot's plugins.

    Attributes:
        plugins: by name, in the order to start them in.
        before: filters that see commands too, highest priority first.
        after: filters for what is no command, highest priority first.
        inbound: outermost first.
        outbound: outermost first.
        jobs: by key.
        observers: by event class.
    """

    plugins: Mapping[str, CompiledPlugin] = field(default_factory=dict)
    commands: Commands = field(default_factory=Commands)
    before: tuple[FilterEndpoint, ...] = ()
    after: tuple[FilterEndpoint, ...] = ()
    inbound: tuple[MiddlewareEntry, ...] = ()
    outbound: tuple[MiddlewareEntry, ...] = ()
    jobs: Mapping[str, JobEndpoint] = field(default_factory=dict)
    observers: Mapping[type, tuple[HookEndpoint, ...]] = field(default_factory=dict)


def build_table(plugins: Sequence[CompiledPlugin]) -> Table:
    """Index everything once.

    Args:
        plugins: `Assembly.compiled`: in the order to start them in, and without clashes.
    """
    middleware = [entry for plugin in plugins for entry in plugin.middleware]
    filters = sorted(
        (endpoint for plugin in plugins for endpoint in plugin.filters),
        key=lambda endpoint: -endpoint.priority,
    )
    return Table(
        plugins=MappingProxyType({plugin.name: plugin for plugin in plugins}),
        commands=build_commands(plugins),
        before=tuple(endpoint for endpoint in filters if endpoint.priority > 0),
        after=tuple(endpoint for endpoint in filters if endpoint.priority <= 0),
        inbound=ordered(middleware, "inbound"),
        outbound=ordered(middleware, "outbound"),
        jobs=MappingProxyType({job.key: job for plugin in plugins for job in plugin.jobs}),
        observers=_observers(plugins),
    )


def _observers(plugins: Sequence[CompiledPlugin]) -> Mapping[type, tuple[HookEndpoint, ...]]:
    found: dict[type, tuple[HookEndpoint, ...]] = {}
    for plugin in plugins:
        for hook in plugin.hooks:
            if hook.event is not None:
                found[hook.event] = (*found.get(hook.event, ()), hook)
    return MappingProxyType(found)
