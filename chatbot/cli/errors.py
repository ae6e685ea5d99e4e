"""The one place where an error becomes a message for a person and an exit code."""

from __future__ import annotations

import builtins
import enum
import logging
import socket
from typing import Final

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


_CODES: Final[tuple[tuple[type[Exception], ExitCode], ...]] = (
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
    from chatbot.server import ServerError  # noqa: PLC0415 - the same

    if isinstance(error, PluginsError):
        return ExitCode.CONFIGURATION
    if isinstance(error, ServerError):
        return _server_code(error)
    return next((code for kind, code in _CODES if isinstance(error, kind)), None)


def _server_code(error: Exception) -> ExitCode:
    """Tell apart what stood in the backend's way: the call, the port, or its database."""
    match error.__cause__:
        case None:
            return ExitCode.CONFIGURATION
        case OSError(filename=None):
            return ExitCode.NETWORK
        case _:
            return ExitCode.STORAGE
