"""The runtime's tables in messages.db; columns marked sealed hold values of the vault.

They lie beside the client's, so that a handler's effects and the end of its message are one
transaction. All times are ms since the epoch.
"""

from __future__ import annotations

from typing import Final

COMPONENT: Final = "runtime"

_JOURNAL: Final = """
-- What a handler did at once, while its run ("m:<inbox seq>", "j:<job run>") has not ended.
-- name is the handler's key and the kind of step, n counts the steps of that name.
CREATE TABLE steps (
    run    TEXT NOT NULL,
    name   TEXT NOT NULL,
    n      INTEGER NOT NULL CHECK (n >= 0),
    result BLOB NOT NULL,  -- sealed
    at     INTEGER NOT NULL,
    PRIMARY KEY (run, name, n)
);

-- scope is empty for what a plugin keeps for itself, else whose state it is.
-- Keys lie in the clear, so that they can be asked for in order.
CREATE TABLE plugin_values (
    plugin     TEXT NOT NULL,
    scope      TEXT NOT NULL,
    key        TEXT NOT NULL,
    value      BLOB NOT NULL,  -- sealed
    updated_at INTEGER NOT NULL,
    PRIMARY KEY (plugin, scope, key)
);
"""

MIGRATIONS: Final = (_JOURNAL,)
"""Only ever appended to: what stands here has been run on somebody's disk."""
