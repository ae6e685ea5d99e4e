"""Plugins that are reloaded when their files change: for development."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from pathlib import Path

from chatbot.plugins.control import ControlError
from chatbot.plugins.loader import Loader
from chatbot.runtime.lifecycle import Lifecycle

logger = logging.getLogger(__name__)


def affected(changed: set[Path], plugins: Mapping[str, Path]) -> list[str]:
    """The plugins whose code is among what has changed."""
    return [
        name
        for name, source in plugins.items()
        if any(path == source or source in path.parents for path in changed)
    ]


async def watch(lifecycle: Lifecycle, loader: Loader) -> None:
    """Reload plugins whenever their code changes, those left out too, until cancelled.

    Raises:
        ModuleNotFoundError: watchfiles is not installed.
    """
    from watchfiles import PythonFilter, awatch  # noqa: PLC0415 - of an extra, and rarely wanted

    sources = loader.sources().values()
    folders = {path if path.is_dir() else path.parent for path in sources}
    folders = {folder for folder in folders if folder.is_dir()}
    async for changes in awatch(*folders, watch_filter=PythonFilter(), stop_event=asyncio.Event()):
        for name in affected({Path(path) for _, path in changes}, loader.sources()):
            await _reload(lifecycle, name)


async def _reload(lifecycle: Lifecycle, name: str) -> None:
    try:
        await lifecycle.reload(name)
    except ControlError as error:
        for line in (error, *error.problems):
            logger.error("%s", line)  # noqa: TRY400 - it is for the plugin's author
    else:
        logger.info("%s is reloaded", name)
