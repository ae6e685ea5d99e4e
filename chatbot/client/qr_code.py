"""Fingerprints as QR codes, for a phone's camera to compare (PROTOCOL.md 1)."""

from __future__ import annotations

import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from chatbot.client.exceptions import ValidationError

if TYPE_CHECKING:
    from segno import QRCode


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
            path: its ending says what: .png, .svg, .pdf, .eps or .txt.
            scale: pixels (or points) of one module's side.

        Raises:
            ValidationError: the ending is another, or the file cannot be written.
        """
        target = Path(path).expanduser()
        try:
            self._code().save(str(target), scale=scale)
        except (OSError, ValueError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ValidationError(f"{target} cannot be written: {reason}") from error

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
