"""The versioned schema: each component of a file brings its own list of migrations."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator


def schema_version(component: str, connection: sqlite3.Connection) -> int:
    """Return the version of a component's tables; 0 where it has none yet."""
    connection.execute(
        "CREATE TABLE IF NOT EXISTS schema_versions"
        " (component TEXT PRIMARY KEY, version INTEGER NOT NULL) WITHOUT ROWID"
    )
    row = connection.execute(
        "SELECT version FROM schema_versions WHERE component = ?", (component,)
    ).fetchone()
    return row[0] if row else 0


def apply_migration(
    component: str, version: int, script: str, connection: sqlite3.Connection
) -> None:
    """Run one script, which leads to `version`, and note the version."""
    for statement in _statements(script):
        connection.execute(statement)
    connection.execute("REPLACE INTO schema_versions VALUES (?, ?)", (component, version))


def _statements(script: str) -> Iterator[str]:
    # executescript() would commit the transaction that the migration is part of.
    statement = ""
    for piece in script.split(";"):
        statement += piece + ";"
        if sqlite3.complete_statement(statement):
            yield statement
            statement = ""
