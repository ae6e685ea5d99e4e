"""Commands and the groups they hang below."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import reduce
from typing import TypeAlias, cast, get_args

from chatbot.plugins.access import ROLES, Chats, Role, Rule
from chatbot.plugins.arguments import compile_parser
from chatbot.plugins.declarations import Access, CommandDeclaration, GroupDeclaration
from chatbot.plugins.endpoints import CommandEndpoint, CommandGroupEntry
from chatbot.plugins.errors import DeclarationError
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.providers import Types
from chatbot.plugins.signatures import analyse, check_name, duration, limit, one_of, summary_of

Groups: TypeAlias = Mapping[tuple[str, ...], GroupDeclaration]


def groups_of(plugin: Plugin) -> Groups:
    """The plugin's groups by path; of several with one path the first."""
    declared = [d for d in plugin.declarations if isinstance(d, GroupDeclaration)]
    return {d.path: d for d in reversed(declared)}


def compile_group(plugin: Plugin, declared: GroupDeclaration) -> CommandGroupEntry:
    """One group.

    Raises:
        DeclarationError: a name that nobody could type, or a wrong option.
    """
    for name in (declared.path[-1], *declared.aliases):
        check_name(name)
    _check(declared.access)
    return CommandGroupEntry(
        plugin=plugin.name,
        source=declared.source,
        path=_folded(declared.path),
        aliases=_folded(declared.aliases),
        description=declared.description or "",
        hidden=declared.hidden,
    )


def compile_command(
    plugin: Plugin, declared: CommandDeclaration, groups: Groups, types: Types
) -> CommandEndpoint:
    """One command.

    Raises:
        DeclarationError: a name that nobody could type, a wrong option, or parameters that cannot
            be filled.
    """
    for name in (declared.path[-1], *declared.aliases):
        check_name(name)
    above = [groups[path] for path in _above(declared.path) if path in groups]
    rule = _rule(plugin, declared, above)
    handler, left = analyse(
        declared.function, types, on_messages=True, in_groups=rule.chats == "group"
    )
    return CommandEndpoint(
        key=f"{plugin.name}:/{' '.join(_folded(declared.path))}",
        plugin=plugin.name,
        source=declared.source,
        handler=handler,
        timeout=duration("timeout", declared.timeout),
        path=_folded(declared.path),
        aliases=_folded(declared.aliases),
        rule=rule,
        limit=limit(declared.cooldown),
        parser=compile_parser(left, types.converters, types.describe()),
        hidden=declared.hidden or any(group.hidden for group in above),
        description=_description(declared, groups),
    )


def _description(declared: CommandDeclaration, groups: Groups) -> str:
    own = groups.get(declared.path)
    given = declared.description if own is None else own.description
    return summary_of(declared.function, given)


def _above(path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """The path's own group too: what a group asks, its own command asks."""
    return (path[:length] for length in range(1, len(path) + 1))


def _folded(names: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(name.casefold() for name in names)


def _rule(plugin: Plugin, declared: CommandDeclaration, above: list[GroupDeclaration]) -> Rule:
    accesses = [*(group.access for group in above), declared.access]
    for access in accesses:
        _check(access)
    role = max(ROLES[access.role] for access in accesses)
    own = declared.access.privileged
    privileged = role > Role.MEMBER if own is None else own
    return Rule(
        permission=declared.permission or ".".join((plugin.name, *_folded(declared.path))),
        chats=reduce(_narrower, (cast("Chats", access.chats) for access in accesses)),
        role=role,
        privileged=privileged or any(group.access.privileged for group in above),
        verified=any(access.verified for access in accesses),
    )


def _check(access: Access) -> None:
    one_of("role", access.role, ROLES)
    one_of("chats", access.chats, get_args(Chats))


def _narrower(one: Chats, other: Chats) -> Chats:
    if "any" in {one, other} or one == other:
        return other if one == "any" else one
    raise DeclarationError(f'chats="{other}" below a group with chats="{one}": nobody could use it')
