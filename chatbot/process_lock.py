"""One process at a time: a file that the operating system locks.

The system drops the lock when the process ends, however it ends. The file alone says nothing, so
one that was left behind is in nobody's way.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final, Self

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


class LockHeldError(Exception):
    """Somebody has the lock, another process or this one; the text says who.

    Attributes:
        pid: of the process, or None where it could not be read.
    """

    def __init__(self, pid: int | None) -> None:
        super().__init__("another process" if pid is None else f"process {pid}")
        self.pid = pid


class ProcessLock:
    """A lock on a file, from `acquire` or `with` on until `release`.

    Args:
        path: the file (0600), which holds the pid of who has the lock; it stays when it is free.
    """

    __slots__ = ("_descriptor", "_path")

    def __init__(self, path: Path) -> None:
        self._path = path
        self._descriptor: int | None = None

    def acquire(self) -> None:
        """Take the lock, at once or not at all.

        Raises:
            LockHeldError: somebody has it.
            OSError: the file cannot be written, or its file system has no locks.
        """
        descriptor = os.open(self._path, os.O_CREAT | os.O_RDWR, 0o600)
        try:
            _lock(descriptor)
        except BaseException:
            os.close(descriptor)
            raise
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


def _lock(descriptor: int) -> None:
    try:
        _try_lock(descriptor)
    except (BlockingIOError, PermissionError):
        raise LockHeldError(_read_pid(descriptor)) from None
    os.ftruncate(descriptor, 0)
    os.lseek(descriptor, 0, os.SEEK_SET)
    os.write(descriptor, str(os.getpid()).encode())


def _read_pid(descriptor: int) -> int | None:
    os.lseek(descriptor, 0, os.SEEK_SET)
    text = os.read(descriptor, _PID_LENGTH)
    return int(text) if text.isdigit() else None
