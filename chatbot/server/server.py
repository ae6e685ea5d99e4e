"""The embedded backend: PROTOCOL.md 2 and 3 over aiohttp.web and one SQLite file."""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
from contextlib import AsyncExitStack
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from aiohttp import web
from argon2 import PasswordHasher

from chatbot.server.accounts import promote
from chatbot.server.assembly import Assembly, Parts
from chatbot.server.database import Database
from chatbot.server.errors import ListenError, ServerError
from chatbot.server.http import BodyReader
from chatbot.server.limits import Clock, Limits, SteadyClock, system_time
from chatbot.server.passwords import Passwords
from chatbot.server.resources import Resources
from chatbot.server.tokens import Tokens, load_secret

DEFAULT_HOST: Final = "127.0.0.1"
DEFAULT_PORT: Final = 8787

_SHUTDOWN_SECONDS: Final = 0.5

_log = logging.getLogger(__name__)


class Server:
    """A backend that listens between `start` and `stop`, or as an async context manager.

    Everything but registering, logging in and the list of users needs a valid token, and the
    token's user is who acts. Nobody is an administrator until `make_admin` says so.

    Args:
        db_path: the SQLite file; it is made 0600, its folder 0700 where it is not there yet. The
            secret that signs tokens is kept in it.
        host: the address to listen on.
        port: the port; 0 takes any that is free, see `port`.
        browser_compat: believe the bare user ids of the browser client, which proves nothing.
            Refused on addresses that others can reach.
        force: allow that all the same.
        clock: the time in ms since the epoch.
        limits: the bounds of everything.
        password_hasher: argon2's cost, for tests.
        assembly: puts the parts together, for tests.
    """

    def __init__(
        self,
        db_path: Path | str,
        *,
        host: str = DEFAULT_HOST,
        port: int = DEFAULT_PORT,
        browser_compat: bool = False,
        force: bool = False,
        clock: Clock = system_time,
        limits: Limits | None = None,
        password_hasher: PasswordHasher | None = None,
        assembly: Assembly | None = None,
    ) -> None:
        if browser_compat and not force and not _is_loopback(host):
            raise ServerError(
                f"In browser-compatible mode anybody who reaches {host} can act as anybody."
                " Listen on 127.0.0.1, or force it if the network is yours alone."
            )
        self.host = host
        self.browser_compat = browser_compat
        self._db_path = Path(db_path)
        self._port = port
        self._clock = SteadyClock(clock)
        self._limits = limits or Limits()
        self._password_hasher = password_hasher
        self._assembly = assembly or Assembly()
        self._database: Database | None = None
        self._running = AsyncExitStack()

    @property
    def port(self) -> int:
        """The port it listens on: the one asked for, or the one found at `start`."""
        return self._port

    @property
    def url(self) -> str:
        """The address where clients find it, with its port."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self._port}"

    async def start(self) -> None:
        """Open the database and listen.

        Raises:
            DatabaseError: the database cannot be used, or another process uses it.
            ListenError: the port is taken.
            ServerError: it runs already.
        """
        if self._database is not None:
            raise ServerError(f"The backend runs already, at {self.url}.")
        async with AsyncExitStack() as stack:
            database = await Database.open(self._db_path)
            stack.push_async_callback(database.close)
            passwords = Passwords(self._password_hasher)
            stack.callback(passwords.close)
            tokens = Tokens(await load_secret(database), self._clock)
            resources = self._resources(database)
            parts = self._assembly.build(
                resources, passwords, tokens, browser_compat=self.browser_compat
            )
            await self._listen(parts, stack)
            self._database = database
            self._running = stack.pop_all()
        if self.browser_compat:
            _log.warning("Browser-compatible: whoever reaches %s can act as anybody", self.url)
        _log.info("The backend listens on %s", self.url)

    async def stop(self) -> None:
        """Close every socket, commit what came in, and let go of port and file.

        A stopped server can be started again, on the same port.
        """
        self._database = None
        await self._running.aclose()

    async def make_admin(self, username: str) -> None:
        """Give a registered account the role of an administrator.

        Raises:
            ServerError: nobody has that name, or the server is not running.
        """
        if self._database is None:
            raise ServerError("The backend is not running: start it before naming administrators.")
        await self._database.write(partial(promote, username=username))

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.stop()

    def _resources(self, database: Database) -> Resources:
        bodies = BodyReader(max_bytes=self._limits.body_bytes, seconds=self._limits.body_seconds)
        return Resources(database, bodies, self._limits, self._clock)

    async def _listen(self, parts: Parts, stack: AsyncExitStack) -> None:
        runner = web.AppRunner(
            parts.application,
            handle_signals=False,
            access_log=None,
            shutdown_timeout=_SHUTDOWN_SECONDS,
        )
        await runner.setup()
        stack.push_async_callback(runner.cleanup)
        stack.push_async_callback(parts.gateway.close_all)
        assert runner.server is not None  # noqa: S101 - setup made it
        try:
            listener = await asyncio.get_running_loop().create_server(
                partial(parts.gate.admit, runner.server), self.host, self._port
            )
        except OSError as error:
            raise ListenError(
                f"The backend cannot listen on {self.host} port {self._port}: {_reason(error)}."
                " What to do: choose another port (0 takes any that is free), or an address of"
                " this machine"
            ) from error
        stack.callback(parts.gate.close)
        stack.callback(listener.close)
        self._port = listener.sockets[0].getsockname()[1]


def _reason(error: OSError) -> str:
    """Why nothing listens there; asyncio's own words tell the address once more."""
    return "the port is taken" if error.errno == errno.EADDRINUSE else f"{error.strerror}"


def _is_loopback(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
