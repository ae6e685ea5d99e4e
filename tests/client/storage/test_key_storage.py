"""keys.db: what one password opens, and nothing else does."""

from __future__ import annotations

import asyncio
import hashlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import closing
from functools import partial
from pathlib import Path

import pytest
from doubles.platforms import POSIX_ONLY
from msgspec.structs import replace

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing, OneTimePrekey, PrekeyPolicy, SignedPrekey
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.crypto.vault import Argon2Parameters
from chatbot.client.exceptions import StorageError, ValidationError, WrongPasswordError
from chatbot.client.storage.key_storage import KeyStorage

REPOSITORY = Path(__file__).parents[3]
CHEAP = Argon2Parameters(memory=8, passes=1, lanes=1)
PASSWORD = "open sesame"
ME = "5c6d1f0e-8f9b-4c7c-b0fc-6d2a0f7c3a11"

open_keys = partial(KeyStorage.open, parameters=CHEAP)


@pytest.fixture
async def keys(tmp_path: Path) -> AsyncIterator[KeyStorage]:
    async with await open_keys(tmp_path, PASSWORD) as opened:
        yield opened


def snapshot(directory: Path) -> dict[str, str]:
    return {
        str(path.relative_to(directory)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in directory.rglob("*")
        if path.is_file()
    }


def crash(directory: Path, copy: Path) -> Path:
    """What a power loss would leave of a directory that is in use."""
    shutil.copytree(directory, copy, dirs_exist_ok=True)
    (copy / "keys.db-shm").unlink()
    return copy


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute(statement)


async def make_account(keys: KeyStorage) -> KeyRing:
    identity = Identity.generate()
    await keys.save_identity(ME, identity, now=1000)
    one_time = [OneTimePrekey(key_id, generate_key_pair(), 3000) for key_id in range(2, 7)]
    ring = KeyRing(
        identity,
        {1: signed_prekey(identity, 1)},
        {prekey.key_id: prekey for prekey in one_time},
        next_key_id=7,
    )
    await keys.save_prekeys(ring, [*ring.signed_prekeys.values(), *one_time])
    return ring


def signed_prekey(identity: Identity, key_id: int) -> SignedPrekey:
    key_pair = generate_key_pair()
    return SignedPrekey(key_id, key_pair, identity.sign(key_pair.public), 2000)


class TestPassword:
    async def test_the_same_one_opens_it_again(self, tmp_path: Path) -> None:
        async with await open_keys(tmp_path, PASSWORD) as keys:
            sealed = keys.vault.seal("messages", "id", "content", b"hello")
            derived = keys.vault.derive("reply ids")
        async with await open_keys(tmp_path, PASSWORD) as keys:
            assert keys.vault.open("messages", "id", "content", sealed) == b"hello"
            assert keys.vault.derive("reply ids") == derived

    async def test_the_default_cost_is_not_the_cheap_one(self, tmp_path: Path) -> None:
        async with await KeyStorage.open(tmp_path, PASSWORD) as keys:
            header = await keys.database.read(
                lambda connection: connection.execute("SELECT header FROM vault").fetchone()[0]
            )
        async with await open_keys(tmp_path, PASSWORD):
            assert (64 * 1024).to_bytes(4, "big") in header

    async def test_a_wrong_one_changes_nothing(self, tmp_path: Path) -> None:
        await (await open_keys(tmp_path, PASSWORD)).close()
        before = snapshot(tmp_path)
        with pytest.raises(WrongPasswordError, match=r"keys\.db.*CHATBOT_STORAGE_PASSWORD"):
            await open_keys(tmp_path, "open barley")
        assert snapshot(tmp_path) == before
        assert list(before) == ["keys.db"]

    async def test_a_wrong_one_changes_nothing_after_a_crash(
        self, keys: KeyStorage, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        await make_account(keys)
        crashed = crash(tmp_path, tmp_path_factory.mktemp("crash"))
        before = snapshot(crashed)
        assert sorted(before) == ["keys.db", "keys.db-wal"]
        with pytest.raises(WrongPasswordError):
            await open_keys(crashed, "open barley")
        assert snapshot(crashed) == before
        async with await open_keys(crashed, PASSWORD) as recovered:
            assert await recovered.user_id() == ME

    @pytest.mark.parametrize("existing", [False, True])
    async def test_an_empty_one_is_refused_and_makes_nothing(
        self, tmp_path: Path, existing: bool
    ) -> None:
        if existing:
            await (await open_keys(tmp_path, PASSWORD)).close()
        before = snapshot(tmp_path)
        with pytest.raises(ValidationError, match="empty"):
            await open_keys(tmp_path, "")
        assert snapshot(tmp_path) == before

    async def test_nothing_blocks_the_loop_while_it_is_checked(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        threads: list[bool] = []
        to_thread = asyncio.to_thread

        async def noting(
            function: Callable[..., object], *args: object, **kwargs: object
        ) -> object:
            threads.append(function.__name__ in {"create", "unlock"})
            return await to_thread(function, *args, **kwargs)

        monkeypatch.setattr(asyncio, "to_thread", noting)
        await (await open_keys(tmp_path, PASSWORD)).close()
        await (await open_keys(tmp_path, PASSWORD)).close()
        assert threads.count(True) == 2


class TestChangingThePassword:
    async def test_the_new_one_opens_it_and_the_old_one_does_not(self, tmp_path: Path) -> None:
        async with await open_keys(tmp_path, PASSWORD) as keys:
            ring = await make_account(keys)
            await keys.change_password(PASSWORD, "new")
            assert await keys.load_key_ring() == ring_like(ring)
        with pytest.raises(WrongPasswordError):
            await open_keys(tmp_path, PASSWORD)
        async with await open_keys(tmp_path, "new") as keys:
            assert await keys.load_key_ring() == ring_like(ring)

    async def test_counts_at_once_even_after_a_crash(
        self, keys: KeyStorage, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        await keys.change_password(PASSWORD, "new")
        crashed = crash(tmp_path, tmp_path_factory.mktemp("crash"))
        with pytest.raises(WrongPasswordError):
            await open_keys(crashed, PASSWORD)
        await (await open_keys(crashed, "new")).close()

    async def test_needs_the_old_one(self, keys: KeyStorage, tmp_path: Path) -> None:
        before = snapshot(tmp_path)
        with pytest.raises(WrongPasswordError):
            await keys.change_password("wrong", "new")
        with pytest.raises(ValidationError):
            await keys.change_password(PASSWORD, "")
        assert snapshot(tmp_path) == before


def ring_like(ring: KeyRing) -> object:
    class Like:
        def __eq__(self, other: object) -> bool:
            return (
                isinstance(other, KeyRing)
                and other.identity.seed == ring.identity.seed
                and other.signed_prekeys == ring.signed_prekeys
                and other.one_time_prekeys == ring.one_time_prekeys
                and other.next_key_id == ring.next_key_id
            )

        __hash__ = None  # type: ignore[assignment]

    return Like()


class TestStarts:
    async def test_each_has_a_salt_of_its_own(self, tmp_path: Path) -> None:
        sealed = []
        for _ in range(4):
            async with await open_keys(tmp_path, PASSWORD, clock=lambda: 77) as keys:
                sealed.append(keys.vault.seal("t", "k", "c", b"same"))
                salts = await keys.database.read(
                    lambda c: c.execute("SELECT id, salt, created_at FROM subkey_salts").fetchall()
                )
                assert [keys.vault.open("t", "k", "c", value) for value in sealed] == [
                    b"same"
                ] * len(sealed)
        assert [row[0] for row in salts] == [1, 2, 3, 4]
        assert len({row[1] for row in salts}) == 4
        assert {row[2] for row in salts} == {77}
        assert len({value[17:] for value in sealed}) == 4

    async def test_the_salt_is_on_the_disk_before_anything_is_sealed(
        self, keys: KeyStorage, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        sealed = keys.vault.seal("t", "k", "c", b"value")
        crashed = crash(tmp_path, tmp_path_factory.mktemp("crash"))
        async with await open_keys(crashed, PASSWORD) as recovered:
            assert recovered.vault.open("t", "k", "c", sealed) == b"value"

    async def test_what_an_unlocking_left_behind_when_it_was_killed_goes(
        self, tmp_path: Path
    ) -> None:
        await (await open_keys(tmp_path, PASSWORD)).close()
        leftover = tmp_path / ".unlocking-abc"
        leftover.mkdir()
        (leftover / "keys.db").write_bytes(b"old copy")
        await (await open_keys(tmp_path, PASSWORD)).close()
        assert list(snapshot(tmp_path)) == ["keys.db"]

    @POSIX_ONLY
    async def test_the_file_is_private(self, keys: KeyStorage, tmp_path: Path) -> None:
        modes = {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        assert modes == {0o600}
        assert keys.database.path == tmp_path / "keys.db"


class TestIdentity:
    async def test_is_there_after_a_restart(self, tmp_path: Path) -> None:
        async with await open_keys(tmp_path, PASSWORD) as keys:
            assert await keys.load_key_ring() is None
            assert await keys.user_id() is None
            assert await keys.key_epoch() is None
            ring = await make_account(keys)
        async with await open_keys(tmp_path, PASSWORD) as keys:
            assert await keys.user_id() == ME
            assert await keys.key_epoch() == 1000
            assert await keys.load_key_ring() == ring_like(ring)

    async def test_is_never_replaced(self, keys: KeyStorage) -> None:
        ring = await make_account(keys)
        with pytest.raises(StorageError, match="has an identity already"):
            await keys.save_identity("somebody else", Identity.generate(), now=1)
        assert await keys.load_key_ring() == ring_like(ring)

    async def test_a_new_epoch(self, keys: KeyStorage) -> None:
        await make_account(keys)
        await keys.begin_epoch(9000)
        assert await keys.key_epoch() == 9000

    async def test_no_secret_lies_in_the_files(self, keys: KeyStorage, tmp_path: Path) -> None:
        ring = await make_account(keys)
        await keys.set_account_password("the account's password")
        await keys.set_token("header.payload.signature")
        pairs = [prekey.key_pair for prekey in ring.signed_prekeys.values()]
        pairs += [prekey.key_pair for prekey in ring.one_time_prekeys.values()]
        secrets = [
            ring.identity.seed,
            b"the account's password",
            b"header.payload.signature",
            PASSWORD.encode(),
            *(pair.secret for pair in pairs),
        ]
        content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
        assert ring.identity.public_key in content
        for secret in secrets:
            assert secret not in content


class TestPrekeys:
    async def test_uploading_is_noted(self, keys: KeyStorage) -> None:
        ring = await make_account(keys)
        uploaded = replace(ring.one_time_prekeys[2], uploaded_at=5000)
        ring.one_time_prekeys[2] = uploaded
        await keys.save_prekeys(ring, [uploaded])
        assert await keys.load_key_ring() == ring_like(ring)
        ring.one_time_prekeys[2] = replace(uploaded, uploaded_at=None)
        await keys.save_prekeys(ring, ring.one_time_prekeys.values())
        assert await keys.load_key_ring() == ring_like(ring)

    async def test_deleted_ones_are_gone_and_their_ids_are_not_given_out_again(
        self, tmp_path: Path
    ) -> None:
        async with await open_keys(tmp_path, PASSWORD) as keys:
            ring = await make_account(keys)
            row = "SELECT private_key FROM prekeys WHERE key_id = 6"
            (sealed,) = await keys.database.read(lambda c: c.execute(row).fetchone())
            await keys.delete_prekeys([5, 6])
        assert sealed not in (tmp_path / "keys.db").read_bytes()
        async with await open_keys(tmp_path, PASSWORD) as keys:
            loaded = await keys.load_key_ring()
            assert loaded is not None
            assert sorted([*loaded.signed_prekeys, *loaded.one_time_prekeys]) == [1, 2, 3, 4]
            assert loaded.next_key_id == ring.next_key_id == 7

    async def test_the_counter_never_goes_back(self, keys: KeyStorage) -> None:
        ring = await make_account(keys)
        older = KeyRing(ring.identity, next_key_id=2)
        await keys.save_prekeys(older, [])
        loaded = await keys.load_key_ring()
        assert loaded is not None
        assert loaded.next_key_id == 7

    async def test_the_policy_is_the_callers(self, keys: KeyStorage) -> None:
        await make_account(keys)
        policy = PrekeyPolicy(target=7)
        loaded = await keys.load_key_ring(policy)
        assert loaded is not None
        assert loaded.policy is policy


class TestLogin:
    async def test_password_and_token_are_kept_and_forgotten(self, tmp_path: Path) -> None:
        async with await open_keys(tmp_path, PASSWORD) as keys:
            assert await keys.account_password() is None
            assert await keys.token() is None
            await keys.set_account_password("first")
            await keys.set_account_password("pässword")
            await keys.set_token("jwt")
        async with await open_keys(tmp_path, PASSWORD) as keys:
            assert await keys.account_password() == "pässword"
            assert await keys.token() == "jwt"
            await keys.set_token(None)
            await keys.set_account_password(None)
            assert await keys.account_password() is None
            assert await keys.token() is None


class TestDamage:
    @pytest.mark.parametrize(
        ("statement", "message"),
        [
            ("UPDATE vault SET header = x'c0'", "header is damaged"),
            ("DELETE FROM vault", "header is gone"),
            ("UPDATE schema_versions SET version = 9", "newer version"),
        ],
    )
    async def test_is_named_and_nothing_overwritten(
        self, tmp_path: Path, statement: str, message: str
    ) -> None:
        await (await open_keys(tmp_path, PASSWORD)).close()
        change(tmp_path / "keys.db", statement)
        before = snapshot(tmp_path)
        with pytest.raises(StorageError, match=rf"keys\.db.*{message}"):
            await open_keys(tmp_path, PASSWORD)
        assert snapshot(tmp_path) == before

    async def test_a_file_that_is_no_database(self, tmp_path: Path) -> None:
        (tmp_path / "keys.db").write_bytes(b"not a database at all" * 500)
        before = snapshot(tmp_path)
        with pytest.raises(StorageError, match=r"keys\.db.*not a database.*restore a backup"):
            await open_keys(tmp_path, PASSWORD)
        assert snapshot(tmp_path) == before

    @pytest.mark.parametrize("empty", [False, True])
    async def test_lost_keys_are_not_replaced_while_messages_are_sealed_with_them(
        self, tmp_path: Path, empty: bool
    ) -> None:
        (tmp_path / "messages.db").write_bytes(b"sealed")
        if empty:
            (tmp_path / "keys.db").touch()
        before = snapshot(tmp_path)
        with pytest.raises(StorageError, match=r"keys\.db is missing or empty.*restore both"):
            await open_keys(tmp_path, PASSWORD)
        assert snapshot(tmp_path) == before

    @pytest.mark.parametrize(
        "statement",
        [
            "UPDATE prekeys SET private_key = (SELECT max(private_key) FROM prekeys)",
            "UPDATE identity_keys SET identity_private_key = signing_private_key",
            "UPDATE identity_keys SET user_id = 'somebody else'",
            "UPDATE identity_keys SET identity_public_key = zeroblob(32)",
            "UPDATE identity_keys SET signing_public_key = zeroblob(32)",
            "UPDATE subkey_salts SET salt = zeroblob(32)",
        ],
        ids=["swapped-prekey", "swapped-column", "user", "identity", "signing-key", "salt"],
    )
    async def test_exchanged_values_are_noticed(self, tmp_path: Path, statement: str) -> None:
        async with await open_keys(tmp_path, PASSWORD) as keys:
            await make_account(keys)
        change(tmp_path / "keys.db", statement)
        async with await open_keys(tmp_path, PASSWORD) as keys:
            with pytest.raises(StorageError):
                await keys.load_key_ring()


KILLED_WHILE_CREATING = """
import asyncio, os, sys
from pathlib import Path
from chatbot.client.crypto.vault import Argon2Parameters
from chatbot.client.storage import vault_storage
from chatbot.client.storage.key_storage import KeyStorage

def die(*_, **__):
    os._exit(9)

if sys.argv[2] == "before the tables":
    vault_storage.Database.migrate = die
else:
    vault_storage._begin = die
asyncio.run(KeyStorage.open(Path(sys.argv[1]), "p", parameters=Argon2Parameters(8, 1, 1)))
"""


@pytest.mark.parametrize("instant", ["before the tables", "before the header"])
async def test_a_first_start_that_was_killed_is_begun_again(tmp_path: Path, instant: str) -> None:
    result = await asyncio.to_thread(
        subprocess.run,
        [sys.executable, "-c", KILLED_WHILE_CREATING, str(tmp_path), instant],
        check=False,
        capture_output=True,
        cwd=REPOSITORY,
        timeout=60,
    )
    assert result.returncode == 9, result.stderr
    assert (tmp_path / "keys.db").exists()
    async with await open_keys(tmp_path, PASSWORD) as keys:
        await make_account(keys)
