"""From declarations to endpoints: every signature analysed once, every mistake collected."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import TypeAlias, TypeVar

from chatbot.plugins.annotations import type_name
from chatbot.plugins.compile_commands import compile_command, compile_group, groups_of
from chatbot.plugins.compile_handlers import (
    compile_filter,
    compile_hook,
    compile_job,
    compile_middleware,
)
from chatbot.plugins.declarations import (
    CommandDeclaration,
    ConverterDeclaration,
    Declaration,
    FilterDeclaration,
    GroupDeclaration,
    HookDeclaration,
    JobDeclaration,
    MiddlewareDeclaration,
    ProviderDeclaration,
)
from chatbot.plugins.endpoints import CommandGroupEntry, CompiledPlugin
from chatbot.plugins.errors import DeclarationError, Problem, Problems
from chatbot.plugins.injection import compile_converter, compile_provider
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.providers import Provider, Types, types_of
from chatbot.plugins.signatures import label
from chatbot.plugins.source import underlying

D = TypeVar("D", bound=Declaration)
R = TypeVar("R")
_Export: TypeAlias = ProviderDeclaration | ConverterDeclaration


def compile_plugin(
    plugin: Plugin,
    *,
    config: object = None,
    required: Iterable[CompiledPlugin] = (),
    extra: Mapping[object, Provider] | None = None,
) -> tuple[CompiledPlugin, tuple[Problem, ...]]:
    """Compile everything that `plugin` declares.

    Args:
        plugin: as declared.
        config: its validated configuration.
        required: the plugins that it names in `requires`, compiled.
        extra: types that the runtime gives besides the ordinary ones.

    Returns:
        The compiled plugin, and all that is wrong with it; with any problem it must not be used.
    """
    problems = Problems(plugin.name)
    types = types_of(plugin.name, plugin.config, config, extra or {})
    for other in required:
        types = _import_types(types, other, problems, plugin)
    exports = _compile_exports(plugin, types, problems)
    compiler = _Compiler(plugin, types.joined(exports), problems)
    return compiler.compile(config, exports), tuple(problems.found)


def _import_types(types: Types, other: CompiledPlugin, problems: Problems, plugin: Plugin) -> Types:
    with problems.collecting(f"requires {other.name!r}", plugin.source):
        for kind in (*other.exports.providers, *other.exports.converters):
            types.check_free(kind)
    return types.joined(other.exports)


def _compile_exports(plugin: Plugin, types: Types, problems: Problems) -> Types:
    """The plugin's own providers and converters, those first that others of them ask for."""
    waiting: list[_Export] = [
        d for d in plugin.declarations if isinstance(d, ProviderDeclaration | ConverterDeclaration)
    ]
    exports = Types()
    while waiting:
        failed: list[tuple[_Export, DeclarationError]] = []
        for declared in waiting:
            try:
                exports = exports.joined(_export(declared, types.joined(exports)))
            except DeclarationError as error:
                failed.append((declared, error))
        if len(failed) == len(waiting):
            _report(failed, problems)
            break
        waiting = [declared for declared, _ in failed]
    return exports


def _report(failed: list[tuple[_Export, DeclarationError]], problems: Problems) -> None:
    for declared, error in failed:
        for line in error.args:
            problems.add(f"{label(declared.function)}: {line}", declared.source)


def _export(declared: _Export, types: Types) -> Types:
    types.check_free(declared.kind)
    if isinstance(declared, ProviderDeclaration):
        return Types(providers={declared.kind: compile_provider(declared.function, types)})
    expected = declared.expected or f"a {type_name(declared.kind)}"
    return Types(converters={declared.kind: compile_converter(declared.function, expected, types)})


class _Compiler:
    """Compiles one plugin's declarations, kind by kind."""

    __slots__ = ("_names", "_plugin", "_problems", "_types")

    def __init__(self, plugin: Plugin, types: Types, problems: Problems) -> None:
        self._plugin = plugin
        self._types = types
        self._problems = problems
        self._names: Counter[str] = Counter()

    def compile(self, config: object, exports: Types) -> CompiledPlugin:
        plugin, types = self._plugin, self._types
        groups = groups_of(plugin)
        return CompiledPlugin(
            plugin=plugin,
            config=config,
            types=types,
            exports=exports,
            groups=self._groups(),
            commands=self._each(
                CommandDeclaration, lambda d: compile_command(plugin, d, groups, types)
            ),
            filters=self._each(
                FilterDeclaration,
                lambda d: compile_filter(plugin, d, self._key("filter", d), types),
            ),
            jobs=self._each(JobDeclaration, lambda d: compile_job(plugin, d, types)),
            hooks=self._each(
                HookDeclaration, lambda d: compile_hook(plugin, d, self._key(d.hook, d), types)
            ),
            middleware=self._each(MiddlewareDeclaration, lambda d: compile_middleware(plugin, d)),
        )

    def _groups(self) -> tuple[CommandGroupEntry, ...]:
        compiled = []
        for declared in self._plugin.declarations:
            if isinstance(declared, GroupDeclaration):
                what = f"group {' '.join(declared.path)!r}"
                with self._problems.collecting(what, declared.source):
                    compiled.append(compile_group(self._plugin, declared))
        return tuple(compiled)

    def _each(self, kind: type[D], compile_one: Callable[[D], R]) -> tuple[R, ...]:
        compiled = []
        for declared in self._plugin.declarations:
            if isinstance(declared, kind):
                with self._problems.collecting(label(declared.function), declared.source):
                    compiled.append(compile_one(declared))
        return tuple(compiled)

    def _key(self, kind: str, declared: Declaration) -> str:
        """A name that a restart gives again: several functions of one name are numbered."""
        name = getattr(underlying(declared.function), "__name__", "handler")
        key = f"{self._plugin.name}:{kind}:{name}"
        self._names[key] += 1
        return key if self._names[key] == 1 else f"{key}#{self._names[key]}"
