"""One process per account: two writers of one ratchet would destroy it."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from chatbot.client.exceptions import StorageError, StorageLockedError
from chatbot.process_lock import LockHeldError, ProcessLock

FILE_NAME: Final = "lock"


class AccountLock(ProcessLock):
    """The right to an account's directory, from `acquire` or `with` on until `release`."""

    __slots__ = ("_directory",)

    def __init__(self, directory: Path) -> None:
        super().__init__(directory / FILE_NAME)
        self._directory = directory

    def acquire(self) -> None:
        """Take the lock, at once or not at all.

        Raises:
            StorageLockedError: somebody has it, another process or this one.
            StorageError: the directory is not writable, or its file system has no locks.
        """
        try:
            super().acquire()
        except LockHeldError as error:
            raise _locked(self._directory, error) from None
        except OSError as error:
            raise StorageError(
                f"{self._directory / FILE_NAME} cannot be locked: {error.strerror}. "
                f"What to do: make {self._directory} writable for this user"
            ) from error


def _locked(directory: Path, held: LockHeldError) -> StorageLockedError:
    if held.pid == os.getpid():
        return StorageLockedError(
            f"{directory} is already open in this very process. What to do: close it first, "
            "or use the client that has it open",
            pid=held.pid,
        )
    return StorageLockedError(
        f"{directory} is in use by {held}. What to do: stop it first; one account "
        "can run only once",
        pid=held.pid,
    )
