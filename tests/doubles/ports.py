"""Ports that nobody else on this machine is given."""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def reserved_port() -> Iterator[int]:
    """A port of 127.0.0.1 for a server that stops and starts again.

    While it is stopped, the system could give the port away: to another test, or to a client that
    tries to reconnect and then meets itself. A socket that is bound to it, but does not listen,
    keeps the system from that and is in no server's way. Elsewhere than on Linux it would be: there
    the port is 0, for any that is free.
    """
    with socket.socket() as holder:
        if sys.platform == "linux":
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            holder.bind(("127.0.0.1", 0))
            yield holder.getsockname()[1]
        else:
            yield 0
