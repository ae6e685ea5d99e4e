"""Fingerprints as QR codes, for a phone's camera to compare (PROTOCOL.md 1)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from chatbot.client.exceptions import StorageError, ValidationError
from chatbot.client.storage.files import create_private

if TYPE_CHECKING:
    from segno import QRCode

_ENDINGS: Final = (".png", ".svg", ".pdf", ".eps")


@dataclass(frozen=True, slots=True)
class FingerprintQR:
    """A QR code that holds exactly a fingerprint's 60 characters.

    Attributes:
        fingerprint: 60 uppercase hexadecimal digits.
    """

    fingerprint: str

    def save(self, path: str | Path, *, scale: int = 8) -> None:
        """Write the code into a file.

        Args:
            path: its ending says what: `.png`, `.svg`, `.pdf` or `.eps`. The file is its owner's
                alone (0600): who could write to it could put another code there.
            scale: pixels (or points) of one module's side.

        Raises:
            ValidationError: the ending is another.
            StorageError: the file cannot be written.
        """
        target = Path(path).expanduser()
        if target.suffix.lower() not in _ENDINGS:
            raise ValidationError(
                f"{target}: expected a name that ends in one of {', '.join(_ENDINGS)}"
            )
        try:
            create_private(target)
            self._code().save(str(target), scale=scale)
        except OSError as error:
            raise StorageError(
                f"{target} cannot be written: {error.strerror}. What to do: name a file in a "
                "folder that is there and yours to write"
            ) from error

    def as_text(self) -> str:
        """The code as lines of block characters, for a terminal."""
        out = io.StringIO()
        self._code().terminal(out, compact=True)
        return out.getvalue()

    def matrix(self) -> tuple[bytes, ...]:
        """The modules row by row, without a border: 1 is dark, 0 is light."""
        return tuple(bytes(row) for row in self._code().matrix)

    def _code(self) -> QRCode:
        import segno  # noqa: PLC0415 - only where a code is wanted

        return segno.make(self.fingerprint, error="m", micro=False)
