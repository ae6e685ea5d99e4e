"""From a line of `[plugins] load` to a `Plugin` object."""

from __future__ import annotations

import os
import traceback
from collections.abc import Collection
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final

import pluggy

from chatbot.plugins import hookspecs
from chatbot.plugins.errors import DeclarationError, Problem
from chatbot.plugins.hookspecs import PROJECT
from chatbot.plugins.importing import Imported, import_afresh, import_file, import_named
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.source import Source

ENTRY_POINTS: Final = "chatbot.plugins"
"""The group that a package offers its plugins in."""


SHIPPED: Final = MappingProxyType(
    {name: f"chatbot.plugins.builtin.{name}" for name in ("broadcast", "moderation")}
)
"""Plugins that come along and load only where they are listed: module by name."""


@dataclass(frozen=True, slots=True, eq=False)
class Found:
    """A plugin whose code is imported; nothing of it is in use yet.

    Attributes:
        listed: how the configuration names it.
        hooks: what pluggy registers: the plugin itself, or the module that made it.
    """

    listed: str
    plugin: Plugin
    hooks: object = field(repr=False)
    imported: Imported = field(repr=False)


class NotFoundError(Exception):
    """A listed plugin did not get as far as a `Plugin`; `problem` says why."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def find(listed: str, base: Path, *, from_source: bool = False) -> Found:
    """Import a listed plugin.

    Args:
        listed: the name of an entry point or of a plugin that comes along, a dotted module name,
            or a path (`./dice.py`).
        base: the folder that relative paths count from.
        from_source: see `import_named`.

    Raises:
        NotFoundError: anything that goes wrong, an error of the plugin's own code included.
    """
    return _guarded(listed, lambda: _find(listed, base, from_source))


def find_again(found: Found, keep: Collection[str] = ()) -> Found:
    """Import its code afresh. `found.imported` stays usable; the new one can be rolled back.

    Args:
        found: what runs now.
        keep: names of modules that belong to other plugins.

    Raises:
        NotFoundError: as `find`; then everything is as it was.
    """
    return _guarded(found.listed, lambda: _find_again(found, keep))


def source_of(found: Found) -> Path | None:
    """The file of a plugin's code, or its folder where it is a package or lies in one."""
    module = found.imported.module
    if module.__file__ is None:
        return None
    file = Path(module.__file__).resolve()
    return file.parent if module.__package__ else file


def source_of_listed(listed: str, base: Path) -> Path | None:
    """The same of one that does not import, where that can be told: see `find`."""
    if _is_path(listed):
        return (base / Path(listed).expanduser()).resolve()
    try:
        spec = find_spec(_entry_point(listed).partition(":")[0])
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None else Path(spec.origin).resolve()


def _guarded(listed: str, action: Any) -> Found:
    try:
        found: Found = action()
    except (Exception, SystemExit) as error:
        raise NotFoundError(_import_problem(listed, error)) from error
    return found


def _find(listed: str, base: Path, from_source: bool) -> Found:
    if _is_path(listed):
        path = (base / Path(listed).expanduser()).resolve()
        return _declared(listed, import_file(path), "")
    module, _, attribute = _entry_point(listed).partition(":")
    return _declared(listed, import_named(module, from_source=from_source), attribute)


def _find_again(found: Found, keep: Collection[str]) -> Found:
    module = found.imported.module
    if _is_path(found.listed):
        path = Path(str(module.__file__))
        imported = import_file(path.parent if path.name == "__init__.py" else path)
        attribute = ""
    else:
        imported = import_afresh(module.__name__, keep)
        attribute = _entry_point(found.listed).partition(":")[2]
    return _declared(found.listed, imported, attribute)


def _is_path(listed: str) -> bool:
    return listed.endswith(".py") or "/" in listed or os.sep in listed


def _entry_point(listed: str) -> str:
    """`module` or `module:attribute`; a name that is neither shipped nor installed is a module."""
    installed = (entry.value for entry in entry_points(group=ENTRY_POINTS, name=listed))
    return next(installed, SHIPPED.get(listed, listed))


def _declared(listed: str, imported: Imported, attribute: str) -> Found:
    try:
        target: Any = imported.module
        for part in filter(None, attribute.split(".")):
            target = getattr(target, part)
        hooks = _hooks(target)
        return Found(listed, _declaration(hooks), hooks, imported)
    except BaseException:
        imported.roll_back()
        raise


def _declaration(hooks: object) -> Plugin:
    """What the hooks declare; a manager of its own sees whether they fit their specifications."""
    manager = pluggy.PluginManager(PROJECT)
    manager.add_hookspecs(hookspecs)
    manager.register(hooks)
    manager.check_pending()
    plugin = manager.hook.chatbot_declare()
    if not isinstance(plugin, Plugin):
        raise DeclarationError(f"chatbot_declare returned {type(plugin).__name__}, not a Plugin")
    return plugin


def _hooks(target: Any) -> object:
    if isinstance(target, Plugin) or hasattr(target, "chatbot_declare"):
        return target
    if not isinstance(target, ModuleType):
        raise DeclarationError(f"the entry point names a {type(target).__name__}, not a Plugin")
    if isinstance(offered := getattr(target, "plugin", None), Plugin):
        return offered
    made = [value for value in vars(target).values() if isinstance(value, Plugin)]
    if len(made) != 1:
        count = "no" if not made else "more than one"
        raise DeclarationError(f"the module has {count} Plugin, and none that is called plugin")
    return made[0]


def _import_problem(listed: str, error: BaseException) -> Problem:
    if isinstance(error, DeclarationError):
        return Problem(listed, str(error))
    if isinstance(error, pluggy.PluginValidationError):
        return Problem(listed, f"its hooks do not fit: {error}")
    if isinstance(error, ModuleNotFoundError) and f"{listed}.".startswith(f"{error.name}."):
        return Problem(listed, "is neither an entry point, nor a module, nor a path (./file.py)")
    return Problem(listed, f"does not import: {type(error).__name__}: {error}", _where(error))


def _where(error: BaseException) -> Source | None:
    """The line of the author's that failed: the deepest one that is no machinery of import."""
    if isinstance(error, SyntaxError) and error.filename:
        return Source(error.filename, error.lineno or 0)
    frames = [f for f in traceback.extract_tb(error.__traceback__) if _is_authors(f.filename)]
    return Source(frames[-1].filename, frames[-1].lineno or 0) if frames else None


def _is_authors(file: str) -> bool:
    own = {__file__, import_file.__code__.co_filename, "<string>"}
    return (
        file not in own and not file.startswith("<frozen") and "importlib" not in Path(file).parts
    )
