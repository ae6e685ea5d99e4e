"""A disk with a cache that a power cut empties: a SQLite VFS under everything in this process.

`install` makes it the default of the SQLite that Python's `sqlite3` uses, so that the program under
test needs to know nothing of it. It stands in front of the system's own VFS and replaces six
functions of every database and write-ahead log that is opened; locks and shared memory stay the
system's.

With `loses_cache` what is written stays in this process until SQLite syncs the file, as it would
stay in a drive's cache. A SIGKILL at any instant then leaves what a power cut would: what was
synced, of the rest only what the cache happened to have written by itself, and of a sync that was
going on some pages and not others. What that cannot show: a drive that lies about its syncs, and
what becomes of names in a directory.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sqlite3
import threading
from collections.abc import Callable
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_int64, c_void_p
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

_OK: Final = 0
_IOERR: Final = 10
_SHORT_READ: Final = _IOERR | 2 << 8
_FULL: Final = 13

_MAIN_DB: Final = 0x00000100
_WAL: Final = 0x00080000

_SECTOR: Final = 512
"""What a disk writes wholly or not at all."""

_SPONTANEOUS: Final = 0.02
"""The share of writes that the cache writes back at once, though nobody asked."""


class DiskUnavailableError(Exception):
    """This Python's SQLite cannot be reached from outside."""


@dataclass(slots=True)
class Disk:
    """What the disk does.

    Attributes:
        loses_cache: whether what was not synced is gone with the process.
        dies_at: at this operation (a write or a sync, counted from 1) the process is killed.
        full: whether there is no room for another byte.
        operations: how many there were.
        synced: how many syncs have ended.
        seed: of what the cache does by itself.
    """

    loses_cache: bool = False
    dies_at: int | None = None
    full: bool = False
    seed: int = 0
    operations: int = 0
    synced: int = 0
    random: Random = field(init=False)

    def __post_init__(self) -> None:
        self.random = Random(self.seed)

    def operate(self) -> bool:
        """Count an operation; whether the process is to die in the middle of it."""
        self.operations += 1
        return self.operations == self.dies_at


class _Methods(Structure):
    """`sqlite3_io_methods`, as of version 2."""


_READ: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, c_int, c_int64)
_TRUNCATE: Final = CFUNCTYPE(c_int, c_void_p, c_int64)
_SYNC: Final = CFUNCTYPE(c_int, c_void_p, c_int)
_SIZE: Final = CFUNCTYPE(c_int, c_void_p, POINTER(c_int64))
_CLOSE: Final = CFUNCTYPE(c_int, c_void_p)

_Methods._fields_ = [
    ("version", c_int),
    ("close", _CLOSE),
    ("read", _READ),
    ("write", _READ),
    ("truncate", _TRUNCATE),
    ("sync", _SYNC),
    ("size", _SIZE),
    ("others", c_void_p * 10),  # locks, controls, characteristics, shared memory: the system's
]


class _Vfs(Structure):
    """`sqlite3_vfs`, as of version 3."""


_OPEN: Final = CFUNCTYPE(c_int, c_void_p, c_void_p, c_void_p, c_int, c_void_p)

_Vfs._fields_ = [
    ("version", c_int),
    ("file_size", c_int),
    ("longest_path", c_int),
    ("next", c_void_p),
    ("name", c_char_p),
    ("data", c_void_p),
    ("open", _OPEN),
    ("others", c_void_p * 14),
]


@dataclass(slots=True, eq=False)
class _Cached:
    """A file as its readers see it, and what of that is not on the disk yet."""

    content: bytearray
    dirty: list[tuple[int, int]] = field(default_factory=list)
    size_on_disk: int = 0
    opened: int = 0


class _FaultyVfs:
    """Everything that SQLite calls; kept alive for as long as the process."""

    def __init__(self, library: ctypes.CDLL, disk: Disk) -> None:
        self._disk = disk
        self._lock = threading.RLock()
        self._cached: dict[bytes, _Cached] = {}
        self._names: dict[int, bytes] = {}
        self._tables: dict[int, _Methods] = {}
        library.sqlite3_vfs_find.restype = POINTER(_Vfs)
        library.sqlite3_vfs_find.argtypes = [c_char_p]
        library.sqlite3_vfs_register.argtypes = [POINTER(_Vfs), c_int]
        self._base = library.sqlite3_vfs_find(None).contents
        self._vfs = _Vfs.from_buffer_copy(self._base)
        self._vfs.next = None
        self._vfs.name = b"faulty"
        self._vfs.open = _OPEN(self._open)
        if library.sqlite3_vfs_register(ctypes.byref(self._vfs), 1) != _OK:
            raise DiskUnavailableError("SQLite does not take the VFS")

    # ------------------------------------------------------------ opening

    def _open(self, vfs: int, name: int, file: int, flags: int, out: int) -> int:
        result: int = self._base.open(vfs, name, file, flags, out)
        if result != _OK or not flags & (_MAIN_DB | _WAL):
            return result
        methods = c_void_p.from_address(file)
        assert methods.value is not None
        with self._lock:
            if methods.value not in self._tables:
                self._tables[methods.value] = self._replaced(methods.value)
            table = self._tables[methods.value]
            self._load(ctypes.string_at(name), file, _Methods.from_address(methods.value))
        methods.value = ctypes.addressof(table)
        return _OK

    def _replaced(self, address: int) -> _Methods:
        """The system's table with our functions in it."""
        base = _Methods.from_address(address)
        table = _Methods.from_buffer_copy(base)
        table.version = 2  # no memory-mapped reads
        table.close = _CLOSE(lambda file: self._guarded(self._close, base, file))
        table.read = _READ(lambda *call: self._guarded(self._read, *call))
        table.write = _READ(lambda *call: self._guarded(self._write, base, *call))
        table.truncate = _TRUNCATE(lambda *call: self._guarded(self._truncate, base, *call))
        table.sync = _SYNC(lambda *call: self._guarded(self._sync, base, *call))
        table.size = _SIZE(lambda *call: self._guarded(self._size, *call))
        return table

    def _guarded(self, function: Callable[..., int], *call: Any) -> int:
        try:
            with self._lock:
                return function(*call)
        except Exception:  # noqa: BLE001 - nothing may be raised through SQLite
            return _IOERR

    def _load(self, name: bytes, file: int, base: _Methods) -> None:
        cached = self._cached.get(name)
        if cached is None:
            size = c_int64()
            base.size(file, ctypes.byref(size))
            content = bytearray(size.value)
            if content:
                buffer = (ctypes.c_char * size.value).from_buffer(content)
                base.read(file, ctypes.addressof(buffer), size.value, 0)
                del buffer
            cached = self._cached[name] = _Cached(content, size_on_disk=size.value)
        cached.opened += 1
        self._names[file] = name

    def _close(self, base: _Methods, file: int) -> int:
        name = self._names.pop(file)
        cached = self._cached[name]
        cached.opened -= 1
        if not cached.opened:
            self._write_back(base, file, cached)
            del self._cached[name]
        return int(base.close(file))

    # ------------------------------------------------------------ what SQLite does to files

    def _read(self, file: int, buffer: int, amount: int, offset: int) -> int:
        content = self._file(file).content
        part = bytes(content[offset : offset + amount])
        ctypes.memmove(buffer, part, len(part))
        if len(part) == amount:
            return _OK
        ctypes.memset(buffer + len(part), 0, amount - len(part))
        return _SHORT_READ

    def _write(self, base: _Methods, file: int, data: int, amount: int, offset: int) -> int:
        if self._disk.full:
            return _FULL
        dies = self._disk.operate()
        cached = self._file(file)
        if len(cached.content) < offset:
            cached.content.extend(bytes(offset - len(cached.content)))
        cached.content[offset : offset + amount] = ctypes.string_at(data, amount)
        cached.dirty.append((offset, amount))
        if dies:
            self._die(base, file, cached)
        if not self._disk.loses_cache:
            return self._write_back(base, file, cached)
        if self._disk.random.random() < _SPONTANEOUS:
            self._write_one(base, file, cached, cached.dirty.pop())
        return _OK

    def _truncate(self, base: _Methods, file: int, size: int) -> int:
        cached = self._file(file)
        del cached.content[size:]
        if not self._disk.loses_cache:
            return self._write_back(base, file, cached)
        return _OK

    def _sync(self, base: _Methods, file: int, flags: int) -> int:
        dies = self._disk.operate()
        cached = self._file(file)
        if dies:
            self._die(base, file, cached)
        result = self._write_back(base, file, cached)
        self._disk.synced += 1
        if result != _OK or self._disk.loses_cache:
            return result  # the system's own cache outlives this process: that is synced enough
        return int(base.sync(file, flags))

    def _size(self, file: int, out: Any) -> int:
        out[0] = len(self._file(file).content)
        return _OK

    # ------------------------------------------------------------ the cache

    def _file(self, file: int) -> _Cached:
        return self._cached[self._names[file]]

    def _write_back(self, base: _Methods, file: int, cached: _Cached) -> int:
        if len(cached.content) < cached.size_on_disk:
            base.truncate(file, len(cached.content))
            cached.size_on_disk = len(cached.content)
        while cached.dirty:
            result = self._write_one(base, file, cached, cached.dirty.pop(0))
            if result != _OK:
                return result
        return _OK

    def _write_one(self, base: _Methods, file: int, cached: _Cached, place: tuple[int, int]) -> int:
        offset, amount = place
        part = bytes(cached.content[offset : offset + amount])
        result = int(base.write(file, part, len(part), offset)) if part else _OK
        cached.size_on_disk = max(cached.size_on_disk, offset + len(part))
        return result

    def _die(self, base: _Methods, file: int, cached: _Cached) -> None:
        """Some of what was to be written is, in any order; then there is no power."""
        if self._disk.loses_cache:
            random, dirty = self._disk.random, cached.dirty
            random.shuffle(dirty)
            del dirty[random.randrange(len(dirty) + 1) :]
            if dirty:
                offset, amount = dirty[-1]
                dirty[-1] = offset, min(amount, _SECTOR * random.randrange(1 + amount // _SECTOR))
            self._write_back(base, file, cached)
        os.kill(os.getpid(), signal.SIGKILL)


def install(disk: Disk) -> object:
    """Put the disk under every database that this process opens from now on, for good.

    Returns:
        What has to be kept for as long as the process uses SQLite.

    Raises:
        DiskUnavailableError: this Python's SQLite cannot be reached from outside.
    """
    path = getattr(__import__("_sqlite3"), "__file__", None)
    library = ctypes.CDLL(path)
    if not hasattr(library, "sqlite3_vfs_register"):
        raise DiskUnavailableError("SQLite is built into Python")
    sqlite3.connect(":memory:").close()  # initialises SQLite
    return _FaultyVfs(library, disk)
