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

_ACCESS: Final = """
-- An empty user or chat stands for all of them.
CREATE TABLE grants (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    effect     TEXT NOT NULL CHECK (effect IN ('allow', 'deny')),
    permission TEXT NOT NULL,
    user_id    TEXT NOT NULL DEFAULT '',
    chat_id    TEXT NOT NULL DEFAULT '',
    added_at   INTEGER NOT NULL,
    UNIQUE (effect, permission, user_id, chat_id)
);

CREATE TABLE roles (
    user_id TEXT PRIMARY KEY,
    role    TEXT NOT NULL CHECK (role IN ('moderator', 'admin')),
    set_at  INTEGER NOT NULL
);

-- Who a user name of the configuration turned out to be when it was first met.
CREATE TABLE pinned_names (
    name        TEXT PRIMARY KEY,
    user_id     TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    pinned_at   INTEGER NOT NULL
);

-- Every use of a privileged command, and every attempt.
CREATE TABLE audit (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    run        TEXT NOT NULL,
    permission TEXT NOT NULL,
    user_id    TEXT NOT NULL,
    chat_id    TEXT NOT NULL,
    message_id TEXT NOT NULL,
    outcome    TEXT NOT NULL CHECK (outcome IN ('allow', 'confirm', 'deny')),
    reason     TEXT NOT NULL,
    at         INTEGER NOT NULL,
    UNIQUE (run, permission, outcome)
);
"""

_JOBS: Final = """
-- id is the declared job's key, or random for one that was scheduled at run time.
CREATE TABLE jobs (
    id         TEXT PRIMARY KEY,
    endpoint   TEXT NOT NULL,
    plugin     TEXT NOT NULL,
    declared   INTEGER NOT NULL CHECK (declared IN (0, 1)),
    schedule   TEXT NOT NULL,
    arguments  BLOB NOT NULL,  -- sealed
    created_at INTEGER NOT NULL,
    next_run   INTEGER         -- NULL where it does not run again by itself
);
CREATE INDEX idx_jobs_next_run ON jobs (next_run);

-- Runs that have not ended. As long as a job has one that is ready it does not fire again.
CREATE TABLE job_runs (
    seq        INTEGER PRIMARY KEY AUTOINCREMENT,
    job_id     TEXT NOT NULL,
    fire_time  INTEGER NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    state      TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'parked')),
    not_before INTEGER NOT NULL DEFAULT 0,
    error      TEXT,
    UNIQUE (job_id, fire_time)
);
"""

_PLUGINS: Final = """
-- Listed plugins that were switched off in the chat, and stay so.
CREATE TABLE plugins_off (
    name   TEXT PRIMARY KEY,
    off_at INTEGER NOT NULL
);
"""

MIGRATIONS: Final = (_JOURNAL + _ACCESS + _JOBS + _PLUGINS,)
"""Only ever appended to: what stands here has been run on somebody's disk."""
