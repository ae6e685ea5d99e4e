"""Plugins come and go: started in order, each on its own, swapped as one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from chatbot.plugins.assembly import Assembled
from chatbot.plugins.declarations import HookName
from chatbot.plugins.errors import Problem
from chatbot.plugins.hooks import Hooks
from chatbot.plugins.loader import Loader
from chatbot.runtime.journal import AtOnce
from chatbot.runtime.onions import build_generation
from chatbot.runtime.scope import RunScope
from chatbot.runtime.table import build_table
from chatbot.runtime.threads import Threads
from chatbot.runtime.world import World

HOOK_TIMEOUT: Final = 10.0
"""Seconds that one `startup` or `shutdown` function may take, where it does not say itself."""

logger = logging.getLogger(__name__)


class Lifecycle:
    """The plugins of one bot.

    Attributes:
        problems: why plugins were left out.
    """

    def __init__(self, world: World, loader: Loader, threads: Threads) -> None:
        self._world = world
        self._loader = loader
        self._threads = threads
        self._hooks = Hooks()
        self._undo: dict[str, Callable[[], None]] = {}
        self.problems: tuple[Problem, ...] = ()

    async def start(self, listed: Sequence[str]) -> None:
        """Load the listed plugins and start those that can be; report the others."""
        assembly = self._loader.load(listed)
        self.problems = assembly.problems
        for assembled in assembly.plugins:
            if self._loader.assembly.find(assembled.name) is not None:
                await self._start_or_leave_out(assembled)
        for problem in self.problems:
            logger.error("%s", problem)
        self._swap()

    def any_of(self, listed: Sequence[str]) -> bool:
        """Whether one of these is in use."""
        return any(p.found.listed in listed for p in self._loader.assembly.plugins)

    async def stop(self) -> None:
        """Stop all plugins, the last first."""
        for assembled in reversed(self._loader.assembly.plugins):
            await self._stop(assembled)

    async def _start_or_leave_out(self, assembled: Assembled) -> None:
        try:
            await self._start(assembled)
        except Exception as error:
            logger.exception("plugin %s did not start", assembled.name)
            text = f"did not start: {type(error).__name__}: {error}"
            source = assembled.compiled.plugin.source
            left_out = self._loader.disable(assembled.name)
            dependents = [p.name for p in left_out.gone if p is not assembled]
            self.problems += (
                Problem(assembled.name, text, source),
                *(Problem(n, f"requires {assembled.name!r}, left out") for n in dependents),
            )
            self._loader.commit(left_out)

    async def _start(self, assembled: Assembled) -> None:
        plugin, compiled = assembled.compiled.plugin, assembled.compiled
        undo = self._hooks.register(plugin, assembled.found.hooks)
        try:
            self._hooks.setup(plugin, compiled.config)
            await self._run(assembled, "startup")
        except BaseException:
            undo()
            raise
        self._undo[assembled.name] = undo
        self._hooks.started(plugin)

    async def _stop(self, assembled: Assembled) -> None:
        try:
            await self._run(assembled, "shutdown")
        except Exception:
            logger.exception("plugin %s did not shut down in order", assembled.name)
        self._hooks.stopped(assembled.compiled.plugin)
        self._undo.pop(assembled.name)()

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
        self._world.generation = build_generation(table, self._world.outlet.core)
        self._world.outlet.onion = self._world.generation.outbound
