"""Putting plugins together: configuration, order, compilation, and what clashes.

Nothing of it changes anything: a reload assembles the new set beside the one that runs, and throws
it away where it has problems.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, TypeAlias

from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.configuration import validate_config
from chatbot.plugins.discovery import Found
from chatbot.plugins.endpoints import CommandEndpoint, CommandGroupEntry, CompiledPlugin
from chatbot.plugins.errors import DeclarationError, Problem, Problems
from chatbot.plugins.ordering import in_order
from chatbot.plugins.providers import Provider
from chatbot.plugins.signatures import check_name
from chatbot.plugins.source import Source

Section: TypeAlias = Mapping[str, Any]
Check: TypeAlias = Callable[[CompiledPlugin], Iterable[Problem]]
"""A further look at a compiled plugin: at its cron lines, say."""


@dataclass(frozen=True, slots=True, eq=False)
class Assembled:
    """A plugin that can run."""

    found: Found
    compiled: CompiledPlugin

    @property
    def name(self) -> str:
        """The plugin's name."""
        return self.compiled.name


@dataclass(frozen=True, slots=True, eq=False)
class Assembly:
    """Plugins that fit together.

    Attributes:
        plugins: in the order to start them in: what is required comes before what requires it.
        problems: all that is wrong with those that were left out, and with the configuration.
    """

    plugins: tuple[Assembled, ...] = ()
    problems: tuple[Problem, ...] = ()

    @property
    def compiled(self) -> tuple[CompiledPlugin, ...]:
        """What a table is built from."""
        return tuple(assembled.compiled for assembled in self.plugins)

    def find(self, name: str) -> Assembled | None:
        """The plugin of that name."""
        return next((p for p in self.plugins if p.name == name), None)

    def dependents(self, name: str) -> tuple[Assembled, ...]:
        """The plugin and all that require it, directly or not, in order."""
        reached = {name}
        for assembled in self.plugins:
            if reached & set(assembled.compiled.plugin.requires):
                reached.add(assembled.name)
        return tuple(p for p in self.plugins if p.name in reached)


def assemble(
    found: Sequence[Found],
    *,
    sections: Mapping[str, Section] = MappingProxyType({}),
    extra: Mapping[object, Provider] = MappingProxyType({}),
    check: Check = lambda _compiled: (),
    previous: Assembly | None = None,
) -> Assembly:
    """Validate, order and compile plugins; leave out, and report, those that cannot run.

    A plugin is left out with all that require it. Of two that clash, the later one is.

    Args:
        found: in the order they are listed.
        sections: `[plugins.NAME]` of the configuration by name.
        extra: types that the runtime gives besides the ordinary ones.
        check: asked for further problems of each.
        previous: an assembly with the same sections and types, whose compiled plugins are used
            again where neither they nor what they require has changed.
    """
    return _Assembler(sections, extra, check, previous or Assembly()).assemble(found)


@dataclass(slots=True)
class _Assembler:
    sections: Mapping[str, Section]
    extra: Mapping[object, Provider]
    check: Check
    previous: Assembly
    problems: list[Problem] = field(default_factory=list)
    done: dict[str, Assembled] = field(default_factory=dict)
    claims: dict[tuple[str, ...], Source] = field(default_factory=dict)

    def assemble(self, found: Sequence[Found]) -> Assembly:
        named = self._by_name(found)
        ordered, problems = in_order({name: f.plugin for name, f in named.items()})
        self.problems += problems
        for name in ordered:
            self._add(named[name])
        self.problems += [
            Problem(name, f"[plugins.{name}] is configured, but there is no plugin of that name")
            for name in self.sections.keys() - {f.plugin.name for f in found}
        ]
        return Assembly(tuple(self.done.values()), tuple(self.problems))

    def _by_name(self, found: Sequence[Found]) -> dict[str, Found]:
        named: dict[str, Found] = {}
        for one in found:
            problems = Problems(one.plugin.name)
            with problems.collecting(one.listed, one.plugin.source):
                check_name(one.plugin.name)
                if (first := named.get(one.plugin.name)) is not None:
                    raise DeclarationError(f"{first.listed} is a plugin of the same name")
                named[one.plugin.name] = one
            self.problems += problems.found
        return named

    def _add(self, found: Found) -> None:
        if missing := [r for r in found.plugin.requires if r not in self.done]:
            text = f"requires {', '.join(map(repr, missing))}, left out itself"
            self.problems.append(Problem(found.plugin.name, text, found.plugin.source))
            return
        assembled, problems = self._assembled(found)
        problems += self._clashes(assembled.compiled)
        self.problems += problems
        if not problems:
            self.done[assembled.name] = assembled
            self.claims.update(_claimed(assembled.compiled))

    def _assembled(self, found: Found) -> tuple[Assembled, list[Problem]]:
        if (unchanged := self._unchanged(found)) is not None:
            return unchanged, []
        plugin = found.plugin
        config, problems = validate_config(plugin, self.sections.get(plugin.name))
        required = [self.done[name].compiled for name in plugin.requires]
        compiled, wrong = compile_plugin(plugin, config=config, required=required, extra=self.extra)
        return Assembled(found, compiled), [*problems, *wrong, *self.check(compiled)]

    def _unchanged(self, found: Found) -> Assembled | None:
        before = self.previous.find(found.plugin.name)
        if before is None or before.found is not found:
            return None
        same = all(self.previous.find(r) is self.done.get(r) for r in found.plugin.requires)
        return before if same else None

    def _clashes(self, compiled: CompiledPlugin) -> list[Problem]:
        problems = Problems(compiled.name)
        own: dict[tuple[str, ...], Source] = {}
        for path, source in _claimed(compiled):
            first = self.claims.get(path) or own.get(path)
            if first is not None:
                problems.add(f"the command {' '.join(path)!r} is declared at {first} too", source)
            own.setdefault(path, source)
        return problems.found


def _claimed(compiled: CompiledPlugin) -> Iterable[tuple[tuple[str, ...], Source]]:
    """Every name of every command; a group and what its name alone does share theirs."""
    groups = {group.path for group in compiled.groups}
    commands = [command for command in compiled.commands if command.path not in groups]
    entries: list[CommandEndpoint | CommandGroupEntry] = [*compiled.groups, *commands]
    for entry in entries:
        for name in (entry.path[-1], *entry.aliases):
            yield (*entry.path[:-1], name), entry.source
