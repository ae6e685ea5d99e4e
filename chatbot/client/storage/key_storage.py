"""keys.db: who the account is. Its identity, its prekeys, and the password it logs in with.

A prekey is stored before it is uploaded, and deleted after the session that used it is safe in
messages.db, so the two files need no common transaction. Back up keys.db before messages.db.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing, OneTimePrekey, PrekeyPolicy, SignedPrekey
from chatbot.client.crypto.keys import KeyPair
from chatbot.client.crypto.vault import KEY_LENGTH, Argon2Parameters, Vault
from chatbot.client.exceptions import StorageError

from .batch import Unit
from .connection import connect_reader, storage_error
from .database import Database
from .vault_storage import change_password, open_vault

FILE_NAME: Final = "keys.db"

_ACCOUNT_PASSWORD: Final = "account_password"  # noqa: S105 - the name of its row
_TOKEN: Final = "token"  # noqa: S105 - the same

_SAVE_IDENTITY: Final = "INSERT INTO identity_keys VALUES (?, ?, ?, ?, ?, ?, ?)"

_SAVE_PREKEY: Final = """
INSERT INTO prekeys
    (key_id, prekey_type, private_key, public_key, signature, created_at, uploaded_at)
VALUES (?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (key_id) DO UPDATE SET uploaded_at = excluded.uploaded_at"""

_SAVE_NEXT_KEY_ID: Final = """
INSERT INTO meta VALUES ('next_key_id', ?)
ON CONFLICT (key) DO UPDATE SET value = max(value, excluded.value)"""

_RENEWAL_DUE: Final = "INSERT OR REPLACE INTO meta VALUES ('renewal', 1)"

Prekey = SignedPrekey | OneTimePrekey


def stored_fingerprint(directory: Path) -> str | None:
    """The fingerprint of the account in a directory, which nobody needs a password to know.

    Safe while a process has the account open.

    Returns:
        60 uppercase hex digits, or None where no account has been opened yet.

    Raises:
        StorageError: keys.db cannot be read or is damaged.
    """
    path = directory / FILE_NAME
    if not path.exists():
        return None
    try:
        with closing(connect_reader(path)) as connection:
            row = connection.execute("SELECT fingerprint FROM identity_keys").fetchone()
    except sqlite3.Error as error:
        raise storage_error(path, error) from error
    return None if row is None else str(row[0])


def _now() -> int:
    return time.time_ns() // 1_000_000


def begin_epoch(now: int) -> Unit[None]:
    """Start a new key epoch (ms): what is older is not handled, and no session goes on.

    Until `KeyStorage.renewed`, every start finds that sessions and prekeys have to be made anew.
    """

    def write(connection: sqlite3.Connection) -> None:
        connection.execute("UPDATE identity_keys SET created_at = ?", (now,))
        connection.execute(_RENEWAL_DUE)

    return write


class KeyStorage:
    """Reads and writes keys.db, whose secrets are sealed.

    Attributes:
        vault: also for what is sealed in messages.db.
        database: the one writer of this file.
    """

    def __init__(
        self, database: Database, vault: Vault, parameters: Argon2Parameters | None
    ) -> None:
        """Use `open`."""
        self.database: Final = database
        self.vault: Final = vault
        self._parameters = parameters

    @classmethod
    async def open(
        cls,
        directory: Path,
        storage_password: str,
        *,
        parameters: Argon2Parameters | None = None,
        clock: Callable[[], int] = _now,
    ) -> KeyStorage:
        """Open keys.db in an account's directory, or make it; the account's lock must be held.

        Args:
            directory: of the account.
            storage_password: opens the vault. There is no default.
            parameters: what Argon2id costs where a password is set; cheap ones are for tests.
            clock: ms since the epoch.

        Raises:
            WrongPasswordError: nothing on the disk was changed.
            ValidationError: the password is empty.
            StorageError: the file is damaged, not writable, or of a newer version.
        """
        database, vault = await open_vault(
            directory / FILE_NAME, storage_password, parameters=parameters, now=clock()
        )
        return cls(database, vault, parameters)

    # ------------------------------------------------------------ identity

    async def save_identity(self, user_id: str, identity: Identity, now: int) -> None:
        """Store who the account is. It stays so: a second identity is an error.

        Args:
            user_id: the account's.
            identity: new, or of an imported seed.
            now: the key epoch (ms): what is older was encrypted for other keys.

        Raises:
            StorageError: there is an identity already.
        """
        row = self._identity_row(user_id, identity, now)

        def write(connection: sqlite3.Connection) -> None:
            if connection.execute("SELECT 1 FROM identity_keys").fetchone():
                raise StorageError(f"{self.database.path} has an identity already")
            connection.execute(_SAVE_IDENTITY, row)

        await self.database.write(write)

    async def replace_identity(self, user_id: str, identity: Identity, now: int) -> None:
        """Take another identity from now (ms) on; the old one's private keys are gone.

        A new epoch begins: see `begin_epoch`.
        """
        row = self._identity_row(user_id, identity, now)

        def write(connection: sqlite3.Connection) -> None:
            connection.execute("DELETE FROM identity_keys")
            connection.execute("DELETE FROM prekeys")
            connection.execute(_SAVE_IDENTITY, row)
            connection.execute(_RENEWAL_DUE)

        await self.database.write(write)

    async def user_id(self) -> str | None:
        """Whose keys these are, or None while there is no identity."""
        user_id: str | None = await self._value("SELECT user_id FROM identity_keys")
        return user_id

    async def key_epoch(self) -> int | None:
        """When the identity came into this storage, or began anew in it (ms; PROTOCOL.md 4.3)."""
        epoch: int | None = await self._value("SELECT created_at FROM identity_keys")
        return epoch

    async def begin_epoch(self, now: int) -> None:
        """Start a new key epoch (ms) under the same identity: see `begin_epoch`."""
        await self.database.write(begin_epoch(now))

    async def renewal_due(self) -> bool:
        """Whether an epoch began whose prekeys are not published yet."""
        return await self._value("SELECT 1 FROM meta WHERE key = 'renewal'") is not None

    async def renewed(self) -> None:
        """The epoch's prekeys are published."""
        await self._execute("DELETE FROM meta WHERE key = 'renewal'", ())

    async def load_key_ring(self, policy: PrekeyPolicy | None = None) -> KeyRing | None:
        """Load all private keys, or None while there is no identity.

        Raises:
            StorageError: a key is damaged, was moved, or does not fit its public half.
        """
        return await self.database.read(
            lambda connection: self._load_key_ring(connection, policy or PrekeyPolicy())
        )

    # ------------------------------------------------------------ prekeys

    async def save_prekeys(self, key_ring: KeyRing, prekeys: Iterable[Prekey]) -> None:
        """Store prekeys before they are uploaded, and again when `uploaded_at` has changed.

        The ring's id counter goes along, so that no id is ever given out twice.
        """
        rows = [self._prekey_row(prekey) for prekey in prekeys]
        next_key_id = key_ring.next_key_id

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany(_SAVE_PREKEY, rows)
            connection.execute(_SAVE_NEXT_KEY_ID, (next_key_id,))

        await self.database.write(write)

    async def delete_prekeys(self, key_ids: Iterable[int]) -> None:
        """Delete private keys that were used, once the session is safe, or are too old."""
        rows = [(key_id,) for key_id in key_ids]

        def write(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM prekeys WHERE key_id = ?", rows)

        await self.database.write(write)

    # ------------------------------------------------------------ logging in

    async def account_password(self) -> str | None:
        """Return the password of the account on the backend, where it was kept."""
        return await self._secret(_ACCOUNT_PASSWORD)

    async def set_account_password(self, password: str | None) -> None:
        """Keep the account's password, sealed, or forget it."""
        await self._set_secret(_ACCOUNT_PASSWORD, password)

    async def token(self) -> str | None:
        """Return the last JWT; it may have expired."""
        return await self._secret(_TOKEN)

    async def set_token(self, token: str | None) -> None:
        """Keep a JWT, sealed, or forget it."""
        await self._set_secret(_TOKEN, token)

    async def change_password(self, old: str, new: str) -> None:
        """Change the storage password. Copies of the old file still open with the old one.

        Raises:
            WrongPasswordError: `old` is not the storage password; nothing was changed.
            ValidationError: one of them is empty.
        """
        await change_password(self.database, old, new, parameters=self._parameters)

    async def close(self) -> None:
        """Close keys.db. May be called twice."""
        await self.database.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    # ------------------------------------------------------------ rows

    def _load_key_ring(
        self, connection: sqlite3.Connection, policy: PrekeyPolicy
    ) -> KeyRing | None:
        identity = self._load_identity(connection)
        if identity is None:
            return None
        ring = KeyRing(identity, policy=policy)
        for kind, *row in connection.execute(
            "SELECT prekey_type, key_id, private_key, signature, created_at, uploaded_at"
            " FROM prekeys ORDER BY key_id"
        ):
            key_id, sealed, signature, created_at, uploaded_at = row
            pair = self.vault.open("prekeys", str(key_id), "private_key", sealed)
            key_pair = KeyPair(public=pair[KEY_LENGTH:], secret=pair[:KEY_LENGTH])
            if kind == "signed":
                ring.signed_prekeys[key_id] = SignedPrekey(key_id, key_pair, signature, created_at)
            else:
                ring.one_time_prekeys[key_id] = OneTimePrekey(
                    key_id, key_pair, created_at, uploaded_at
                )
        stored = connection.execute("SELECT value FROM meta WHERE key = 'next_key_id'").fetchone()
        ring.next_key_id = stored[0] if stored else 1
        return ring

    def _load_identity(self, connection: sqlite3.Connection) -> Identity | None:
        row = connection.execute(
            "SELECT user_id, identity_private_key, identity_public_key, signing_public_key"
            " FROM identity_keys"
        ).fetchone()
        if row is None:
            return None
        user_id, sealed, public, signing_key = row
        identity = Identity.from_seed(
            self.vault.open("identity_keys", user_id, "identity_private_key", sealed)
        )
        self._require_equal(identity.public_key, public, "identity")
        self._require_equal(identity.signing_key, signing_key, "signing key")
        return identity

    def _identity_row(self, user_id: str, identity: Identity, now: int) -> tuple[Any, ...]:
        identity_secret, signing_secret = (
            self.vault.seal("identity_keys", user_id, column, identity.seed)
            for column in ("identity_private_key", "signing_private_key")
        )
        return (
            user_id,
            identity_secret,
            identity.public_key,
            signing_secret,
            identity.signing_key,
            identity.fingerprint,
            now,
        )

    def _require_equal(self, derived: bytes, stored: bytes, name: str) -> None:
        if derived != stored:
            raise StorageError(
                f"{self.database.path}: the {name} does not fit its public half. What to do: "
                "restore a backup"
            )

    def _prekey_row(self, prekey: Prekey) -> tuple[Any, ...]:
        signed = isinstance(prekey, SignedPrekey)
        key_pair = prekey.key_pair
        pair = key_pair.secret + key_pair.public  # sealed as one, so that neither can be exchanged
        return (
            prekey.key_id,
            "signed" if signed else "one_time",
            self.vault.seal("prekeys", str(prekey.key_id), "private_key", pair),
            key_pair.public,
            prekey.signature if isinstance(prekey, SignedPrekey) else None,
            prekey.created_at,
            prekey.uploaded_at if isinstance(prekey, OneTimePrekey) else None,
        )

    async def _secret(self, name: str) -> str | None:
        sealed = await self._value("SELECT value FROM meta WHERE key = ?", (name,))
        return None if sealed is None else self.vault.open("meta", name, "value", sealed).decode()

    async def _set_secret(self, name: str, value: str | None) -> None:
        if value is None:
            await self._execute("DELETE FROM meta WHERE key = ?", (name,))
            return
        sealed = self.vault.seal("meta", name, "value", value.encode())
        await self._execute("REPLACE INTO meta VALUES (?, ?)", (name, sealed))

    async def _value(self, query: str, parameters: Sequence[Any] = ()) -> Any:
        def read(connection: sqlite3.Connection) -> Any:
            row = connection.execute(query, parameters).fetchone()
            return row[0] if row else None

        return await self.database.read(read)

    async def _execute(self, statement: str, parameters: Sequence[Any]) -> None:
        await self.database.write(lambda connection: connection.execute(statement, parameters))
