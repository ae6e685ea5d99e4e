"""Where log lines go: set up in one place, and only when a program asks for it.

Importing this configures nothing. A thread of its own writes the lines, so that a slow terminal or
disk holds nobody up. What must not be logged is kept out by type: bytes of any kind (keys,
ciphertext) become their length, and objects of the crypto or the wire the name of their type.
A record is one line: control characters, which anybody can put into a name, become escapes.
"""

from __future__ import annotations

import copy
import io
import logging
import os
import queue
import sys
from collections.abc import Mapping
from contextlib import suppress
from logging.handlers import QueueHandler, QueueListener, RotatingFileHandler
from pathlib import Path
from typing import Any, Final, TextIO

from chatbot.client.exceptions import StorageError
from chatbot.client.storage.files import create_private, make_private_directory

_FORMAT: Final = "%(asctime)s.%(msecs)03d %(levelname)-7s %(name)s: %(message)s"
_DATE_FORMAT: Final = "%Y-%m-%dT%H:%M:%S"
_FILE_BYTES: Final = 10 * 1024 * 1024
_OLD_FILES: Final = 4
_WAITING: Final = 10_000

_SECRET_ROOMS: Final = ("chatbot.client.crypto.", "chatbot.wire.", "nacl.", "cryptography.")
"""Objects of these modules hold keys, ciphertext, or what people wrote."""

_TALKATIVE: Final = ("aiohttp", "aiosqlite", "asyncio", "websockets")
"""At DEBUG these log what they carry: frames, tokens, statements with their values."""


def configure_logging(
    level: str = "INFO", file: Path | None = None, *, stream: TextIO | None = None
) -> None:
    """Send what is logged to a stream, and to a file of its owner's alone besides.

    Replaces what was configured before. A file that reaches 10 MiB becomes `FILE.1`, and so on;
    four old ones are kept. What still waits when the process ends is written then.

    Args:
        level: the least that is logged: DEBUG, INFO, WARNING or ERROR.
        stream: standard error unless it is given.

    Raises:
        StorageError: the file cannot be written.
    """
    outputs: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if file is not None:
        outputs.append(_open(file))
    entrance = _Entrance(outputs)
    entrance.setFormatter(logging.Formatter(_FORMAT, _DATE_FORMAT))
    logging.basicConfig(level=level, handlers=[entrance], force=True)
    for name in _TALKATIVE:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.root.level))


def redacted(value: Any) -> Any:
    """Return `value` as it may be logged."""
    match value:
        case bytes() | bytearray() | memoryview():
            return f"<{memoryview(value).nbytes} bytes>"
        case Mapping():
            return {redacted(key): redacted(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return tuple(map(redacted, value))
    module = f"{type(value).__module__}."
    return f"<{type(value).__name__}>" if module.startswith(_SECRET_ROOMS) else value


def escaped(text: str) -> str:
    """Return `text` with its control characters as escapes: foreign text moves no cursor."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class _Writer(QueueListener):
    """The thread that hands records to the outputs."""

    def __init__(self, records: queue.Queue[Any], *outputs: logging.Handler) -> None:
        super().__init__(records, *outputs)
        self._records = records

    def enqueue_sentinel(self) -> None:
        """Ask it to end once everything is written, waiting for room to ask where there is none."""
        self._records.put(None)


class _Entrance(QueueHandler):
    """Makes records harmless and queues them for the writer."""

    def __init__(self, outputs: list[logging.Handler]) -> None:
        self._records: queue.Queue[Any] = queue.Queue(_WAITING)
        super().__init__(self._records)
        self._outputs = outputs
        self._writer: _Writer | None = _Writer(self._records, *outputs)
        self._writer.start()

    def prepare(self, record: logging.LogRecord) -> logging.LogRecord:
        """Return a copy whose message is the finished line."""
        harmless = copy.copy(record)
        harmless.msg = escaped(_message(record))
        harmless.args = None
        finished: logging.LogRecord = super().prepare(harmless)
        return finished

    def enqueue(self, record: logging.LogRecord) -> None:
        """Drop what there is no room for: an output hangs, and waiting would hang the program."""
        with suppress(queue.Full):
            self._records.put_nowait(record)

    def close(self) -> None:
        """Write what waits. Called at the end of the process, or by a new configuration."""
        if self._writer is not None:
            self._writer.stop()
            self._writer = None
            for output in self._outputs:
                output.close()
        super().close()


def _message(record: logging.LogRecord) -> str:
    text = str(redacted(record.msg))
    try:
        return text % redacted(record.args) if record.args else text
    except Exception:  # noqa: BLE001 - what is formatted may raise anything
        return f"{text} [its arguments cannot be written]"


class _PrivateFile(RotatingFileHandler):
    """A file that is its owner's alone (0600), and so is each that follows it."""

    def _open(self) -> io.TextIOWrapper:
        return open(
            self.baseFilename,
            "a",
            encoding="utf-8",
            errors="backslashreplace",
            opener=lambda path, flags: os.open(path, flags, 0o600),
        )


def _open(file: Path) -> _PrivateFile:
    try:
        make_private_directory(file.parent)
        create_private(file)
        return _PrivateFile(file, maxBytes=_FILE_BYTES, backupCount=_OLD_FILES)
    except OSError as error:
        raise StorageError(
            f"The log file {file} cannot be written: {error.strerror}. What to do: change "
            "[logging] file, or make its directory writable"
        ) from error
