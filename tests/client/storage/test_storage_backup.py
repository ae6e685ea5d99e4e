"""A backup is one file that holds everything and shows nothing."""

from __future__ import annotations

import os
import sqlite3
import stat
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest
from doubles.clients import CHEAP

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.sealed_stream import seal
from chatbot.client.exceptions import StorageError, ValidationError, WrongPasswordError
from chatbot.client.storage.backup import Owner, remove_leftovers, restore_backup, write_backup
from chatbot.client.storage.database import Database
from chatbot.client.storage.key_storage import KeyStorage
from chatbot.client.storage.paths import AccountIndex, account_directory
from chatbot.client.storage.schema import COMPONENT, MIGRATIONS

OWNER = Owner("user-7", "alice", "https://chat.example")
PASSWORD = "of the backup"
STORAGE_PASSWORD = "of the files"
IDENTITY = Identity.from_seed(bytes(range(32)))
NOW = 9_000_000


@pytest.fixture
async def databases(tmp_path: Path) -> AsyncIterator[list[Database]]:
    """An account in use."""
    directory = account_directory(tmp_path / "accounts", OWNER.user_id)
    async with (
        await KeyStorage.open(directory, STORAGE_PASSWORD, parameters=CHEAP) as keys,
        await Database.open(directory / "messages.db") as messages,
    ):
        await keys.save_identity(OWNER.user_id, IDENTITY, 1000)
        await messages.migrate(COMPONENT, MIGRATIONS)
        await messages.write(_note("a thing to remember"))
        yield [keys.database, messages]


def _note(text: str) -> Callable[[sqlite3.Connection], object]:
    return lambda connection: connection.execute("INSERT INTO meta VALUES ('note', ?)", (text,))


@pytest.fixture
async def backup(databases: list[Database], tmp_path: Path) -> Path:
    path = tmp_path / "alice.backup"
    await write_backup(path, PASSWORD, OWNER, databases, parameters=CHEAP)
    return path


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    return tmp_path / "elsewhere"


async def test_everything_comes_back(backup: Path, elsewhere: Path) -> None:
    assert await restore_backup(backup, PASSWORD, elsewhere, now=NOW) == OWNER
    directory = account_directory(elsewhere, OWNER.user_id)
    async with (
        await KeyStorage.open(directory, STORAGE_PASSWORD) as keys,
        await Database.open(directory / "messages.db") as messages,
    ):
        ring = await keys.load_key_ring()
        assert ring is not None
        assert ring.identity == IDENTITY
        assert await keys.key_epoch() == NOW
        assert await keys.renewal_due()
        assert await messages.read(
            lambda connection: connection.execute("SELECT value FROM meta").fetchall()
        ) == [("a thing to remember",)]
    assert AccountIndex(elsewhere).find(OWNER.server_url, "alice") == OWNER.user_id


async def test_it_is_one_private_file_that_shows_nothing(backup: Path) -> None:
    content = backup.read_bytes()
    for secret in (b"alice", b"user-7", b"chat.example", b"SQLite", b"remember", IDENTITY.seed):
        assert secret not in content
    if os.name == "posix":
        assert stat.S_IMODE(backup.stat().st_mode) == 0o600


async def test_only_the_backup_is_left(
    backup: Path, databases: list[Database], elsewhere: Path
) -> None:
    await restore_backup(backup, PASSWORD, elsewhere, now=NOW)
    assert sorted(p.name for p in elsewhere.iterdir()) == ["accounts.json", OWNER.user_id]
    restored = elsewhere / OWNER.user_id
    assert sorted(p.name for p in restored.iterdir()) == ["keys.db", "messages.db"]
    assert [p.name for p in backup.parent.iterdir() if p.name.startswith(".")] == []
    assert list(databases[0].path.parent.glob(".backup-*")) == []
    if os.name == "posix":
        assert stat.S_IMODE(restored.stat().st_mode) == 0o700
        assert {stat.S_IMODE(p.stat().st_mode) for p in restored.iterdir()} == {0o600}


async def test_the_account_stays_in_use(databases: list[Database], tmp_path: Path) -> None:
    """What is written meanwhile is in it or not, but never half."""
    writes = [databases[1].submit(_page(number)) for number in range(200)]
    await write_backup(tmp_path / "b", PASSWORD, OWNER, databases, parameters=CHEAP)
    for write in writes:
        await write
    await restore_backup(tmp_path / "b", PASSWORD, tmp_path / "there", now=NOW)
    with closing(sqlite3.connect(tmp_path / "there" / OWNER.user_id / "messages.db")) as copy:
        assert copy.execute("PRAGMA integrity_check").fetchone() == ("ok",)
        rows = copy.execute("SELECT count(*) FROM meta WHERE key LIKE 'page%'").fetchone()[0]
        assert rows % 2 == 0


def _page(number: int) -> Callable[[sqlite3.Connection], None]:
    def write(connection: sqlite3.Connection) -> None:
        connection.execute("INSERT INTO meta VALUES (?, ?)", (f"page {number} left", "x" * 9000))
        connection.execute("INSERT INTO meta VALUES (?, ?)", (f"page {number} right", "y" * 9000))

    return write


async def test_a_file_that_exists_is_not_replaced(backup: Path, databases: list[Database]) -> None:
    before = backup.read_bytes()
    with pytest.raises(StorageError, match="exists already"):
        await write_backup(backup, PASSWORD, OWNER, databases, parameters=CHEAP)
    assert backup.read_bytes() == before


async def test_nothing_is_left_where_it_cannot_be_written(
    databases: list[Database], tmp_path: Path
) -> None:
    with pytest.raises(StorageError, match="nowhere"):
        await write_backup(tmp_path / "nowhere" / "b", PASSWORD, OWNER, databases, parameters=CHEAP)
    with pytest.raises(ValidationError, match="empty"):
        await write_backup(tmp_path / "b", "", OWNER, databases, parameters=CHEAP)
    assert not (tmp_path / "b").exists()
    assert [p for p in tmp_path.iterdir() if p.name.startswith(".")] == []


async def test_an_account_that_is_there_is_not_touched(
    backup: Path, databases: list[Database]
) -> None:
    directory = databases[0].path.parent
    before = {p.name for p in directory.iterdir()}
    with pytest.raises(StorageError, match=f"{directory} exists already"):
        await restore_backup(backup, PASSWORD, directory.parent, now=NOW)
    assert {p.name for p in directory.iterdir()} == before


@pytest.mark.parametrize("position", [0, 20, 100, 1000, -20_000, -1])
async def test_a_damaged_backup_writes_nothing(
    backup: Path, elsewhere: Path, position: int
) -> None:
    content = bytearray(backup.read_bytes())
    content[position] ^= 1
    backup.write_bytes(content)
    with pytest.raises(StorageError):
        await restore_backup(backup, PASSWORD, elsewhere, now=NOW)
    assert not elsewhere.exists()


async def test_the_wrong_password_writes_nothing(backup: Path, elsewhere: Path) -> None:
    with pytest.raises(WrongPasswordError):
        await restore_backup(backup, "a guess", elsewhere, now=NOW)
    with pytest.raises(StorageError, match="missing"):
        await restore_backup(elsewhere / "missing", PASSWORD, elsewhere, now=NOW)
    assert not elsewhere.exists()


def _sealed(path: Path, *pieces: bytes) -> Path:
    path.write_bytes(b"".join(seal(pieces, PASSWORD, parameters=CHEAP)))
    return path


def _manifest(*sizes: int, owner: Owner = OWNER) -> bytes:
    encoded = msgspec.json.encode({"owner": owner, "sizes": sizes})
    return len(encoded).to_bytes(4) + encoded


@pytest.mark.parametrize(
    ("pieces", "words"),
    [
        ([b"\0\0\0\x02[]"], "newer version"),
        ([b"\xff\xff\xff\xff"], "ends before"),
        ([_manifest(4, 4), b"12345"], "ends before"),
        ([_manifest(4, 4), b"123456789"], "goes on after"),
        ([_manifest(-1, 4)], "newer version"),
    ],
)
async def test_what_is_sealed_but_no_account(
    tmp_path: Path, elsewhere: Path, pieces: list[bytes], words: str
) -> None:
    with pytest.raises(StorageError, match=words):
        await restore_backup(_sealed(tmp_path / "b", *pieces), PASSWORD, elsewhere, now=NOW)
    assert not elsewhere.exists()


async def test_an_id_leads_nowhere_but_into_the_storage(
    databases: list[Database], tmp_path: Path, elsewhere: Path
) -> None:
    """The keys have to be the owner's, and no id is taken for a path."""
    evil = Owner("../../evil", "alice", OWNER.server_url)
    await write_backup(tmp_path / "b", PASSWORD, evil, databases, parameters=CHEAP)
    with pytest.raises(StorageError, match="another account"):
        await restore_backup(tmp_path / "b", PASSWORD, elsewhere, now=NOW)
    assert list(elsewhere.iterdir()) == []


async def test_leftovers_of_a_crash_are_removed(
    backup: Path, databases: list[Database], elsewhere: Path
) -> None:
    half = elsewhere / f".restoring-{OWNER.user_id}"
    half.mkdir(parents=True)
    (half / "keys.db").write_text("half")
    await restore_backup(backup, PASSWORD, elsewhere, now=NOW)
    assert not half.exists()
    scratch = databases[0].path.parent / ".backup-killed"
    scratch.mkdir()
    (scratch / "keys.db").write_text("half")
    remove_leftovers(scratch.parent)
    assert not scratch.exists()
