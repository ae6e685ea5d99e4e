"""Plugins that are reloaded when their files change: for development."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from chatbot.plugins.assembly import Assembly
from chatbot.plugins.control import ControlError
from chatbot.runtime.lifecycle import Lifecycle

logger = logging.getLogger(__name__)


def sources(assembly: Assembly) -> dict[str, Path]:
    """Each plugin's file, or its folder where it is a package or lies in one."""
    found: dict[str, Path] = {}
    for assembled in assembly.plugins:
        module = assembled.found.imported.module
        if module.__file__ is not None:
            file = Path(module.__file__).resolve()
            found[assembled.name] = file.parent if module.__package__ else file
    return found


def affected(changed: set[Path], plugins: Mapping[str, Path]) -> list[str]:
    """The plugins whose code is among what has changed."""
    return [
        name
        for name, source in plugins.items()
        if any(path == source or source in path.parents for path in changed)
    ]


async def watch(lifecycle: Lifecycle, assembly: Assembly) -> None:
    """Reload plugins whenever their code changes, until cancelled.

    Raises:
        ModuleNotFoundError: watchfiles is not installed.
    """
    from watchfiles import PythonFilter, awatch  # noqa: PLC0415 - of an extra, and rarely wanted

    plugins = sources(assembly)
    folders = {path if path.is_dir() else path.parent for path in plugins.values()}
    async for changes in awatch(*folders, watch_filter=PythonFilter(), stop_event=asyncio.Event()):
        for name in affected({Path(path) for _, path in changes}, plugins):
            await _reload(lifecycle, name)


async def _reload(lifecycle: Lifecycle, name: str) -> None:
    try:
        await lifecycle.reload(name)
    except ControlError as error:
        logger.error("%s", "\n".join((str(error), *map(str, error.problems))))  # noqa: TRY400
    else:
        logger.info("%s is reloaded", name)
