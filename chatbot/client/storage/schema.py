"""The tables that the client itself uses (SRS 9.1); plugins and jobs add theirs to messages.db.

Columns marked sealed hold values of the vault. All times are ms since the epoch.
"""

from __future__ import annotations

from typing import Final

COMPONENT: Final = "client"
KEYS_COMPONENT: Final = "keys"

_PEERS_AND_SESSIONS: Final = """
CREATE TABLE peers (
    peer_id              TEXT PRIMARY KEY,
    username             TEXT,
    identity_key         BLOB CHECK (length(identity_key) = 32),
    identity_state       TEXT NOT NULL DEFAULT 'pinned'
                         CHECK (identity_state IN ('pinned', 'changed')),
    pinned_at            INTEGER,
    pending_identity_key BLOB CHECK (length(pending_identity_key) = 32),
    capabilities         TEXT NOT NULL DEFAULT '',
    record               BLOB,  -- sealed: which session to send in, and what is un-echoed
    updated_at           INTEGER NOT NULL
);

-- An ordinary rowid table: rows of half a kilobyte make poor leaves of a primary key's tree.
CREATE TABLE sessions (
    peer_id                 TEXT NOT NULL,
    session_id              TEXT NOT NULL,
    remote_identity_key     BLOB NOT NULL CHECK (length(remote_identity_key) = 32),
    remote_signed_prekey_id INTEGER,
    remote_signed_prekey    BLOB CHECK (length(remote_signed_prekey) = 32),
    remote_fingerprint      TEXT NOT NULL,
    root_key                BLOB,           -- sealed
    ratchet_state           BLOB NOT NULL,  -- sealed
    status                  TEXT NOT NULL DEFAULT 'ready',
    created_at              INTEGER NOT NULL,
    updated_at              INTEGER NOT NULL,
    PRIMARY KEY (peer_id, session_id)
);

CREATE TABLE skipped_keys (
    peer_id     TEXT NOT NULL,
    session_id  TEXT NOT NULL,
    ratchet_key BLOB NOT NULL CHECK (length(ratchet_key) = 32),
    number      INTEGER NOT NULL CHECK (number >= 0),
    message_key BLOB NOT NULL,  -- sealed
    created_at  INTEGER NOT NULL,
    PRIMARY KEY (peer_id, session_id, ratchet_key, number)
) WITHOUT ROWID;

CREATE TABLE ephemeral_keys (
    peer_id       TEXT NOT NULL,
    ephemeral_key BLOB NOT NULL CHECK (length(ephemeral_key) = 32),
    session_id    TEXT NOT NULL,
    expires_at    INTEGER NOT NULL,
    PRIMARY KEY (peer_id, ephemeral_key)
) WITHOUT ROWID;
CREATE INDEX idx_ephemeral_keys_expiry ON ephemeral_keys (expires_at);

CREATE TABLE verification_status (
    peer_id     TEXT PRIMARY KEY,
    fingerprint TEXT NOT NULL,
    verified    INTEGER NOT NULL DEFAULT 0 CHECK (verified IN (0, 1)),
    verified_at INTEGER,
    method      TEXT
);
"""

_MESSAGES: Final = """
-- peer_id is the conversation: the peer's user id, or the group's id.
CREATE TABLE messages (
    seq           INTEGER PRIMARY KEY,
    from_user     TEXT NOT NULL,
    id            TEXT NOT NULL,
    is_encrypted  INTEGER NOT NULL DEFAULT 1 CHECK (is_encrypted IN (0, 1)),
    peer_id       TEXT NOT NULL,
    to_user       TEXT NOT NULL,
    content       BLOB NOT NULL,  -- sealed
    timestamp     INTEGER NOT NULL,
    status        TEXT NOT NULL CHECK (status IN ('pending', 'sent', 'delivered', 'read')),
    type          TEXT NOT NULL DEFAULT 'text' CHECK (type IN ('text', 'image')),
    image_data    BLOB,           -- sealed
    group_id      TEXT,
    from_username TEXT,
    created_at    INTEGER NOT NULL
);
-- Ids of group messages are the server's and share no space with those of 1:1 messages.
CREATE UNIQUE INDEX idx_messages_id ON messages (from_user, id, is_encrypted, ifnull(group_id, ''));
CREATE INDEX idx_messages_peer ON messages (peer_id, timestamp);
CREATE INDEX idx_messages_status ON messages (status);

CREATE VIEW group_messages AS
    SELECT id, group_id, from_user, content, timestamp, type, created_at
    FROM messages WHERE group_id IS NOT NULL;

-- state: 0 reported as undecryptable, 1 delivered
CREATE TABLE seen (
    sender    TEXT NOT NULL,
    id        TEXT NOT NULL,
    encrypted INTEGER NOT NULL CHECK (encrypted IN (0, 1)),
    state     INTEGER NOT NULL CHECK (state IN (0, 1)),
    seen_at   INTEGER NOT NULL,
    PRIMARY KEY (sender, id, encrypted)
) WITHOUT ROWID;
CREATE INDEX idx_seen_age ON seen (seen_at);
"""

_QUEUES: Final = """
-- The reference keeps retention from removing a message that still waits for its handler.
CREATE TABLE inbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    conversation TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('direct', 'group')),
    message_seq  INTEGER NOT NULL UNIQUE REFERENCES messages (seq),
    received_at  INTEGER NOT NULL,
    attempts     INTEGER NOT NULL DEFAULT 0,
    state        TEXT NOT NULL DEFAULT 'ready' CHECK (state IN ('ready', 'parked')),
    not_before   INTEGER NOT NULL DEFAULT 0,
    error        TEXT
);
CREATE INDEX idx_inbox_conversation ON inbox (conversation, seq);
CREATE INDEX idx_inbox_parked ON inbox (seq) WHERE state = 'parked';

CREATE TABLE outbox (
    seq          INTEGER PRIMARY KEY AUTOINCREMENT,
    id           TEXT NOT NULL,
    recipient    TEXT NOT NULL,
    kind         TEXT NOT NULL CHECK (kind IN ('direct', 'group')),
    state        TEXT NOT NULL DEFAULT 'queued'
                 CHECK (state IN ('queued', 'sending', 'sent', 'delivered', 'failed')),
    session_id   TEXT,
    carries_x3dh INTEGER NOT NULL DEFAULT 0 CHECK (carries_x3dh IN (0, 1)),
    attempts     INTEGER NOT NULL DEFAULT 0,
    created_at   INTEGER NOT NULL,
    sent_at      INTEGER NOT NULL DEFAULT 0,
    expires_at   INTEGER NOT NULL,
    UNIQUE (id, recipient, kind)
);
CREATE INDEX idx_outbox_recipient ON outbox (kind, recipient);
CREATE INDEX idx_outbox_state ON outbox (state, sent_at);

CREATE TABLE watermarks (
    conversation TEXT PRIMARY KEY,
    kind         TEXT NOT NULL CHECK (kind IN ('direct', 'group')),
    position     INTEGER NOT NULL,
    updated_at   INTEGER NOT NULL
) WITHOUT ROWID;

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
"""

_GROUPS: Final = """
CREATE TABLE chat_groups (
    group_id   TEXT PRIMARY KEY,
    body       BLOB NOT NULL,  -- sealed
    updated_at INTEGER NOT NULL
);
"""

_KEYS: Final = """
CREATE TABLE vault (
    id     INTEGER PRIMARY KEY CHECK (id = 1),
    header BLOB NOT NULL
);

-- One row for every start: the subkey made with it seals what that start writes.
CREATE TABLE subkey_salts (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    salt       BLOB NOT NULL CHECK (length(salt) = 32),
    created_at INTEGER NOT NULL
);

CREATE TABLE identity_keys (
    user_id              TEXT PRIMARY KEY,
    identity_private_key BLOB NOT NULL,  -- sealed
    identity_public_key  BLOB NOT NULL CHECK (length(identity_public_key) = 32),
    signing_private_key  BLOB NOT NULL,  -- sealed
    signing_public_key   BLOB NOT NULL CHECK (length(signing_public_key) = 32),
    fingerprint          TEXT NOT NULL,
    created_at           INTEGER NOT NULL
);

-- A used one-time prekey is deleted and not marked: its secret must be gone.
CREATE TABLE prekeys (
    key_id      INTEGER PRIMARY KEY CHECK (key_id > 0),
    prekey_type TEXT NOT NULL CHECK (prekey_type IN ('signed', 'one_time')),
    private_key BLOB NOT NULL,  -- sealed: secret and public half
    public_key  BLOB NOT NULL CHECK (length(public_key) = 32),
    signature   BLOB CHECK (length(signature) = 64),
    created_at  INTEGER NOT NULL,
    uploaded_at INTEGER,
    is_used     INTEGER NOT NULL DEFAULT 0 CHECK (is_used = 0)
);

CREATE TABLE meta (
    key   TEXT PRIMARY KEY,
    value BLOB NOT NULL
) WITHOUT ROWID;
"""

MIGRATIONS: Final = (_PEERS_AND_SESSIONS + _MESSAGES + _QUEUES, _GROUPS)
"""Of messages.db. Only ever appended to: what stands here has been run on somebody's disk."""

KEYS_MIGRATIONS: Final = (_KEYS,)
"""The same for keys.db."""
