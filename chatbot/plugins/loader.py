"""The plugins of one bot, from the configuration's list to an assembly that can run.

    loader = Loader(base=folder, sections=settings.plugins)
    assembly = loader.load(["dice", "./local.py"])

An assembly is immutable, and so is what replaces it. Nothing changes under whoever uses one:

    change = loader.reload("dice")          # its code afresh, with whatever requires it
    if change.problems:
        change.roll_back()
    else:
        ...                                 # drain, start the new ones, swap
        loader.commit(change)
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from chatbot.plugins.assembly import Assembled, Assembly, Check, Section, assemble
from chatbot.plugins.discovery import (
    Found,
    NotFoundError,
    find,
    find_again,
    source_of,
    source_of_listed,
)
from chatbot.plugins.errors import Problem
from chatbot.plugins.providers import Provider


@dataclass(frozen=True, slots=True)
class Change:
    """Another assembly, not in use yet.

    Attributes:
        assembly: with the plugins as they would be.
        found: every plugin that was imported, those that were left out too.
        gone: what would no longer be in use; to be drained and shut down, last first.
        new: what would be in use instead; to be started, in order.
        problems: why it must not be used.
        fresh: what was imported for it.
    """

    assembly: Assembly
    found: tuple[Found, ...]
    gone: tuple[Assembled, ...]
    new: tuple[Assembled, ...]
    problems: tuple[Problem, ...]
    fresh: tuple[Found, ...] = ()

    def roll_back(self) -> None:
        """Put back the modules that were imported for it."""
        for found in reversed(self.fresh):
            found.imported.roll_back()


class Loader:
    """Finds and assembles plugins; remembers which assembly is in use.

    Args:
        base: the folder that relative paths in the list count from.
        sections: `[plugins.NAME]` by name.
        extra: types that the runtime gives besides the ordinary ones.
        check: asked for further problems of each compiled plugin.
    """

    __slots__ = ("_base", "_check", "_extra", "_found", "_listed", "_sections", "assembly")

    def __init__(
        self,
        *,
        base: Path,
        sections: Mapping[str, Section] = MappingProxyType({}),
        extra: Mapping[object, Provider] = MappingProxyType({}),
        check: Check = lambda _compiled: (),
    ) -> None:
        self._base = base
        self._sections = sections
        self._extra = extra
        self._check = check
        self._listed: tuple[str, ...] = ()
        self._found: tuple[Found, ...] = ()
        self.assembly = Assembly()

    def load(self, listed: Sequence[str]) -> Assembly:
        """Import and assemble the listed plugins; all problems of all of them are in the result.

        Plugins in `sections` that are not listed are reported, so the built-in ones belong into
        the list too, first.
        """
        self._listed = tuple(listed)
        found, problems = self._import(listed)
        assembly = self._assemble(found)
        self.assembly = Assembly(assembly.plugins, (*problems, *assembly.problems))
        self._found = found
        return self.assembly

    def sources(self) -> dict[str, Path]:
        """Where each plugin's code lies, by name; what does not import goes by how it is listed."""
        imported = {found.listed for found in self._found}
        sources = {found.plugin.name: source_of(found) for found in self._found} | {
            listed: source_of_listed(listed, self._base)
            for listed in self._listed
            if listed not in imported
        }
        return {name: source for name, source in sources.items() if source is not None}

    def enable(self, listed: str) -> Change:
        """What adding a plugin would make. One that was used before is imported afresh."""
        known = next((f for f in self._found if f.listed == listed), None)
        others = tuple(f for f in self._found if f is not known)
        try:
            if known is None:
                found = find(listed, self._base, from_source=True)
            else:
                found = self._again(known)
        except NotFoundError as error:
            return self._failed((error.problem,))
        return self._change((*others, found), fresh=(found,))

    def disable(self, name: str) -> Change:
        """What taking a plugin out would make, with whatever requires it."""
        leaving = {assembled.found for assembled in self.assembly.dependents(name)}
        return self._change(tuple(f for f in self._found if f not in leaving), may_miss=True)

    def reload(self, name: str) -> Change:
        """What the plugin's code as it is now would make; what requires it is imported anew too.

        Of one that was left out, what it would make if it can be used now.
        """
        if self.assembly.find(name) is None:
            left_out = next((f for f in self._found if f.plugin.name == name), None)
            return self.enable(left_out.listed if left_out is not None else name)
        fresh: dict[Found, Found] = {}
        for assembled in self.assembly.dependents(name):
            try:
                fresh[assembled.found] = self._again(assembled.found)
            except NotFoundError as error:
                _roll_back(fresh.values())
                return self._failed((error.problem,))
        found = tuple(fresh.get(one, one) for one in self._found)
        return self._change(found, fresh=tuple(fresh.values()))

    def commit(self, change: Change) -> None:
        """Take the change's assembly as the one in use, and forget the modules that left."""
        for found in self._found:
            if found not in change.found:
                found.imported.forget()
        self._found = change.found
        self.assembly = change.assembly

    def _again(self, found: Found) -> Found:
        others = [f.imported.module.__name__ for f in self._found if f is not found]
        own = found.imported.module.__name__
        return find_again(found, [name for name in others if name != own])

    def _import(self, listed: Iterable[str]) -> tuple[tuple[Found, ...], tuple[Problem, ...]]:
        found: list[Found] = []
        problems: list[Problem] = []
        for one in listed:
            try:
                found.append(find(one, self._base))
            except NotFoundError as error:
                problems.append(error.problem)
        return tuple(found), tuple(problems)

    def _assemble(self, found: Sequence[Found]) -> Assembly:
        return assemble(
            found,
            sections=self._sections,
            extra=self._extra,
            check=self._check,
            previous=self.assembly,
        )

    def _change(
        self, found: tuple[Found, ...], *, fresh: tuple[Found, ...] = (), may_miss: bool = False
    ) -> Change:
        assembly = self._assemble(found)
        problems = () if may_miss else _new_problems(assembly, {f.plugin.name for f in fresh})
        return Change(
            assembly=assembly,
            found=found,
            gone=tuple(a for a in self.assembly.plugins if a not in assembly.plugins),
            new=tuple(a for a in assembly.plugins if a not in self.assembly.plugins),
            problems=problems,
            fresh=fresh,
        )

    def _failed(self, problems: tuple[Problem, ...]) -> Change:
        return Change(self.assembly, self._found, (), (), problems)


def _new_problems(assembly: Assembly, names: set[str]) -> tuple[Problem, ...]:
    return tuple(problem for problem in assembly.problems if problem.plugin in names)


def _roll_back(found: Iterable[Found]) -> None:
    for one in reversed(tuple(found)):
        one.imported.roll_back()
