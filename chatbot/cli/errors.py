"""The one place where an error becomes a message for a person and an exit code."""

from __future__ import annotations

import builtins
import enum
import logging
import socket
from typing import Final, TypeAlias

import typer

from chatbot.client import exceptions
from chatbot.client.logs import escaped
from chatbot.settings_errors import SettingsError

logger = logging.getLogger(__name__)


class ExitCode(enum.IntEnum):
    """What the process ends with, for scripts and service managers."""

    OK = 0
    FAILURE = 1
    """Something else went wrong while it ran, or a fault of ours."""
    CONFIGURATION = 2
    """The command line, the config file, a plugin or the input cannot be used as it is."""
    AUTHENTICATION = 3
    """A wrong password, a disabled account, or something that the account may not do."""
    STORAGE = 4
    """Files: locked, damaged, not writable, or the disk is full."""
    NETWORK = 5
    """The backend cannot be reached or answers with errors; or a port is taken."""
    INTERRUPTED = 130
    """Ctrl-C, before there was something to stop in order."""


Codes: TypeAlias = tuple[tuple[type[Exception], ExitCode], ...]

_CODES: Final[Codes] = (
    (SettingsError, ExitCode.CONFIGURATION),
    (exceptions.ValidationError, ExitCode.CONFIGURATION),
    (exceptions.AuthenticationError, ExitCode.AUTHENTICATION),
    (exceptions.PermissionDeniedError, ExitCode.AUTHENTICATION),
    (exceptions.WrongPasswordError, ExitCode.AUTHENTICATION),
    (exceptions.StorageError, ExitCode.STORAGE),
    (exceptions.ConnectionError, ExitCode.NETWORK),
    (exceptions.BackendError, ExitCode.NETWORK),
    (exceptions.WhatsAppClientError, ExitCode.FAILURE),
    (TimeoutError, ExitCode.NETWORK),
    (builtins.ConnectionError, ExitCode.NETWORK),
    (socket.gaierror, ExitCode.NETWORK),
    (OSError, ExitCode.STORAGE),
)
"""The first class that fits counts."""


def report(error: Exception) -> ExitCode:
    """Tell the person at the terminal what went wrong and return what to exit with.

    A traceback is for the log only: always there for what nobody expected, at DEBUG for the rest.
    """
    code = exit_code(error)
    if code is None:
        logger.error("Unexpected", exc_info=error)
        complain(
            f"this is a fault in chatbot itself: {type(error).__name__}. "
            "What to do: run it again with --debug, and report what it shows",
        )
        return ExitCode.FAILURE
    logger.debug("Ended by an error", exc_info=error)
    complain(str(error) or type(error).__name__)
    return code


def complain(message: str) -> None:
    """Write a message to standard error; further lines of it stand below its beginning."""
    lines = map(escaped, message.splitlines())
    typer.echo("Error: " + "\n       ".join(lines), err=True)


def exit_code(error: Exception) -> ExitCode | None:
    """Return the code of an error that is known to happen, None for any other."""
    from chatbot.runtime.options import PluginsError  # noqa: PLC0415 - heavy; most runs end well
    from chatbot.server import DatabaseError, ListenError, ServerError  # noqa: PLC0415 - the same

    rare: Codes = (
        (PluginsError, ExitCode.CONFIGURATION),
        (DatabaseError, ExitCode.STORAGE),
        (ListenError, ExitCode.NETWORK),
        (ServerError, ExitCode.CONFIGURATION),
    )
    return next((code for kind, code in (*rare, *_CODES) if isinstance(error, kind)), None)
