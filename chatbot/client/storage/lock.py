"""One process per account: two writers of one ratchet would destroy it.

The operating system holds the lock and drops it when the process ends, however it ends. The file
alone says nothing, so one that was left behind is in nobody's way.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from chatbot.client.exceptions import StorageError, StorageLockedError

FILE_NAME: Final = "lock"
_PID_LENGTH: Final = 20

if sys.platform == "win32":
    import msvcrt

    # Windows locks bytes and lets nobody read them: the pid stays readable before this one.
    _LOCKED_BYTE: Final = 1024

    def _try_lock(descriptor: int) -> None:
        os.lseek(descriptor, _LOCKED_BYTE, os.SEEK_SET)
        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)

else:
    import fcntl

    def _try_lock(descriptor: int) -> None:
        # flock and not lockf: it belongs to the open file, so it keeps this process out as well.
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)


class AccountLock:
    """The right to an account's directory, from `acquire` or `with` on until `release`."""

    __slots__ = ("_descriptor", "_directory")

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, at once or not at all.

        Raises:
            StorageLockedError: somebody has it, another process or this one.
            StorageError: the directory is not writable, or its file system has no locks.
        """
        path = self._directory / FILE_NAME
        try:
            descriptor = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
        except OSError as error:
            raise StorageError(f"{error}. What to do: make {self._directory} writable") from error
        try:
            _try_lock(descriptor)
            os.ftruncate(descriptor, 0)
            os.lseek(descriptor, 0, os.SEEK_SET)
            os.write(descriptor, str(os.getpid()).encode())
        except (BlockingIOError, PermissionError):
            holder = _read_pid(descriptor)
            os.close(descriptor)
            raise _locked(self._directory, holder) from None
        except OSError as error:
            os.close(descriptor)
            raise StorageError(f"{path} cannot be locked: {error}") from error
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock back. May be called twice."""
        if self._descriptor is None:
            return
        descriptor, self._descriptor = self._descriptor, None
        with suppress(OSError):
            os.ftruncate(descriptor, 0)  # who finds a pid in an unlocked file knows of a crash
        os.close(descriptor)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def _read_pid(descriptor: int) -> int | None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, _PID_LENGTH)
    return int(text) if text.isdigit() else None


def _locked(directory: Path, pid: int | None) -> StorageLockedError:
    if pid == os.getpid():
        return StorageLockedError(
            f"{directory} is already open in this very process. What to do: close it first, "
            "or use the client that has it open",
            pid=pid,
        )
    holder = "another process" if pid is None else f"process {pid}"
    return StorageLockedError(
        f"{directory} is in use by {holder}. What to do: stop it first; one account "
        "can run only once",
        pid=pid,
    )
