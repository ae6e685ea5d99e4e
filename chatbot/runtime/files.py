"""Plugins' own SQLite files, beside the account's; they are not sealed."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from chatbot.client.storage.database import Database
from chatbot.client.storage.files import make_private_directory

T = TypeVar("T")


class PluginFiles:
    """One file for each plugin that wants one, opened when it is first used.

    Args:
        folder: made where it is not there yet.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._open: dict[str, Database] = {}
        self._opening = asyncio.Lock()

    async def open(self, plugin: str, migrations: Sequence[str] = ()) -> Database:
        """The plugin's file, brought up to date.

        Raises:
            StorageError: it cannot be written, or a newer version of the plugin has made it.
        """
        async with self._opening:
            if plugin not in self._open:
                make_private_directory(self._folder)
                self._open[plugin] = await Database.open(self._folder / f"{plugin}.db")
            database = self._open[plugin]
            if migrations:
                await database.migrate("plugin", migrations)
            return database

    async def close(self) -> None:
        """Close all of them."""
        for database in self._open.values():
            await database.close()
        self._open.clear()


class PluginSql:
    """One plugin's file (`Sql`)."""

    __slots__ = ("_files", "_plugin")

    def __init__(self, files: PluginFiles, plugin: str) -> None:
        self._files = files
        self._plugin = plugin

    async def read(self, query: Callable[[sqlite3.Connection], T]) -> T:
        """Run a query on a read-only connection, off the event loop."""
        return await (await self._files.open(self._plugin)).read(query)

    async def write(self, unit: Callable[[sqlite3.Connection], T]) -> T:
        """Run a unit of work as one transaction, off the event loop."""
        return await (await self._files.open(self._plugin)).write(unit)
