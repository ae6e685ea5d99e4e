from __future__ import annotations

import errno
import io
import logging

import pytest

from chatbot.cli.errors import ExitCode, complain, exit_code, report
from chatbot.client import exceptions
from chatbot.client.logs import configure_logging
from chatbot.server import DatabaseError, ListenError, ServerError
from chatbot.settings_errors import SettingsError, SettingsProblem


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (SettingsError([SettingsProblem("a.toml", "b", "c")]), 2),
        (exceptions.ValidationError("x"), 2),
        (exceptions.UsernameExistsError("x"), 2),
        (exceptions.AuthenticationError("x"), 3),
        (exceptions.PermissionDeniedError("x"), 3),
        (exceptions.WrongPasswordError("x"), 3),
        (exceptions.StorageError("x"), 4),
        (exceptions.StorageLockedError("x", pid=1), 4),
        (exceptions.ConnectionError("x"), 5),
        (exceptions.BackendError("x", status=500), 5),
        (exceptions.SessionNotFoundError("x"), 1),
        (exceptions.IdentityError("x"), 1),
        (ServerError("no such account"), 2),
        (ListenError("the port is taken"), 5),
        (DatabaseError("damaged"), 4),
        (TimeoutError("x"), 5),
        (ConnectionResetError("x"), 5),
        (PermissionError(errno.EACCES, "denied", "file"), 4),
        (OSError(errno.ENOSPC, "no space"), 4),
    ],
)
def test_every_expected_error_has_its_code(error: Exception, code: int) -> None:
    assert exit_code(error) == code


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), AssertionError("x")])
def test_a_fault_has_no_code(error: Exception) -> None:
    assert exit_code(error) is None


def test_an_expected_error_is_its_own_message(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(exceptions.StorageError("The disk is full")) is ExitCode.STORAGE
    assert capsys.readouterr() == ("", "Error: The disk is full\n")


def test_an_error_without_a_text_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert report(TimeoutError()) is ExitCode.NETWORK
    assert capsys.readouterr().err == "Error: TimeoutError\n"


def test_further_lines_stand_below_the_first(capsys: pytest.CaptureFixture[str]) -> None:
    complain("one\ntwo")
    assert capsys.readouterr().err == "Error: one\n       two\n"


def test_foreign_text_moves_no_cursor(capsys: pytest.CaptureFixture[str]) -> None:
    report(exceptions.BackendError("\x1b[2Jgone\u202e"))
    assert capsys.readouterr().err == "Error: \\x1b[2Jgone\\u202e\n"


@pytest.mark.usefixtures("logging_restored")
def test_the_log_has_the_traceback_of_a_fault(capsys: pytest.CaptureFixture[str]) -> None:
    log = io.StringIO()
    configure_logging("INFO", stream=log)
    with pytest.raises(ValueError, match="seven") as caught:
        int("seven")
    assert report(caught.value) is ExitCode.FAILURE
    logging.shutdown()
    assert "Traceback" in log.getvalue()
    assert "ValueError: invalid literal" in log.getvalue()
    assert "seven" not in capsys.readouterr().err
