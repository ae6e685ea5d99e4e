"""Importing a plugin's code: once, or afresh beside what runs, so that it can be taken back.

A plugin's *family* is what is imported anew together with it: its module, what lies below it, and
the rest of the package it lies in, but never a part of this framework. The old modules live on in
whatever still refers to them.
"""

from __future__ import annotations

import importlib
import re
import secrets
import sys
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec, SourceFileLoader
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any, Final

_FRAMEWORK: Final = "chatbot"


@dataclass(frozen=True, slots=True, eq=False)
class Imported:
    """A module, and how to undo that it was imported.

    Attributes:
        modules: the family as it is in `sys.modules` now, by name.
        replaced: what was there before.
    """

    module: ModuleType
    modules: Mapping[str, ModuleType] = field(repr=False)
    replaced: Mapping[str, ModuleType] = field(default_factory=dict, repr=False)

    def roll_back(self) -> None:
        """Put back what was there before."""
        self.forget()
        _put_back(self.replaced)

    def forget(self) -> None:
        """Take the modules out of `sys.modules`, where they are still the ones there."""
        for name, module in self.modules.items():
            if sys.modules.get(name) is module:
                del sys.modules[name]


def import_named(name: str, *, from_source: bool = False) -> Imported:
    """Import a module by its dotted name, as `import` would; whatever it raises goes through.

    Args:
        name: dotted.
        from_source: what is imported for it is compiled anew. For a bot that runs: a module that
            it had before may have changed within the second that a cache can tell apart.
    """
    root, before = _root(name), set(sys.modules)
    importlib.invalidate_caches()
    sources = _reading_sources(lambda other: _is_below(other, root))
    with sources if from_source else nullcontext():
        module = importlib.import_module(name)
    added = _family_now(lambda other: _is_below(other, root) and other not in before)
    replaced = {name: module} if name in before else {}
    return Imported(module, {**added, name: module}, replaced)


def import_file(path: Path) -> Imported:
    """Import a file, or a folder with an `__init__.py`, always afresh, under a name of its own.

    Raises:
        FileNotFoundError: there is none.
    """
    stem = re.sub(r"\W", "_", path.stem)
    name = f"_chatbot_{stem}_{secrets.token_hex(4)}"
    folder = path if path.is_dir() else None
    file = path / "__init__.py" if folder is not None else path
    if not file.is_file():
        raise FileNotFoundError(f"{file} is not there")
    loader = _FreshLoader(name, str(file))
    spec = spec_from_file_location(
        name,
        file,
        loader=loader,
        submodule_search_locations=None if folder is None else [str(folder)],
    )
    assert spec is not None  # noqa: S101 - a loader was given
    with _replacing(lambda other: _is_below(other, name)) as replaced:
        module = sys.modules[name] = module_from_spec(spec)
        loader.exec_module(module)
    return Imported(module, _family_now(lambda other: _is_below(other, name)), replaced)


def import_afresh(name: str, keep: Collection[str] = ()) -> Imported:
    """Import a module and its family again, from their sources as they are now.

    Where that fails, `sys.modules` is what it was before.

    Args:
        name: dotted.
        keep: names of modules that must stay the same, with what lies below them: those of
            other plugins in the same package.
    """
    root = _root(name)

    def belongs(other: str) -> bool:
        return _is_below(other, root) and not any(_is_below(other, kept) for kept in keep)

    importlib.invalidate_caches()
    with _replacing(belongs) as replaced:
        module = importlib.import_module(name)
    return Imported(module, _family_now(belongs), replaced)


def _root(name: str) -> str:
    package = name.rpartition(".")[0]
    if not package or _is_below(name, _FRAMEWORK):
        return name
    return package


def _is_below(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}.")


def _family_now(belongs: Callable[[str], bool]) -> dict[str, ModuleType]:
    return {name: module for name, module in sys.modules.items() if belongs(name)}


@contextmanager
def _replacing(belongs: Callable[[str], bool]) -> Iterator[dict[str, ModuleType]]:
    """Let the family be imported from its sources; undo everything where that fails."""
    replaced = _family_now(belongs)
    for name in replaced:
        del sys.modules[name]
    try:
        with _reading_sources(belongs):
            yield replaced
    except BaseException:
        for name in _family_now(belongs):
            del sys.modules[name]
        _put_back(replaced)
        raise


@contextmanager
def _reading_sources(belongs: Callable[[str], bool]) -> Iterator[None]:
    finder = _FreshFinder(belongs)
    sys.meta_path.insert(0, finder)
    try:
        yield
    finally:
        sys.meta_path.remove(finder)


def _put_back(modules: Mapping[str, ModuleType]) -> None:
    sys.modules.update(modules)
    for name, module in modules.items():
        package, _, child = name.rpartition(".")
        if package in sys.modules:
            setattr(sys.modules[package], child, module)


class _FreshLoader(SourceFileLoader):
    """Compiles the source each time: a cache of the same second and size would be the old code."""

    def path_stats(self, path: Any) -> Mapping[str, Any]:
        raise OSError(f"{path}: not to be looked up in the cache")


class _FreshFinder(MetaPathFinder):
    """Finds what the others find, with a loader that reads the source."""

    def __init__(self, belongs: Callable[[str], bool]) -> None:
        self._belongs = belongs

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if not self._belongs(fullname):
            return None
        for finder in sys.meta_path:
            if finder is self or (spec := finder.find_spec(fullname, path, target)) is None:
                continue
            if type(spec.loader) is SourceFileLoader:
                spec.loader = _FreshLoader(spec.loader.name, spec.loader.path)
            return spec
        return None
