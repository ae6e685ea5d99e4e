"""Where passwords come from: the environment, a file, or a prompt; never the command line.

A command line is seen by every user of the machine and kept in the shell's history.
"""

from __future__ import annotations

import getpass
import os
import secrets
import stat
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import typer

from chatbot.client.exceptions import StorageError, ValidationError
from chatbot.client.storage.files import make_private_directory, sync_directory

PASSWORD: Final = "CHATBOT_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable that may hold the account's password."""

STORAGE_PASSWORD: Final = "CHATBOT_STORAGE_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable that may hold the password of what is on the disk."""

BACKUP_PASSWORD: Final = "CHATBOT_BACKUP_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable that may hold the password of a backup."""

NEW_PASSWORD: Final = "CHATBOT_NEW_PASSWORD"  # noqa: S105 - the name of a variable
"""The variable that may hold what the storage password is to become."""

_TYPED: Final = "what was typed"
_LONGEST: Final = 1024
_GENERATED_BYTES: Final = 24
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO


def account_password(
    username: str, file: Path | None, *, environ: Mapping[str, str] = os.environ
) -> str:
    """Return an account's password: from `CHATBOT_PASSWORD`, else the file, else the person.

    Args:
        username: for the prompt, which is shown only in a terminal.
        file: holds it, if there is one.
        environ: the environment.

    Raises:
        ValidationError: there is none, it is empty, or the file does not hold one.
        StorageError: the file cannot be read.
    """
    if (given := _given(PASSWORD, file, environ)) is not None:
        return given
    _require_terminal(f"password for {username}", PASSWORD, "password_file, or --password-file")
    return _checked(getpass.getpass(f"Password for {username}: "), _TYPED)


def storage_password(
    file: Path | None = None, *, environ: Mapping[str, str] = os.environ
) -> str | None:
    """Return the password of what is on the disk; None means that it is the account's.

    Args:
        file: holds it, if there is one.
        environ: the environment, whose `CHATBOT_STORAGE_PASSWORD` comes first.

    Raises:
        ValidationError: the variable is there, but empty; or the file holds none.
        StorageError: the file cannot be read.
    """
    return _given(STORAGE_PASSWORD, file, environ)


def backup_password(
    file: Path | None, *, confirm: bool, environ: Mapping[str, str] = os.environ
) -> str:
    """Return a backup's password, found like the others (`CHATBOT_BACKUP_PASSWORD`).

    Args:
        file: holds it, if there is one.
        confirm: have the person type it twice, for a new one.
        environ: the environment.

    Raises:
        ValidationError: there is none, it is empty, or was not typed twice the same.
        StorageError: the file cannot be read.
    """
    return _chosen("password of the backup", BACKUP_PASSWORD, file, environ, confirm=confirm)


def new_storage_password(file: Path | None, *, environ: Mapping[str, str] = os.environ) -> str:
    """Return what the storage password is to become (`CHATBOT_NEW_PASSWORD`); raises like others.

    Args:
        file: holds it, if there is one.
        environ: the environment.
    """
    return _chosen("new storage password", NEW_PASSWORD, file, environ, confirm=True)


def read_password_file(file: Path) -> str:
    """Return the first line of a file; warn where other users of the machine may read it.

    Raises:
        ValidationError: it holds no password.
        StorageError: it cannot be read.
    """
    try:
        with file.open("rb") as stream:
            mode = os.fstat(stream.fileno()).st_mode
            line = stream.readline(_LONGEST + 1)
    except OSError as error:
        raise StorageError(
            f"The password file {file} cannot be read: {error.strerror}. What to do: write the "
            "password into it, for its owner alone (chmod 600)"
        ) from error
    if os.name == "posix" and mode & _OTHERS:
        typer.echo(f"Warning: other users can read {file}; chmod 600 keeps them out", err=True)
    try:
        return _checked(line.decode().rstrip("\r\n"), str(file))
    except UnicodeDecodeError:
        raise ValidationError(
            f"The first line of {file} is not text in UTF-8. What to do: write the password into it"
        ) from None


def generate_password_file(file: Path) -> bool:
    """Make a file (0600) with a random password, unless there is one already.

    Returns:
        Whether it was made. One that is there is never touched.

    Raises:
        StorageError: it cannot be written.
    """
    try:
        make_private_directory(file.parent)
        descriptor = os.open(file, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    except OSError as error:
        if isinstance(error, FileExistsError) and file.exists():
            return False
        raise StorageError(
            f"The password file {file} cannot be made: {error.strerror}. What to do: choose "
            "another password_file, or make its directory writable"
        ) from error
    with os.fdopen(descriptor, "w", encoding="ascii") as stream:
        stream.write(secrets.token_urlsafe(_GENERATED_BYTES) + "\n")
        stream.flush()
        os.fsync(descriptor)
    sync_directory(file.parent)
    return True


def _chosen(
    what: str, variable: str, file: Path | None, environ: Mapping[str, str], *, confirm: bool
) -> str:
    if (given := _given(variable, file, environ)) is not None:
        return given
    _require_terminal(what, variable, "--password-file")
    typed = _checked(getpass.getpass(f"{what.capitalize()}: "), _TYPED)
    if confirm and getpass.getpass("Once more: ") != typed:
        raise ValidationError("The two passwords are not the same. What to do: try again")
    return typed


def _given(variable: str, file: Path | None, environ: Mapping[str, str]) -> str | None:
    """The variable's password, else the file's; None where there is neither."""
    if (given := environ.get(variable)) is not None:
        return _checked(given, variable)
    return None if file is None else read_password_file(file)


def _require_terminal(what: str, variable: str, option: str) -> None:
    if not sys.stdin.isatty():
        raise ValidationError(
            f"There is no {what}. What to do: set {variable}, name a file that "
            f"holds it ({option}), or run this in a terminal"
        )


def _checked(password: str, source: str) -> str:
    if not password:
        raise ValidationError(
            f"The password is empty ({source}). What to do: give one, or remove what is empty"
        )
    if len(password.encode(errors="surrogatepass")) > _LONGEST:
        raise ValidationError(f"The password is longer than {_LONGEST} bytes ({source})")
    return password
