"""Plugins come and go: started in order, each on its own, swapped as one."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Collection, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from chatbot.plugins.assembly import Assembled
from chatbot.plugins.control import ControlError, PluginInfo
from chatbot.plugins.declarations import HookName
from chatbot.plugins.errors import Problem
from chatbot.plugins.hooks import Hooks
from chatbot.plugins.loader import Change, Loader
from chatbot.plugins.onion import Inbound
from chatbot.runtime.journal import AtOnce
from chatbot.runtime.onions import build_generation
from chatbot.runtime.scope import RunScope
from chatbot.runtime.table import build_table
from chatbot.runtime.threads import Threads
from chatbot.runtime.world import World

HOOK_TIMEOUT: Final = 10.0
"""Seconds that one `startup` or `shutdown` function may take."""

logger = logging.getLogger(__name__)


class Traffic(Protocol):
    """What must be told when plugins change."""

    async def leaving(self, plugins: Collection[str], but: asyncio.Task[Any] | None) -> None:
        """These plugins are out of the table: end their dialogs, wait for their handlers.

        Args:
            but: the one that asked for the change; it cannot be waited for.
        """

    async def changed(self) -> None:
        """The table is another one: take its jobs."""


class Lifecycle:
    """The plugins of one bot, and `PluginControl`.

    Args:
        shipped: inbound middleware outside of what plugins declare, outermost first.

    Attributes:
        problems: why plugins were left out.
    """

    def __init__(
        self,
        world: World,
        loader: Loader,
        hooks: Hooks,
        threads: Threads,
        traffic: Traffic,
        *,
        shipped: Sequence[Inbound] = (),
    ) -> None:
        self._world = world
        self._loader = loader
        self._hooks = hooks
        self._threads = threads
        self._traffic = traffic
        self._shipped = shipped
        self._undo: dict[str, Callable[[], None]] = {}
        self._off: dict[str, _Off] = {}
        self._changing = asyncio.Lock()
        self._asked_by: asyncio.Task[Any] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.problems: tuple[Problem, ...] = ()

    # ------------------------------------------------------------ the bot's own start and stop

    async def start(self) -> None:
        """Start what the loader has loaded; report and leave out what does not start."""
        self.problems = self._loader.assembly.problems
        for name in await self._world.account.database.read(_switched_off):
            self._leave_off(name)
        for assembled in self._loader.assembly.plugins:
            if self._loader.assembly.find(assembled.name) is not None:
                await self._start_or_leave_out(assembled)
        for problem in self.problems:
            logger.error("%s", problem)
        self._swap()

    def any_of(self, listed: Collection[str]) -> bool:
        """Whether one of these is in use, or was switched off on purpose."""
        known = [p.found.listed for p in self._loader.assembly.plugins]
        known += [off.listed for off in self._off.values()]
        return any(name in listed for name in known)

    async def stop(self) -> None:
        """Stop all plugins, the last first."""
        if self._tasks:
            await asyncio.wait(self._tasks)
        for assembled in reversed(self._loader.assembly.plugins):
            await self._stop(assembled)

    def _leave_off(self, name: str) -> None:
        if self._loader.assembly.find(name) is not None:
            self._note_off(change := self._loader.disable(name))
            self._loader.commit(change)

    async def _start_or_leave_out(self, assembled: Assembled) -> None:
        try:
            await self._start(assembled)
        except Exception as error:
            logger.exception("plugin %s did not start", assembled.name)
            change = self._loader.disable(assembled.name)
            self.problems += (_did_not_start(assembled, error), *_dependents(assembled, change))
            self._loader.commit(change)

    # ------------------------------------------------------------ changes at run time

    def listed(self) -> Sequence[PluginInfo]:
        """Every plugin the configuration names, and the built-in ones."""
        running = [_info(assembled) for assembled in self._loader.assembly.plugins]
        names = {info.name for info in running} | self._off.keys()
        broken = dict.fromkeys(p.plugin for p in self.problems if p.plugin not in names)
        return [
            *running,
            *(off.info for off in self._off.values()),
            *(
                PluginInfo(
                    name=name,
                    enabled=False,
                    problems=tuple(p for p in self.problems if p.plugin == name),
                )
                for name in broken
            ),
        ]

    async def enable(self, name: str) -> None:
        """Load and start one that is off; it stays on after a restart.

        Raises:
            ControlError: it is in use, unknown, or cannot be used.
        """
        await self._change(self._enable(name))

    async def disable(self, name: str) -> None:
        """Drain, stop and unload one, with whatever requires it; it stays off after a restart.

        Raises:
            ControlError: there is no such plugin in use.
        """
        await self._change(self._disable(name))

    async def reload(self, name: str) -> None:
        """Import its code afresh and swap it in; the old one stays where the new one fails.

        Raises:
            ControlError: the new one cannot be used, or there is no such plugin.
        """
        await self._change(self._reload(name))

    async def _change(self, work: Coroutine[Any, Any, None]) -> None:
        """Let one change after the other come to its end, even if whoever asked for it cannot."""
        asked_by = asyncio.current_task()

        async def change() -> None:
            async with self._changing:
                self._asked_by = asked_by
                await work

        task = asyncio.create_task(change(), name="plugin change")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        await asyncio.shield(task)

    async def _enable(self, name: str) -> None:
        if self._loader.assembly.find(name) is not None:
            raise ControlError(f"{name} is in use already")
        off = self._off.get(name)
        change = self._loader.reload(name) if off is None else self._loader.enable(off.listed)
        await self._apply(f"{name} cannot be used", change)
        self._off.pop(name, None)
        await self._world.account.database.write(lambda c: _switch(c, [name], off_at=None))

    async def _disable(self, name: str) -> None:
        if self._loader.assembly.find(name) is None:
            raise ControlError(f"{name} is not in use")
        change = self._loader.disable(name)
        await self._apply(f"{name} cannot be switched off", change)
        self._note_off(change)
        now, names = self._world.clock.now(), [gone.name for gone in change.gone]
        await self._world.account.database.write(lambda c: _switch(c, names, off_at=now))

    async def _reload(self, name: str) -> None:
        if name in self._off or any(off.listed == name for off in self._off.values()):
            raise ControlError(f"{name} is switched off")
        await self._apply(f"{name} stays as it was", self._loader.reload(name))

    async def _apply(self, failure: str, change: Change) -> None:
        """Start what is new, swap, let the old end, stop it: or undo all of it.

        The new ones start while the old ones still work, so that no message has to wait.
        """
        if change.problems:
            change.roll_back()
            raise ControlError(failure, change.problems)
        for gone in change.gone:
            self._undo.pop(gone.name)()
        try:
            await self._start_all(change.new)
        except BaseException as error:
            change.roll_back()
            for gone in change.gone:
                self._register(gone)
            if isinstance(error, _StartError):
                raise ControlError(failure, [error.problem]) from error.__cause__
            raise
        self._loader.commit(change)
        self._forget_problems(change)
        self._swap()
        await self._traffic.leaving([gone.name for gone in change.gone], self._asked_by)
        for gone in reversed(change.gone):
            await self._shut_down(gone)
        await self._traffic.changed()

    def _forget_problems(self, change: Change) -> None:
        mended = {new.name for new in change.new} | {new.found.listed for new in change.new}
        self.problems = tuple(p for p in self.problems if p.plugin not in mended)

    async def _start_all(self, plugins: Sequence[Assembled]) -> None:
        started: list[Assembled] = []
        for assembled in plugins:
            try:
                await self._start(assembled)
            except Exception as error:
                for other in reversed(started):
                    await self._stop(other)
                raise _StartError(_did_not_start(assembled, error)) from error
            started.append(assembled)

    def _register(self, assembled: Assembled) -> None:
        plugin = assembled.compiled.plugin
        self._undo[plugin.name] = self._hooks.register(plugin, assembled.found.hooks)

    def _note_off(self, change: Change) -> None:
        for gone in change.gone:
            self._off[gone.name] = _Off(_info(gone, enabled=False), gone.found.listed)

    # ------------------------------------------------------------ one plugin

    async def _start(self, assembled: Assembled) -> None:
        plugin = assembled.compiled.plugin
        self._register(assembled)
        try:
            self._hooks.setup(plugin, assembled.compiled.config)
            if plugin.migrations:
                await self._world.files.open(plugin.name, plugin.migrations)
            await self._run(assembled, "startup")
        except BaseException:
            self._undo.pop(plugin.name)()
            raise
        self._hooks.started(plugin)

    async def _stop(self, assembled: Assembled) -> None:
        self._undo.pop(assembled.name)()
        await self._shut_down(assembled)

    async def _shut_down(self, assembled: Assembled) -> None:
        """Run what a plugin does at its end; it is out of the hooks of all already."""
        try:
            await self._run(assembled, "shutdown")
        except Exception:
            logger.exception("plugin %s did not shut down in order", assembled.name)
        last = Hooks()
        last.register(assembled.compiled.plugin, assembled.found.hooks)
        last.stopped(assembled.compiled.plugin)

    async def _run(self, assembled: Assembled, hook: HookName) -> None:
        """Run a plugin's functions of that name, one after the other."""
        scope = RunScope(self._world, AtOnce(self._world.journal), assembled.name)
        for endpoint in assembled.compiled.hooks:
            if endpoint.hook == hook:
                async with asyncio.timeout(HOOK_TIMEOUT):
                    call = await endpoint.handler.bind(scope)
                    await call.run(self._threads.runner(endpoint.key))

    def _swap(self) -> None:
        """Put the loader's assembly in use, all at once."""
        table = build_table(self._loader.assembly.compiled)
        self._world.generation = build_generation(table, self._world.outlet.core, self._shipped)
        self._world.outlet.onion = self._world.generation.outbound


@dataclass(frozen=True, slots=True)
class _Off:
    """A plugin that was switched off, and how the configuration names it."""

    info: PluginInfo
    listed: str


class _StartError(Exception):
    def __init__(self, problem: Problem) -> None:
        super().__init__(str(problem))
        self.problem = problem


def _did_not_start(assembled: Assembled, error: Exception) -> Problem:
    text = f"did not start: {type(error).__name__}: {error}"
    return Problem(assembled.name, text, assembled.compiled.plugin.source)


def _dependents(assembled: Assembled, change: Change) -> tuple[Problem, ...]:
    text = f"requires {assembled.name!r}, which did not start"
    return tuple(Problem(gone.name, text) for gone in change.gone if gone is not assembled)


def _info(assembled: Assembled, *, enabled: bool = True) -> PluginInfo:
    plugin = assembled.compiled.plugin
    return PluginInfo(
        name=plugin.name,
        description=plugin.description,
        version=plugin.version,
        enabled=enabled,
    )


def _switched_off(connection: sqlite3.Connection) -> list[str]:
    return [name for (name,) in connection.execute("SELECT name FROM plugins_off")]


def _switch(connection: sqlite3.Connection, names: Sequence[str], *, off_at: int | None) -> None:
    for name in names:
        connection.execute("DELETE FROM plugins_off WHERE name = ?", (name,))
        if off_at is not None:
            connection.execute("INSERT INTO plugins_off VALUES (?, ?)", (name, off_at))
