"""The tables: what SRS 9.1 names is there, and rows that make no sense are refused."""

from __future__ import annotations

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from chatbot.client.storage import schema
from chatbot.client.storage.database import Database

SRS_COLUMNS = {
    "sessions": "peer_id session_id remote_identity_key remote_signed_prekey remote_fingerprint"
    " root_key ratchet_state status created_at updated_at",
    "verification_status": "peer_id fingerprint verified verified_at",
    "messages": "id peer_id from_user to_user content timestamp status type image_data"
    " is_encrypted created_at",
    "group_messages": "id group_id from_user content timestamp type created_at",
}
SRS_KEY_COLUMNS = {
    "identity_keys": "user_id identity_private_key identity_public_key signing_private_key"
    " signing_public_key fingerprint created_at",
    "prekeys": "key_id prekey_type private_key public_key signature created_at is_used",
}

MESSAGE = (
    "INSERT INTO messages (seq, from_user, id, is_encrypted, peer_id, to_user, content, timestamp,"
    " status, group_id, created_at) VALUES (?, 'ann', ?, ?, 'ann', 'bot', x'00', 1, 'sent', ?, 1)"
)
INBOX = """
INSERT INTO inbox (conversation, kind, message_seq, received_at) VALUES ('ann', 'direct', ?, 1)"""


@pytest.fixture
async def database(tmp_path: Path) -> AsyncIterator[Database]:
    async with await Database.open(tmp_path / "messages.db") as opened:
        await opened.migrate(schema.COMPONENT, schema.MIGRATIONS)
        yield opened


async def execute(database: Database, statement: str, *parameters: object) -> None:
    await database.write(lambda connection: connection.execute(statement, parameters))


async def columns(database: Database, table: str) -> set[str]:
    rows = await database.read(
        lambda connection: connection.execute(
            "SELECT name FROM pragma_table_info(?)", (table,)
        ).fetchall()
    )
    return {name for (name,) in rows}


@pytest.mark.parametrize("table", SRS_COLUMNS)
async def test_messages_has_the_columns_of_the_srs(database: Database, table: str) -> None:
    assert set(SRS_COLUMNS[table].split()) <= await columns(database, table)


@pytest.mark.parametrize("table", SRS_KEY_COLUMNS)
async def test_keys_has_the_columns_of_the_srs(tmp_path: Path, table: str) -> None:
    async with await Database.open(tmp_path / "keys.db") as database:
        await database.migrate(schema.KEYS_COMPONENT, schema.KEYS_MIGRATIONS)
        assert set(SRS_KEY_COLUMNS[table].split()) <= await columns(database, table)


async def test_a_message_id_counts_once_per_sender_and_encryption(database: Database) -> None:
    await execute(database, MESSAGE, 1, "id", 1, None)
    await execute(database, MESSAGE, 2, "id", 0, None)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await execute(database, MESSAGE, 3, "id", 1, None)


async def test_group_messages_are_the_messages_of_groups(database: Database) -> None:
    await execute(database, MESSAGE, 1, "direct", 1, None)
    await execute(database, MESSAGE, 2, "group", 0, "team")
    rows = await database.read(
        lambda connection: connection.execute("SELECT id, group_id FROM group_messages").fetchall()
    )
    assert rows == [("group", "team")]


async def test_a_message_that_waits_for_its_handler_cannot_be_deleted(database: Database) -> None:
    await execute(database, MESSAGE, 1, "id", 1, None)
    await execute(database, INBOX, 1)
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await execute(database, "DELETE FROM messages")
    await execute(database, "DELETE FROM inbox")
    await execute(database, "DELETE FROM messages")


async def test_an_inbox_row_needs_its_message_and_no_message_waits_twice(
    database: Database,
) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        await execute(database, INBOX, 1)
    await execute(database, MESSAGE, 1, "id", 1, None)
    await execute(database, INBOX, 1)
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"):
        await execute(database, INBOX, 1)


async def test_inbox_numbers_are_never_given_out_again(database: Database) -> None:
    for seq in range(1, 4):
        await execute(database, MESSAGE, seq, str(seq), 1, None)
        await execute(database, INBOX, seq)
        await execute(database, "DELETE FROM inbox")
    await execute(database, INBOX, 1)
    rows = await database.read(lambda c: c.execute("SELECT seq FROM inbox").fetchall())
    assert rows == [(4,)]


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO peers (peer_id, identity_key, updated_at) VALUES ('ann', x'00', 1)",
        "INSERT INTO peers (peer_id, identity_state, updated_at) VALUES ('ann', 'odd', 1)",
        "INSERT INTO seen VALUES ('ann', 'id', 2, 1, 1)",
        "INSERT INTO seen VALUES ('ann', 'id', 1, 5, 1)",
        "INSERT INTO skipped_keys VALUES ('ann', 's', zeroblob(32), -1, x'00', 1)",
        "INSERT INTO ephemeral_keys VALUES ('ann', zeroblob(31), 's', 1)",
        "INSERT INTO outbox VALUES (1, 'id', 'ann', 'direct', 'odd', NULL, 0, 0, 1, 0, 1)",
        "INSERT INTO watermarks VALUES ('ann', 'odd', 1, 1)",
    ],
)
async def test_rows_that_make_no_sense_are_refused(database: Database, statement: str) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        await execute(database, statement)
