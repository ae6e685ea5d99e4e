"""A fingerprint's QR code as a file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from chatbot.client.exceptions import StorageError, ValidationError
from chatbot.client.qr_code import FingerprintQR

CODE = FingerprintQR("0123456789AB" * 5)


@pytest.mark.parametrize("name", ["me.png", "me.SVG", "me.pdf", "me.eps"])
def test_a_file_of_every_kind_is_its_owners_alone(tmp_path: Path, name: str) -> None:
    file = tmp_path / name
    before = os.umask(0)
    try:
        CODE.save(file)
    finally:
        os.umask(before)
    assert file.stat().st_size > 0
    if os.name == "posix":
        assert file.stat().st_mode & 0o777 == 0o600


def test_another_ending_touches_no_file(tmp_path: Path) -> None:
    file = tmp_path / "bot.toml"
    file.write_text("precious")
    with pytest.raises(ValidationError, match=r"bot\.toml.*\.png, \.svg"):
        CODE.save(file)
    assert file.read_text() == "precious"


def test_a_file_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"nowhere.*cannot be written.*What to do"):
        CODE.save(tmp_path / "nowhere" / "me.png")
