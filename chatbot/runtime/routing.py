"""From a message's text to a command: one look-up a name, however many commands there are."""

from __future__ import annotations

import difflib
import heapq
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Final, TypeAlias

from chatbot.plugins.endpoints import CommandEndpoint, CommandGroupEntry, CompiledPlugin
from chatbot.plugins.tokens import first_word

MAX_NAME: Final = 32
"""The longest name a command can have, in characters."""

_SEPARATOR: Final = re.compile(r"\A[\s,:]++")
_SUGGESTIONS: Final = 3
_LENGTH_SLACK: Final = 3
_MEASURED: Final = 12


@dataclass(frozen=True, slots=True)
class Invocation:
    """How commands begin in one chat.

    Attributes:
        prefix: what stands before a command's name, such as "/".
        mention: the bot's username; `@username` works like the prefix.
    """

    prefix: str
    mention: str = ""
    _prefix: str = field(init=False, repr=False)
    _mention: str = field(init=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_prefix", self.prefix.casefold())
        object.__setattr__(self, "_mention", f"@{self.mention}".casefold())

    def body(self, text: str) -> str | None:
        """The text behind prefix or mention, None where it begins with neither."""
        if text[: len(self.prefix)].casefold() == self._prefix:
            body = text[len(self.prefix) :]
            if body and not body[0].isspace():
                return body
        if self.mention and text[: len(self._mention)].casefold() == self._mention:
            return self._behind_mention(text[len(self._mention) :])
        return None

    def _behind_mention(self, text: str) -> str | None:
        if not text or not (text[0].isspace() or text[0] in ",:"):
            return None
        body = _SEPARATOR.sub("", text, count=1)
        if self.prefix and body[: len(self.prefix)].casefold() == self._prefix:
            body = body[len(self.prefix) :]
        return body if body and not body[0].isspace() else None


@dataclass(frozen=True, slots=True, eq=False)
class Node:
    """A name in the tree of commands.

    Attributes:
        endpoint: what the name alone does; None where it only leads on.
        children: names below it, case-folded, aliases among them.
    """

    path: tuple[str, ...]
    endpoint: CommandEndpoint | None = None
    group: CommandGroupEntry | None = None
    children: Mapping[str, Node] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Route:
    """A command was named.

    Attributes:
        arguments: what was typed behind its name.
    """

    node: Node
    arguments: str


@dataclass(frozen=True, slots=True)
class Unknown:
    """Something was called for that is no command.

    Attributes:
        name: as it was typed.
    """

    name: str


Routed: TypeAlias = Route | Unknown | None
"""None is ordinary text."""


@dataclass(frozen=True, slots=True, eq=False)
class Commands:
    """Every command of a bot. Immutable; a reload makes another."""

    roots: Mapping[str, Node] = field(default_factory=dict)

    def route(self, text: str, invocation: Invocation) -> Routed:
        """The command that `text` names, in time that does not depend on how many there are."""
        body = invocation.body(text)
        if body is None:
            return None
        name, rest = first_word(body)
        node = self.roots.get(name.casefold()) if len(name) <= MAX_NAME else None
        return Unknown(name) if node is None else _descend(node, rest)

    def find(self, name: str) -> CommandEndpoint | None:
        """The command with that full name, as `CommandInfo` has it: `tag add`."""
        node = Node((), children=self.roots)
        for part in name.casefold().split():
            if (child := node.children.get(part)) is None:
                return None
            node = child
        return node.endpoint

    def suggest(
        self, name: str, visible: Callable[[CommandEndpoint], bool] = lambda _: True
    ) -> tuple[str, ...]:
        """Names that `name` may have been meant to be, the likeliest first, at most three.

        Args:
            name: as it was typed.
            visible: which commands may be told of; hidden ones never are.
        """
        if len(name) > MAX_NAME:
            return ()
        folded = name.casefold()
        near = [
            spelled
            for spelled, node in self.roots.items()
            if abs(len(spelled) - len(folded)) <= _LENGTH_SLACK and _shown(node, visible)
        ]
        # Measuring likeness is slow: only names that share most pairs of letters are measured.
        pairs = _pairs(folded)
        nearest = heapq.nlargest(_MEASURED, near, key=lambda spelled: len(pairs & _pairs(spelled)))
        return tuple(difflib.get_close_matches(folded, nearest, _SUGGESTIONS))

    def endpoints(self) -> Iterator[CommandEndpoint]:
        """Every command once, by name."""
        return iter(sorted(_endpoints(self.roots.values()), key=lambda endpoint: endpoint.path))


def build_commands(plugins: Iterable[CompiledPlugin]) -> Commands:
    """Index the commands of plugins that do not clash."""
    top = _Building()
    for plugin in plugins:
        for group in plugin.groups:
            top.at(group.path, group.aliases).group = group
        for command in plugin.commands:
            top.at(command.path, command.aliases).endpoint = command
    return Commands(top.freeze(()).children)


@dataclass(slots=True)
class _Building:
    """A node that is still growing."""

    endpoint: CommandEndpoint | None = None
    group: CommandGroupEntry | None = None
    children: dict[str, _Building] = field(default_factory=dict)
    aliases: dict[str, str] = field(default_factory=dict)

    def at(self, path: tuple[str, ...], aliases: Iterable[str]) -> _Building:
        above = self
        for name in path[:-1]:
            above = above.children.setdefault(name, _Building())
        above.aliases.update(dict.fromkeys(aliases, path[-1]))
        return above.children.setdefault(path[-1], _Building())

    def freeze(self, path: tuple[str, ...]) -> Node:
        children = {name: child.freeze((*path, name)) for name, child in self.children.items()}
        children.update({alias: children[name] for alias, name in self.aliases.items()})
        return Node(path, self.endpoint, self.group, MappingProxyType(children))


def _pairs(name: str) -> set[tuple[str, str]]:
    return set(zip(f"^{name}", f"{name}$", strict=True))


def _descend(node: Node, rest: str) -> Route:
    while node.children:
        word, behind = first_word(rest)
        child = node.children.get(word.casefold()) if len(word) <= MAX_NAME else None
        if child is None:
            break
        node, rest = child, behind
    return Route(node, rest)


def _endpoints(nodes: Iterable[Node]) -> set[CommandEndpoint]:
    found: set[CommandEndpoint] = set()
    for node in nodes:
        if node.endpoint is not None:
            found.add(node.endpoint)
        found |= _endpoints(node.children.values())
    return found


def _shown(node: Node, visible: Callable[[CommandEndpoint], bool]) -> bool:
    if node.endpoint is not None:
        return not node.endpoint.hidden and visible(node.endpoint)
    return any(_shown(child, visible) for child in node.children.values())
