from __future__ import annotations

import io
import logging
import threading
from pathlib import Path

import pytest

from chatbot import wire
from chatbot.client.crypto.keys import generate_key_pair
from chatbot.client.exceptions import StorageError
from chatbot.client.logs import configure_logging, redacted

pytestmark = pytest.mark.usefixtures("logging_restored")

logger = logging.getLogger("chatbot.test")


def logged(level: str = "DEBUG", *, log: io.StringIO | None = None) -> io.StringIO:
    """Configure logging to memory."""
    stream = log or io.StringIO()
    configure_logging(level, stream=stream)
    return stream


def lines(log: io.StringIO) -> list[str]:
    """What arrived in it, without time and level."""
    logging.shutdown()
    return [line.split(": ", 1)[1] for line in log.getvalue().splitlines()]


def test_a_line_has_time_level_and_name() -> None:
    log = logged()
    logger.warning("ready in %d ms", 12)
    logging.shutdown()
    assert log.getvalue().endswith(" WARNING chatbot.test: ready in 12 ms\n")
    assert log.getvalue()[4] == log.getvalue()[7] == "-"


def test_less_than_the_level_is_not_logged() -> None:
    log = logged("WARNING")
    logger.info("nothing")
    logger.error("something")
    assert lines(log) == ["something"]


def test_keys_and_messages_are_kept_out_by_type() -> None:
    log = logged()
    pair = generate_key_pair()
    logger.info("%s %s %r", pair, pair.secret, bytearray(3))
    logger.info("%(key)s", {"key": memoryview(bytes(4))})
    logger.info([pair.secret, {"k": b"12"}, ("plain", 7)])
    logger.info("%s", wire.Credentials(username="alice", password="hunter2"))
    assert lines(log) == [
        "<KeyPair> <32 bytes> '<3 bytes>'",
        "<4 bytes>",
        "('<32 bytes>', {'k': '<2 bytes>'}, ('plain', 7))",
        "<Credentials>",
    ]


@pytest.mark.parametrize("value", ["text", 7, 1.5, None, True, Path("x"), ValueError("x")])
def test_what_holds_no_secret_is_left_alone(value: object) -> None:
    assert redacted(value) is value


def test_a_record_is_one_line_whatever_people_call_themselves() -> None:
    log = logged()
    logger.info("%s joined", "eve\n2026-01-01 ERROR chatbot: forged\x1b[2J\u202e")
    assert lines(log) == ["eve\\n2026-01-01 ERROR chatbot: forged\\x1b[2J\\u202e joined"]


def test_a_traceback_is_logged_whole() -> None:
    log = logged()
    with pytest.raises(ValueError, match="seven") as caught:
        int("seven")
    logger.error("failed", exc_info=caught.value)
    logging.shutdown()
    assert "failed\nTraceback (most recent call last):\n" in log.getvalue()
    assert log.getvalue().endswith("ValueError: invalid literal for int() with base 10: 'seven'\n")


class Broken:
    def __str__(self) -> str:
        raise ZeroDivisionError


def test_arguments_that_cannot_be_written_are_not_shown() -> None:
    log = logged()
    logger.info("%d of %d", "hunter2", b"key")
    logger.info("from %s", Broken())
    assert lines(log) == [
        "%d of %d [its arguments cannot be written]",
        "from %s [its arguments cannot be written]",
    ]


@pytest.mark.parametrize("name", ["websockets.client", "aiosqlite", "aiohttp.client", "asyncio"])
def test_libraries_do_not_log_what_they_carry(name: str) -> None:
    log = logged("DEBUG")
    logging.getLogger(name).debug("> TEXT 'hunter2'")
    logging.getLogger(name).warning("slow")
    assert lines(log) == ["slow"]


def test_other_handlers_see_the_record_as_it_was(caplog: pytest.LogCaptureFixture) -> None:
    logged()
    logging.getLogger().addHandler(caplog.handler)
    logger.warning("%s", b"key")
    assert caplog.records[-1].args == (b"key",)


def test_configuring_again_replaces_and_writes_what_waited() -> None:
    first = logged()
    logger.info("one")
    second = logged()
    logger.info("two")
    assert lines(second) == ["two"]
    assert first.getvalue().endswith(": one\n")


def test_a_file_is_its_owners_alone_and_so_are_those_before_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("chatbot.client.logs._FILE_BYTES", 200)
    file = tmp_path / "logs" / "bot.log"
    configure_logging("INFO", file, stream=io.StringIO())
    for number in range(20):
        logger.info("line %d", number)
    logging.shutdown()
    files = sorted(file.parent.iterdir())
    assert [path.name for path in files] == [
        "bot.log", "bot.log.1", "bot.log.2", "bot.log.3", "bot.log.4",
    ]  # fmt: skip
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}
    assert file.parent.stat().st_mode & 0o777 == 0o700
    assert file.read_text().endswith("line 19\n")
    assert all(path.stat().st_size <= 200 for path in files)


def test_a_file_that_is_there_is_continued_and_made_private(tmp_path: Path) -> None:
    file = tmp_path / "bot.log"
    file.write_text("before\n")
    file.chmod(0o644)
    configure_logging("INFO", file, stream=io.StringIO())
    logger.info("after")
    logging.shutdown()
    assert file.read_text().startswith("before\n")
    assert file.read_text().endswith(": after\n")
    assert file.stat().st_mode & 0o777 == 0o600


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match="cannot be written"):
        configure_logging("INFO", tmp_path, stream=io.StringIO())


class Hanging(io.StringIO):
    """A terminal that nobody reads, until it is released."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.released = threading.Event()

    def write(self, text: str) -> int:
        self.entered.set()
        self.released.wait()
        return super().write(text)


def test_an_output_that_hangs_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("chatbot.client.logs._WAITING", 5)
    log = Hanging()
    logged(log=log)
    logger.info("line 0")
    log.entered.wait()
    for number in range(1, 100):
        logger.info("line %d", number)
    log.released.set()
    assert lines(log)[:6] == [f"line {n}" for n in range(6)]
    assert capsys.readouterr().err == ""
