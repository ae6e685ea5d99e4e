"""The tables of the backend, as the steps that led to them. Steps are only ever added."""

from __future__ import annotations

from typing import Final

_INITIAL: Final = """
CREATE TABLE meta (
    name TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;

CREATE TABLE users (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    username TEXT NOT NULL UNIQUE,
    role TEXT NOT NULL DEFAULT 'user',
    is_active INTEGER NOT NULL DEFAULT 1,
    can_send_images INTEGER NOT NULL DEFAULT 1,
    created_at INTEGER NOT NULL,
    last_seen INTEGER,
    disabled_at INTEGER,
    disabled_by TEXT,
    password_hash TEXT NOT NULL,
    avatar TEXT
);

CREATE TABLE identities (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    identity_key TEXT NOT NULL,
    signing_key TEXT NOT NULL,
    fingerprint TEXT NOT NULL,
    published_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE signed_prekeys (
    user_id TEXT PRIMARY KEY REFERENCES users (id),
    key_id INTEGER NOT NULL,
    public_key TEXT NOT NULL,
    signature TEXT NOT NULL,
    created_at INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE one_time_prekeys (
    user_id TEXT NOT NULL REFERENCES users (id),
    key_id INTEGER NOT NULL,
    public_key TEXT NOT NULL,
    used INTEGER NOT NULL DEFAULT 0,
    created_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, key_id)
) WITHOUT ROWID;
CREATE INDEX unused_prekeys ON one_time_prekeys (user_id, created_at, key_id) WHERE used = 0;

CREATE TABLE verifications (
    user_id TEXT NOT NULL REFERENCES users (id),
    verified_user_id TEXT NOT NULL REFERENCES users (id),
    fingerprint TEXT NOT NULL,
    method TEXT NOT NULL,
    verified_at INTEGER NOT NULL,
    PRIMARY KEY (user_id, verified_user_id)
) WITHOUT ROWID;

CREATE TABLE messages (
    seq INTEGER PRIMARY KEY,
    pair TEXT NOT NULL,
    id TEXT NOT NULL,
    from_user TEXT NOT NULL REFERENCES users (id),
    to_user TEXT NOT NULL REFERENCES users (id),
    timestamp INTEGER NOT NULL,
    status TEXT NOT NULL,
    read_at INTEGER,
    type TEXT NOT NULL,
    encrypted INTEGER NOT NULL,
    content TEXT NOT NULL,
    image_data TEXT
);
CREATE UNIQUE INDEX message_ids ON messages (id, to_user, from_user);
CREATE INDEX conversations ON messages (pair, timestamp);

CREATE TABLE chat_groups (
    seq INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    description TEXT,
    owner_id TEXT NOT NULL REFERENCES users (id),
    settings TEXT NOT NULL,
    created_at INTEGER NOT NULL,
    updated_at INTEGER NOT NULL,
    avatar TEXT
);

CREATE TABLE group_members (
    group_id TEXT NOT NULL REFERENCES chat_groups (id),
    user_id TEXT NOT NULL REFERENCES users (id),
    role TEXT NOT NULL,
    joined_at INTEGER NOT NULL,
    added_by TEXT,
    PRIMARY KEY (group_id, user_id)
) WITHOUT ROWID;
CREATE INDEX memberships ON group_members (user_id);

CREATE TABLE group_messages (
    seq INTEGER PRIMARY KEY,
    group_id TEXT NOT NULL REFERENCES chat_groups (id),
    id TEXT NOT NULL,
    from_user TEXT NOT NULL REFERENCES users (id),
    timestamp INTEGER NOT NULL,
    type TEXT NOT NULL,
    system_event TEXT,
    metadata TEXT,
    content TEXT NOT NULL,
    image_data TEXT
);
CREATE UNIQUE INDEX group_message_ids ON group_messages (group_id, from_user, id);
CREATE UNIQUE INDEX group_history ON group_messages (group_id, timestamp);

CREATE TABLE group_invites (
    id TEXT PRIMARY KEY,
    group_id TEXT NOT NULL REFERENCES chat_groups (id),
    link_code TEXT NOT NULL UNIQUE,
    created_by TEXT NOT NULL REFERENCES users (id),
    created_at INTEGER NOT NULL,
    expires_at INTEGER,
    max_uses INTEGER,
    uses INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;
CREATE INDEX group_invite_lists ON group_invites (group_id);
"""

MIGRATIONS: Final[tuple[str, ...]] = (_INITIAL,)
"""Script n leads from version n to version n + 1."""
