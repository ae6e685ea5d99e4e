"""One process per account, whatever became of the last one."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from doubles.platforms import POSIX_ONLY

from chatbot.client.exceptions import StorageError, StorageLockedError
from chatbot.client.storage.lock import AccountLock

REPOSITORY = Path(__file__).parents[3]
HOLDER = """
import sys
from pathlib import Path
from chatbot.client.storage.lock import AccountLock

with AccountLock(Path(sys.argv[1])):
    print("locked", flush=True)
    sys.stdin.readline()
"""


@contextmanager
def holder(directory: Path) -> Iterator[subprocess.Popen[str]]:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(directory)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=REPOSITORY,
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "locked\n"
        try:
            yield process
        finally:
            process.kill()


def test_a_second_process_is_refused_naming_the_first(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        with pytest.raises(StorageLockedError) as caught:
            AccountLock(tmp_path).acquire()
        assert caught.value.pid == process.pid
        assert f"process {process.pid}" in str(caught.value)
        assert str(tmp_path) in str(caught.value)
        assert "What to do" in str(caught.value)


def test_ends_with_the_process_that_holds_it(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.communicate("\n")
        with AccountLock(tmp_path):
            pass


def test_ends_with_a_process_that_is_killed(tmp_path: Path) -> None:
    with holder(tmp_path) as process:
        process.kill()
        process.wait()
        assert (tmp_path / "lock").read_text() == str(process.pid)
        with AccountLock(tmp_path):
            pass


def test_refused_attempts_do_not_take_it_away(tmp_path: Path) -> None:
    with AccountLock(tmp_path):
        for _ in range(3):
            with pytest.raises(StorageLockedError, match="this very process") as caught:
                AccountLock(tmp_path).acquire()
            assert caught.value.pid == os.getpid()


def test_can_be_taken_again_after_release(tmp_path: Path) -> None:
    lock = AccountLock(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()
    assert (tmp_path / "lock").read_bytes() == b""
    with AccountLock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


@pytest.mark.parametrize("content", [b"", b"4711", b"junk\xff", b"9" * 100])
def test_a_file_that_was_left_behind_is_no_lock(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "lock").write_bytes(content)
    with AccountLock(tmp_path):
        assert (tmp_path / "lock").read_text() == str(os.getpid())


@pytest.mark.skipif(os.name != "posix", reason="the lock keeps others from writing there")
def test_a_holder_that_has_not_written_its_pid_yet(tmp_path: Path) -> None:
    with AccountLock(tmp_path):
        (tmp_path / "lock").write_bytes(b"")
        with pytest.raises(StorageLockedError, match="another process") as caught:
            AccountLock(tmp_path).acquire()
        assert caught.value.pid is None


@POSIX_ONLY
def test_the_file_is_private(tmp_path: Path) -> None:
    with AccountLock(tmp_path):
        assert (tmp_path / "lock").stat().st_mode & 0o777 == 0o600


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere.*What to do"):
        AccountLock(tmp_path / "nowhere").acquire()
