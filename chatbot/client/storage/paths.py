"""Where accounts lie on the disk: `{storage_path}/{user_id}/`, and the index of who has which."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import Final

import msgspec
from msgspec import Struct

from chatbot.client.exceptions import StorageError

from .files import make_private_directory, tighten, write_private

MESSAGES_FILE: Final = "messages.db"

_INDEX: Final = "accounts.json"

# Lower case only: two ids must not meet in one directory where the file system ignores case.
_PLAIN_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_WINDOWS_DEVICE: Final = re.compile(r"con|prn|aux|nul|com[0-9]|lpt[0-9]")


def storage_directory(storage_path: str | Path) -> Path:
    """Return the directory of all accounts, made if need be; `~` is the user's home.

    Raises:
        StorageError: it cannot be made or written to.
    """
    try:
        directory = Path(storage_path).expanduser().absolute()
    except RuntimeError as error:
        raise StorageError(f"{storage_path}: {error}. What to do: give a full path") from error
    return _make(directory)


def account_directory(storage_path: str | Path, user_id: str) -> Path:
    """Return the directory (0700) of one account, made if need be.

    Raises:
        StorageError: it cannot be made or written to.
    """
    directory = _make(storage_directory(storage_path) / directory_name(user_id))
    try:
        tighten(directory)
    except OSError as error:
        raise _unusable(directory, error.strerror) from error
    return directory


def directory_name(user_id: str) -> str:
    """Return a path segment for a user id: the id itself, or its hash where it is not a plain name.

    A backend makes up the ids, so nothing of one is trusted: no separator, dot, device name,
    upper case or length gets through. A hash holds a dot, which no plain name does.
    """
    if _PLAIN_NAME.fullmatch(user_id) and not _WINDOWS_DEVICE.fullmatch(user_id):
        return user_id
    digest = hashlib.sha256(user_id.encode(errors="surrogatepass")).hexdigest()
    return f"id.{digest[:40]}"


def _make(directory: Path) -> Path:
    try:
        make_private_directory(directory)
    except OSError as error:
        raise _unusable(directory, error.strerror) from error
    if not os.access(directory, os.R_OK | os.W_OK | os.X_OK):
        raise _unusable(directory, "not writable for this user")
    return directory


def _unusable(directory: Path, reason: str | None) -> StorageError:
    return StorageError(
        f"the storage directory {directory} cannot be used: {reason}. What to do: choose another "
        "[storage] path, or make this one writable"
    )


class _Account(Struct, frozen=True):
    server_url: str
    username: str
    user_id: str


class AccountIndex:
    """Which user id a username has on a server, so that an account opens without the network.

    Every login writes it again where it changed: what is lost is only the way in while offline.
    """

    def __init__(self, storage_path: str | Path) -> None:
        self._path = storage_directory(storage_path) / _INDEX

    def find(self, server_url: str | None, username: str) -> str | None:
        """Return the user id, or None for one that has not logged in here yet.

        Args:
            server_url: None for whichever server; an embedded one may change its port.
            username: exact.

        Raises:
            StorageError: the index is damaged.
        """
        server = None if server_url is None else _server(server_url)
        found = (
            account.user_id
            for account in self._load()
            if account.username == username and server in {None, account.server_url}
        )
        return next(found, None)

    def remember(self, server_url: str, username: str, user_id: str) -> None:
        """Note a user id, durably.

        Raises:
            StorageError: the index is damaged or cannot be written.
        """
        account = _Account(_server(server_url), username, user_id)
        accounts = self._load()
        if account in accounts:
            return
        same = account.server_url, account.username
        kept = [a for a in accounts if (a.server_url, a.username) != same]
        try:
            write_private(self._path, msgspec.json.encode([*kept, account]))
        except OSError as error:
            raise StorageError(f"{self._path} cannot be written: {error.strerror}") from error

    def _load(self) -> list[_Account]:
        try:
            return msgspec.json.decode(self._path.read_bytes(), type=list[_Account])
        except FileNotFoundError:
            return []
        except OSError as error:
            raise StorageError(f"{self._path} cannot be read: {error.strerror}") from error
        except msgspec.DecodeError as error:
            raise StorageError(
                f"{self._path} is damaged: {error}. What to do: delete it; the next login makes "
                "it again"
            ) from error


def _server(url: str) -> str:
    return url.rstrip("/").lower()
