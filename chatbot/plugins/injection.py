"""How a function is called with what it asks for: some parameters are given, others are read."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

from chatbot.plugins.annotations import take_apart, type_name
from chatbot.plugins.conversion import Converter
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.parameters import MISSING, Parameter, read_signature
from chatbot.plugins.providers import Provider, Types


@dataclass(frozen=True, slots=True)
class Injection:
    """One parameter that is given."""

    parameter: Parameter
    provider: Provider


def split(
    parameters: Iterable[Parameter], types: Types
) -> tuple[tuple[Injection, ...], tuple[Parameter, ...]]:
    """Which parameters are given, and which are left to be read."""
    given: list[Injection] = []
    left: list[Parameter] = []
    for parameter in parameters:
        provider = types.providers.get(_key(parameter))
        if provider is None:
            left.append(parameter)
        else:
            given.append(Injection(parameter, provider))
    return tuple(given), tuple(left)


def _key(parameter: Parameter) -> object:
    core = take_apart(parameter.hint).core
    try:
        hash(core)
    except TypeError:
        return None
    return core


def check_given(injections: Iterable[Injection], *, on_messages: bool, in_groups: bool) -> None:
    """Make sure that what is given is there when the handler is called.

    Args:
        injections: of one handler.
        on_messages: whether it is called for messages.
        in_groups: whether it is called for group messages only.

    Raises:
        DeclarationError: one argument of the error for each that is not.
    """
    wrong = [
        text
        for injection in injections
        if (text := _absence(injection, on_messages=on_messages, in_groups=in_groups))
    ]
    if wrong:
        raise DeclarationError(*wrong)


def _absence(injection: Injection, *, on_messages: bool, in_groups: bool) -> str | None:
    parameter, provider = injection.parameter, injection.provider
    name, kind = parameter.name, type_name(parameter.hint)
    if parameter.kind == "spread":
        return f"parameter '*{name}': a {kind} is given once"
    if provider.needs_message and not on_messages:
        return f"parameter {name!r}: there is no {kind} where no message is handled"
    if provider.needs_group and not in_groups and not take_apart(parameter.hint).optional:
        return f'parameter {name!r}: in 1:1 there is no {kind}: chats="group", or {kind} | None'
    return None


@dataclass(frozen=True, slots=True)
class Slot:
    """One parameter of a call: given by `provider`, or read where that is None."""

    name: str
    provider: Provider | None = None


@dataclass(frozen=True, slots=True)
class Plan:
    """How a function is called: where the value of each parameter comes from.

    Attributes:
        positional: in order.
        options: keyword-only ones.
        spread: the name of its `*names`, None where it has none.
    """

    function: Callable[..., Any]
    positional: tuple[Slot, ...] = ()
    options: tuple[Slot, ...] = ()
    spread: str | None = None

    async def fill(
        self, scope: Any, read: Mapping[str, Any] = MappingProxyType({})
    ) -> tuple[list[Any], dict[str, Any]]:
        """The positional and the keyword arguments of one call.

        Args:
            scope: what providers are called with.
            read: the values that are not given, by parameter name.
        """
        positional = [await _value(slot, scope, read) for slot in self.positional]
        options = {slot.name: await _value(slot, scope, read) for slot in self.options}
        return (positional if self.spread is None else [*positional, *read[self.spread]]), options

    async def call(self, scope: Any, *first: Any) -> Any:
        """Call it with given values alone, behind those in `first`; awaits what it returns."""
        positional, options = await self.fill(scope)
        value = self.function(*first, *positional, **options)
        return await value if inspect.isawaitable(value) else value


async def _value(slot: Slot, scope: Any, read: Mapping[str, Any]) -> Any:
    if slot.provider is None:
        return read[slot.name]
    value = slot.provider.provide(scope)
    return await value if slot.provider.suspends else value


def plan_call(
    function: Callable[..., Any], parameters: Sequence[Parameter], given: Sequence[Injection]
) -> Plan:
    """The plan of a call of `function`, where all but `given` are read."""
    providers = {injection.parameter.name: injection.provider for injection in given}
    slots = {p.name: Slot(p.name, providers.get(p.name)) for p in parameters}
    return Plan(
        function,
        tuple(slots[p.name] for p in parameters if p.kind == "positional"),
        tuple(slots[p.name] for p in parameters if p.kind == "option"),
        next((p.name for p in parameters if p.kind == "spread"), None),
    )


def given_only(parameters: Sequence[Parameter], types: Types) -> tuple[Injection, ...]:
    """All of them as given: what nothing gives keeps its default.

    Raises:
        DeclarationError: one that nothing gives has none.
    """
    given, left = split(parameters, types)
    if any(p.default is MISSING and p.kind != "spread" for p in left):
        raise DeclarationError(*(_ungiven(p, types) for p in left if p.default is MISSING))
    return (*given, *(Injection(p, _constant(p)) for p in left if p.kind != "spread"))


def _ungiven(parameter: Parameter, types: Types) -> str:
    kind = type_name(parameter.hint)
    return f"parameter {parameter.name!r}: nothing gives {kind} ({types.describe()})"


def _constant(parameter: Parameter) -> Provider:
    default = () if parameter.kind == "spread" else parameter.default
    return Provider(lambda _scope: default)


def compile_provider(function: Callable[..., Any], types: Types) -> Provider:
    """The provider that calls `function` with what it asks for itself.

    Raises:
        DeclarationError: a parameter that nothing gives.
    """
    parameters = read_signature(function)
    given = given_only(parameters, types)
    check_given(given, on_messages=True, in_groups=True)
    return Provider(
        plan_call(function, parameters, given).call,
        suspends=True,
        needs_message=any(injection.provider.needs_message for injection in given),
        needs_group=any(map(_needs_group, given)),
    )


def _needs_group(injection: Injection) -> bool:
    return injection.provider.needs_group and not take_apart(injection.parameter.hint).optional


def compile_converter(function: Callable[..., Any], expected: str, types: Types) -> Converter:
    """The converter that calls `function` with the text, and with what else it asks for.

    Raises:
        DeclarationError: no parameter for the text, or one that nothing gives.
    """
    parameters = read_signature(function)
    if not parameters or take_apart(parameters[0].hint).core is not str:
        raise DeclarationError("a converter's first parameter takes the text: str")
    given = given_only(parameters[1:], types)
    check_given(given, on_messages=True, in_groups=False)
    if not given and not inspect.iscoroutinefunction(function):
        return Converter(expected, lambda text, _ctx: function(text))
    plan = plan_call(function, parameters[1:], given)
    return Converter(expected, lambda text, ctx: plan.call(ctx, text), suspends=True)
