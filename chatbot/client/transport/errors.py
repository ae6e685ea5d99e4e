"""What went wrong on the network, in words: which address, why, and what to do about it."""

from __future__ import annotations

import os
import ssl
from typing import Final

import msgspec

from chatbot.client import exceptions
from chatbot.wire import ErrorBody

_MAX_WORDS: Final = 200


def unreachable(url: str, error: Exception) -> exceptions.ConnectionError:
    """Return the error for a backend that cannot be reached, or no longer.

    Args:
        url: its address, without path or query.
        error: what the operating system or library said.
    """
    if isinstance(error, ssl.SSLCertVerificationError):
        return exceptions.ConnectionError(
            f"{url} does not prove its identity: "
            "check the server URL, its certificate and this machine's clock"
        )
    return exceptions.ConnectionError(
        f"{url} cannot be reached ({_reason(error)}): "
        "check the server URL, that the backend runs, and the network"
    )


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ssl.SSLError):
        return "no common TLS version, or no TLS at all"
    if isinstance(error, OSError) and error.errno is not None and error.errno > 0:
        return os.strerror(error.errno)
    return "no connection"


def backend_words(body: bytes) -> str:
    """Return what an `{"error": text}` says, fit for a terminal; empty for anything else."""
    try:
        text = msgspec.json.decode(body, type=ErrorBody).error
    except (msgspec.DecodeError, RecursionError):
        return ""
    return printable(text)


def printable(text: str) -> str:
    """Return the beginning of a foreign text without control characters."""
    return "".join(c if c.isprintable() else " " for c in text[:_MAX_WORDS]).strip()
