"""Where a running bot is spoken to: a socket in the account's folder, which is its owner's alone.

Where there are no such sockets, or the folder's path is too long for one, it is a port of this
machine. Anybody on the machine can reach that, and take it once the bot is dead. So both sides
prove, before anything is said, that they have read the key in the account's folder.
"""

from __future__ import annotations

import asyncio
import hmac
import os
import secrets
import socket
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Final, TypeAlias

import msgspec
from msgspec import Struct

from chatbot.client.storage.files import write_private

SOCKET_FILE: Final = "control.sock"
PORT_FILE: Final = "control.json"
LONGEST_LINE: Final = 16 * 1024 * 1024
"""Bytes of a request or an answer."""

_LONGEST_SOCKET_PATH: Final = 100
"""Bytes; the systems allow 108 (Linux) and 104 (macOS) with the ending zero."""

SERVER: Final = b"server"
CLIENT: Final = b"client"
"""The two sides of a proof."""

_LOOPBACK: Final = "127.0.0.1"
_NONCE_BYTES: Final = 32

Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
Serve: TypeAlias = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class _Port(Struct, frozen=True):
    """What the port's file says."""

    port: int
    key: str


async def listen(directory: Path, serve: Serve) -> tuple[asyncio.Server, bytes | None]:
    """Listen for whoever may read the folder; what a dead bot left there is replaced.

    Args:
        directory: of the account, whose lock is held.
        serve: gets the streams of one connection.

    Returns:
        With it the key that every connection has to `prove` first; None where there is no need.

    Raises:
        OSError: it is not writable, or no port is free.
    """
    withdraw(directory)
    path = directory / SOCKET_FILE
    if fits_socket(path):
        server = await asyncio.start_unix_server(serve, path, limit=LONGEST_LINE)
        path.chmod(0o600)
        return server, None
    key = secrets.token_bytes(_NONCE_BYTES)
    server = await asyncio.start_server(serve, _LOOPBACK, 0, limit=LONGEST_LINE)
    port = server.sockets[0].getsockname()[1]
    write_private(directory / PORT_FILE, msgspec.json.encode(_Port(port, key.hex())))
    return server, key


def withdraw(directory: Path) -> None:
    """Remove what tells where a bot is spoken to."""
    for name in (SOCKET_FILE, PORT_FILE):
        (directory / name).unlink(missing_ok=True)


async def connect(directory: Path) -> Streams | None:
    """Reach the bot that runs on this folder; None where none does.

    Raises:
        OSError: the folder cannot be read.
    """
    path = directory / SOCKET_FILE
    try:
        if fits_socket(path):
            return await asyncio.open_unix_connection(path, limit=LONGEST_LINE)
        return await _connect_to_port(directory / PORT_FILE)
    except (FileNotFoundError, ConnectionRefusedError):
        return None  # no bot has been here, or it was killed


def fits_socket(path: Path) -> bool:
    """Whether this can be the path of a socket."""
    return hasattr(socket, "AF_UNIX") and len(os.fsencode(path)) <= _LONGEST_SOCKET_PATH


async def _connect_to_port(file: Path) -> Streams | None:
    port, key = _read_port(file)
    reader, writer = await asyncio.open_connection(_LOOPBACK, port, limit=LONGEST_LINE)
    if await prove((reader, writer), key, CLIENT):
        return reader, writer
    writer.close()
    return None  # somebody else has the port by now


def _read_port(file: Path) -> tuple[int, bytes]:
    try:
        known = msgspec.json.decode(file.read_bytes(), type=_Port)
        return known.port, bytes.fromhex(known.key)
    except ValueError as error:
        raise FileNotFoundError(f"{file} is damaged") from error  # no way to the bot


async def prove(streams: Streams, key: bytes, role: bytes) -> bool:
    """Show the other side that we have the key; whether it has it too.

    Args:
        streams: of a connection on which nothing was said yet.
        key: of `listen`.
        role: ours, `SERVER` or `CLIENT`: nobody can give us our own proof back.
    """
    reader, writer = streams
    their_role = CLIENT if role == SERVER else SERVER
    ours = secrets.token_bytes(_NONCE_BYTES)
    writer.write(ours)
    try:
        theirs = await reader.readexactly(_NONCE_BYTES)
        writer.write(hmac.digest(key, role + ours + theirs, "sha256"))
        proof = await reader.readexactly(_NONCE_BYTES)
    except (OSError, asyncio.IncompleteReadError):
        return False
    return hmac.compare_digest(proof, hmac.digest(key, their_role + theirs + ours, "sha256"))
