"""The order of plugins: what is required comes first."""

from __future__ import annotations

from collections.abc import Mapping

from chatbot.plugins.errors import Problem
from chatbot.plugins.plugin import Plugin


def in_order(plugins: Mapping[str, Plugin]) -> tuple[tuple[str, ...], tuple[Problem, ...]]:
    """Order plugins by what they require; otherwise they keep the order they are given in.

    Args:
        plugins: by name, in the order they are listed.

    Returns:
        The names of those whose requirements are all there, and a problem for each plugin that
        requires what is not, or that stands in a cycle.
    """
    sorter = _Sorter(plugins)
    for name in plugins:
        sorter.visit(name, ())
    return tuple(sorter.ordered), tuple(sorter.problems)


class _Sorter:
    """Depth first; a plugin that is met again on its own way up closes a cycle."""

    __slots__ = ("_circular", "_plugins", "_seen", "ordered", "problems")

    def __init__(self, plugins: Mapping[str, Plugin]) -> None:
        self._plugins = plugins
        self._seen: dict[str, bool] = {}
        self._circular: set[str] = set()
        self.ordered: list[str] = []
        self.problems: list[Problem] = []

    def visit(self, name: str, way: tuple[str, ...]) -> bool:
        """Put `name` behind what it requires; whether that was possible."""
        if name in way:
            self._report_circle(way[way.index(name) :])
            return False
        if name not in self._seen:
            usable = [self._follow(name, other, (*way, name)) for other in self._required(name)]
            self._seen[name] = all(usable)
            if self._seen[name]:
                self.ordered.append(name)
        return self._seen[name]

    def _required(self, name: str) -> tuple[str, ...]:
        return self._plugins[name].requires

    def _follow(self, name: str, other: str, way: tuple[str, ...]) -> bool:
        if other not in self._plugins:
            self._report(name, f"requires {other!r}, which is not there")
            return False
        if self.visit(other, way):
            return True
        if name not in self._circular:
            self._report(name, f"requires {other!r}, which cannot be used")
        return False

    def _report_circle(self, members: tuple[str, ...]) -> None:
        for name in members:
            self._report(name, f"requires itself: {' -> '.join((*members, members[0]))}")
        self._circular.update(members)

    def _report(self, name: str, message: str) -> None:
        self.problems.append(Problem(name, message, self._plugins[name].source))
