"""Where the values that handlers are given come from, by type.

A type has a provider or a converter, never both: a parameter is either given or read.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from operator import attrgetter
from types import MappingProxyType
from typing import Any, Final, TypeAlias

from chatbot.client.models import Message
from chatbot.plugins.annotations import BUILT_IN, type_name
from chatbot.plugins.context import Bot, Context, Group, Scope
from chatbot.plugins.conversion import Converter
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.services import Scheduler, Sql, Store

Provide: TypeAlias = Callable[[Any], Any]
"""A handler's scope to the value, or to an awaitable of it."""


@dataclass(frozen=True, slots=True)
class Provider:
    """Where the values of one type come from.

    Attributes:
        provide: called with the scope for each handler call.
        suspends: whether it returns an awaitable.
        needs_message: it works where a message is handled, not in jobs and event observers.
        needs_group: what it gives is None in 1:1.
    """

    provide: Provide
    suspends: bool = False
    needs_message: bool = False
    needs_group: bool = False


ON_MESSAGES: Final[Mapping[object, Provider]] = MappingProxyType(
    {
        Context: Provider(lambda scope: scope, needs_message=True),
        Message: Provider(attrgetter("message"), needs_message=True),
        Group: Provider(attrgetter("group"), needs_message=True, needs_group=True),
    }
)
EVERYWHERE: Final[Mapping[object, Provider]] = MappingProxyType({Bot: Provider(attrgetter("bot"))})
_SERVICES: Final[Mapping[object, str]] = MappingProxyType(
    {Store: "store", Sql: "sql", Scheduler: "scheduler", logging.Logger: "logger"}
)


@dataclass(frozen=True, slots=True)
class Types:
    """What one plugin's handlers may ask for.

    Attributes:
        providers: by type: built-in ones, the plugin's own, those of plugins it requires.
        converters: the same, without the built-in ones.
    """

    providers: Mapping[object, Provider] = field(default_factory=dict)
    converters: Mapping[object, Converter] = field(default_factory=dict)

    def joined(self, other: Types) -> Types:
        """Both; of a type in both, the other's."""
        return Types({**self.providers, **other.providers}, {**self.converters, **other.converters})

    def check_free(self, kind: object) -> None:
        """Make sure that `kind` has neither a provider nor a converter yet.

        Raises:
            DeclarationError: it has.
        """
        if kind in self.providers:
            raise DeclarationError(f"{type_name(kind)} has a provider already")
        if kind in self.converters or kind in BUILT_IN:
            raise DeclarationError(f"{type_name(kind)} has a converter already")

    def describe(self) -> str:
        """What there is, for error messages."""
        given = ", ".join(sorted(map(type_name, self.providers)))
        read = ", ".join(sorted(map(type_name, {**BUILT_IN, **self.converters})))
        return f"given: {given}; read from text: {read}, Literal, Enum, list, Rest, Url"


def types_of(
    plugin: str, model: type | None, config: object, extra: Mapping[object, Provider]
) -> Types:
    """What every plugin has from the start.

    Args:
        plugin: its name; services are its own even where another plugin uses its providers.
        model: the class of its configuration, None where it has none.
        config: an instance of that.
        extra: further types that the runtime gives, such as `PluginControl`.
    """
    services = {kind: Provider(_service(plugin, name)) for kind, name in _SERVICES.items()}
    own: dict[object, Provider] = {}
    if model is not None:
        own[model] = Provider(lambda _scope: config)
    return Types({**EVERYWHERE, **ON_MESSAGES, **services, **extra, **own})


def _service(plugin: str, name: str) -> Provide:
    def provide(scope: Scope) -> Any:
        return getattr(scope.services(plugin), name)

    return provide
