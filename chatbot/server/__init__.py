"""The embedded backend, for trying out, for tests and for small teams; see `Server`."""

from __future__ import annotations

from chatbot.server.errors import DatabaseError, ListenError, ServerError
from chatbot.server.limits import Limits
from chatbot.server.server import DEFAULT_HOST, DEFAULT_PORT, Server

__all__ = [
    "DEFAULT_HOST",
    "DEFAULT_PORT",
    "DatabaseError",
    "Limits",
    "ListenError",
    "Server",
    "ServerError",
]
