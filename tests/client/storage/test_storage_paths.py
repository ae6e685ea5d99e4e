"""Where accounts lie: no id leads out of the storage directory, and nobody else looks in."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath, PureWindowsPath

import pytest
from doubles.platforms import POSIX_ONLY
from hypothesis import example, given
from hypothesis import strategies as st

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.files import write_private
from chatbot.client.storage.paths import (
    AccountIndex,
    account_directory,
    directory_name,
    storage_directory,
)

UUID = "5c6d1f0e-8f9b-4c7c-b0fc-6d2a0f7c3a11"
ODD_IDS = ["", ".", "..", "../x", "a/b", "a\\b", "C:x", "nul", "COM1", "Abc", "x" * 65, "é", "a.b",
           "a b", "-rf", "accounts.json", "\x00", "a\n", "\ud800"]  # fmt: skip

ids = st.text(max_size=80) | st.sampled_from([*ODD_IDS, UUID, "abc", "aBc"])


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


class TestDirectoryName:
    def test_of_a_plain_id_is_the_id(self) -> None:
        assert directory_name(UUID) == UUID
        assert directory_name("user_1") == "user_1"

    @pytest.mark.parametrize("user_id", ODD_IDS)
    def test_of_anything_else_is_a_hash(self, user_id: str) -> None:
        assert directory_name(user_id).startswith("id.")
        assert len(directory_name(user_id)) == 43

    @given(user_id=ids)
    def test_is_one_harmless_segment(self, user_id: str) -> None:
        name = directory_name(user_id)
        for flavour in (PurePosixPath, PureWindowsPath):
            assert flavour(name).parts == (name,)
            assert not flavour(name).is_absolute()
        assert not PureWindowsPath(name).is_reserved()
        assert name not in {".", "..", "accounts.json"}
        assert name == name.lower()
        assert len(name) <= 64

    @given(first=ids, second=ids)
    @example(first="Abc", second="abc")
    def test_differs_for_every_id(self, first: str, second: str) -> None:
        assert (directory_name(first) == directory_name(second)) == (first == second)

    def test_no_id_can_pose_as_the_hash_of_another(self) -> None:
        assert directory_name(directory_name("../x")) != directory_name("../x")


class TestAccountDirectory:
    @POSIX_ONLY
    def test_is_made_private_with_what_is_missing_above(self, tmp_path: Path) -> None:
        storage = tmp_path / "a" / "b"
        directory = account_directory(storage, UUID)
        assert directory == storage / UUID
        assert [mode(path) for path in (directory, storage, tmp_path / "a")] == [0o700] * 3

    @POSIX_ONLY
    def test_an_open_one_is_closed_and_its_parent_left_alone(
        self, tmp_path: Path, caplog: pytest.LogCaptureFixture
    ) -> None:
        (tmp_path / UUID).mkdir()
        tmp_path.chmod(0o755)
        (tmp_path / UUID).chmod(0o755)
        assert mode(account_directory(tmp_path, UUID)) == 0o700
        assert mode(tmp_path) == 0o755
        assert "made private" in caplog.text

    def test_may_be_asked_for_again(self, tmp_path: Path) -> None:
        assert account_directory(tmp_path, UUID) == account_directory(str(tmp_path), UUID)

    @POSIX_ONLY
    def test_tilde_is_the_home(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("HOME", str(tmp_path))
        assert account_directory("~/bots", "abc") == tmp_path / "bots" / "abc"

    def test_traversal_stays_inside(self, tmp_path: Path) -> None:
        directory = account_directory(tmp_path / "storage", "../../etc")
        assert directory.resolve().parent == (tmp_path / "storage").resolve()

    def test_a_file_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "storage").write_text("a file")
        with pytest.raises(StorageError, match=r"storage.*What to do: choose another"):
            account_directory(tmp_path / "storage", UUID)
        assert (tmp_path / "storage").read_text() == "a file"

    def test_not_writable(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(os, "access", lambda *_: False)  # root may write anywhere
        with pytest.raises(StorageError, match="not writable"):
            storage_directory(tmp_path)

    def test_of_somebody_else(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        def refuse(path: Path) -> None:
            raise PermissionError(1, "Operation not permitted", str(path))

        monkeypatch.setattr("chatbot.client.storage.paths.tighten", refuse)
        with pytest.raises(StorageError, match="Operation not permitted"):
            account_directory(tmp_path, UUID)

    def test_a_home_that_is_not_known(self) -> None:
        with pytest.raises(StorageError, match="give a full path"):
            storage_directory("~nobody-of-that-name/bots")


class TestAccountIndex:
    def test_remembers_across_starts(self, tmp_path: Path) -> None:
        index = AccountIndex(tmp_path)
        assert index.find("https://chat.example", "bot") is None
        index.remember("https://chat.example", "bot", UUID)
        index.remember("https://chat.example", "Bot", "other")
        assert AccountIndex(tmp_path).find("https://chat.example", "bot") == UUID
        assert AccountIndex(tmp_path).find("https://chat.example", "Bot") == "other"
        assert AccountIndex(tmp_path).find("https://elsewhere.example", "bot") is None

    def test_one_server_however_it_is_written(self, tmp_path: Path) -> None:
        AccountIndex(tmp_path).remember("https://Chat.example/", "bot", UUID)
        assert AccountIndex(tmp_path).find("https://chat.example", "bot") == UUID

    def test_an_account_that_was_made_anew_replaces_the_old_one(self, tmp_path: Path) -> None:
        index = AccountIndex(tmp_path)
        index.remember("https://chat.example", "bot", "old")
        index.remember("https://chat.example", "other", "x")
        index.remember("https://chat.example", "bot", "new")
        assert index.find("https://chat.example", "bot") == "new"
        assert index.find("https://chat.example", "other") == "x"

    def test_writes_only_what_changed(self, tmp_path: Path) -> None:
        index = AccountIndex(tmp_path)
        index.remember("https://chat.example", "bot", UUID)
        before = (tmp_path / "accounts.json").stat().st_ino
        index.remember("https://chat.example", "bot", UUID)
        assert (tmp_path / "accounts.json").stat().st_ino == before

    @POSIX_ONLY
    def test_is_private_and_leaves_nothing_beside_it(self, tmp_path: Path) -> None:
        AccountIndex(tmp_path).remember("https://chat.example", "bot", UUID)
        assert [path.name for path in tmp_path.iterdir()] == ["accounts.json"]
        assert mode(tmp_path / "accounts.json") == 0o600

    @pytest.mark.parametrize("content", ["", "junk", "{}", '[{"username": 1}]'])
    def test_a_damaged_one_is_kept_and_named(self, tmp_path: Path, content: str) -> None:
        (tmp_path / "accounts.json").write_text(content)
        index = AccountIndex(tmp_path)
        with pytest.raises(StorageError, match=r"accounts\.json is damaged.*delete it"):
            index.find("https://chat.example", "bot")
        with pytest.raises(StorageError, match=r"accounts\.json is damaged"):
            index.remember("https://chat.example", "bot", UUID)
        assert (tmp_path / "accounts.json").read_text() == content

    def test_a_directory_in_its_place(self, tmp_path: Path) -> None:
        (tmp_path / "accounts.json").mkdir()
        with pytest.raises(StorageError, match="cannot be read"):
            AccountIndex(tmp_path).find("https://chat.example", "bot")

    def test_a_failed_write_keeps_the_old_one(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index = AccountIndex(tmp_path)
        index.remember("https://chat.example", "bot", "old")

        def full(_: int) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(StorageError, match="No space left"):
            index.remember("https://chat.example", "bot", "new")
        assert index.find("https://chat.example", "bot") == "old"
        assert [path.name for path in tmp_path.iterdir()] == ["accounts.json"]


def test_write_private_replaces_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    write_private(path, b"long content")
    write_private(path, b"short")
    assert path.read_bytes() == b"short"
