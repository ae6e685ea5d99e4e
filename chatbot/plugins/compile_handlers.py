"""Filters, jobs, hooks and middleware."""

from __future__ import annotations

import inspect
from dataclasses import replace
from operator import attrgetter
from typing import cast, get_args

from chatbot.plugins.declarations import (
    FilterDeclaration,
    HookDeclaration,
    JobDeclaration,
    MiddlewareDeclaration,
    Misfire,
)
from chatbot.plugins.endpoints import (
    FilterEndpoint,
    Handler,
    HookEndpoint,
    JobEndpoint,
    MiddlewareEntry,
    Schedule,
)
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.events import Event
from chatbot.plugins.injection import check_given, given_only, plan_call
from chatbot.plugins.onion import Direction
from chatbot.plugins.parameters import (
    MISSING,
    Argument,
    Parameter,
    build_argument,
    read_signature,
)
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.providers import Provider, Types
from chatbot.plugins.signatures import (
    analyse,
    check_name,
    duration,
    kind_of,
    limit,
    one_of,
    plain_rule,
)


def compile_filter(
    plugin: Plugin, declared: FilterDeclaration, key: str, types: Types
) -> FilterEndpoint:
    """One filter and its handler.

    Raises:
        DeclarationError: a bad condition or option, or parameters that nothing fills.
    """
    check = declared.condition.compile()
    handler, left = analyse(
        declared.function,
        types,
        on_messages=True,
        in_groups=declared.condition.places() == {"group"},
    )
    return FilterEndpoint(
        key=key,
        plugin=plugin.name,
        source=declared.source,
        handler=handler,
        timeout=duration("timeout", declared.timeout),
        check=check,
        priority=declared.priority,
        stop=declared.stop,
        rule=plain_rule(plugin.name, declared.function),
        limit=limit(declared.cooldown),
        captured=tuple(_captured(parameter, declared, types) for parameter in left),
    )


def _captured(parameter: Parameter, declared: FilterDeclaration, types: Types) -> Argument:
    names = declared.condition.captures()
    if parameter.name not in names:
        found = ", ".join(sorted(names)) or "none"
        raise DeclarationError(
            f"parameter {parameter.name!r} is neither given nor a named group of the condition "
            f"(groups: {found}; {types.describe()})"
        )
    argument = build_argument(parameter, types.converters)
    if argument.many is not None:
        raise DeclarationError(f"parameter {parameter.name!r}: a named group is one value")
    if argument.required and parameter.name not in declared.condition.certain():
        raise DeclarationError(
            f"parameter {parameter.name!r} needs a default: the condition may hold without it"
        )
    # A handler's parameter keeps its own name, even where an option would be spelled "--name".
    return replace(argument, name=parameter.name)


def compile_job(plugin: Plugin, declared: JobDeclaration, types: Types) -> JobEndpoint:
    """One job.

    Raises:
        DeclarationError: a bad name or option, several times, or parameters that nothing fills.
    """
    check_name(declared.name)
    one_of("misfire", declared.misfire, get_args(Misfire))
    handler, left = analyse(declared.function, types, on_messages=False)
    schedule = _schedule(declared)
    empty = [p.name for p in left if p.default is MISSING]
    if schedule is not None and empty:
        raise DeclarationError(
            f"parameter {empty[0]!r}: nothing gives it to a job that runs by itself "
            f"({types.describe()})"
        )
    if any(p.kind == "spread" for p in left):
        raise DeclarationError("a job's arguments have names: no *args")
    return JobEndpoint(
        key=f"{plugin.name}:job:{declared.name}",
        plugin=plugin.name,
        source=declared.source,
        handler=handler,
        timeout=duration("timeout", declared.timeout),
        name=declared.name,
        schedule=schedule,
        misfire=cast("Misfire", declared.misfire),
        data=left,
    )


def _schedule(declared: JobDeclaration) -> Schedule | None:
    times = [declared.cron, declared.every, declared.at]
    if len([given for given in times if given is not None]) > 1:
        raise DeclarationError("only one of cron, every and at can say when")
    if all(given is None for given in times):
        return None
    return Schedule(
        cron=declared.cron,
        every=duration("every", declared.every),
        at=declared.at,
        jitter=duration("jitter", declared.jitter) or 0,
        timezone=declared.timezone,
    )


def compile_hook(plugin: Plugin, declared: HookDeclaration, key: str, types: Types) -> HookEndpoint:
    """One `startup`, `shutdown` or event function.

    Raises:
        DeclarationError: an unknown event, or parameters that nothing gives.
    """
    if declared.hook == "event":
        if declared.event not in get_args(Event):
            known = ", ".join(event.__name__ for event in get_args(Event))
            raise DeclarationError(f"{declared.event!r} is no event; events are {known}")
        types = types.joined(Types({declared.event: Provider(attrgetter("event"))}))
    parameters = read_signature(declared.function)
    given = given_only(parameters, types)
    check_given(given, on_messages=False, in_groups=False)
    return HookEndpoint(
        key=key,
        plugin=plugin.name,
        source=declared.source,
        handler=Handler(
            plan_call(declared.function, parameters, given), kind_of(declared.function)
        ),
        hook=declared.hook,
        event=declared.event,
    )


def compile_middleware(plugin: Plugin, declared: MiddlewareDeclaration) -> MiddlewareEntry:
    """One middleware.

    Raises:
        DeclarationError: not an async function of two parameters, or no such direction.
    """
    one_of("direction", declared.direction, get_args(Direction))
    try:
        inspect.signature(declared.function).bind(None, None)
    except TypeError:
        first = "ctx" if declared.direction == "inbound" else "out"
        raise DeclarationError(f"a middleware takes ({first}, call_next)") from None
    if kind_of(declared.function) != "async":
        raise DeclarationError("a middleware must be async: async def")
    return MiddlewareEntry(
        plugin=plugin.name,
        source=declared.source,
        function=declared.function,
        direction=cast("Direction", declared.direction),
        order=declared.order,
    )
