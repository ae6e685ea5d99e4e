"""The client's one WebSocket, kept up: connected again whenever it is lost or has gone deaf."""

from __future__ import annotations

import asyncio
import logging
import math
import ssl
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import replace
from functools import partial
from random import random as uniform
from typing import Any, TypeVar

import msgspec

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.models import ConnectionState
from chatbot.client.transport import security
from chatbot.client.transport.backoff import Backoff
from chatbot.client.transport.connection import MAX_FRAME, TokenRefusedError
from chatbot.client.transport.link import DeafError, Link, LinkSettings
from chatbot.client.transport.tokens import TokenSource

T = TypeVar("T")

logger = logging.getLogger(__name__)


def _now() -> int:
    return time.time_ns() // 1_000_000


class WebSocketClient:
    """Sends and receives the frames of PROTOCOL.md 3 as one user.

    `connect` returns once the backend has answered the login and a probe has come back. From then
    on the connection is watched: after a loss the first attempt is made at once, the next after
    `reconnect_delay`, later ones ever more rarely (see `Backoff`). The old socket is always
    closed and let go first. All callbacks are called in the event loop, in order, and must
    neither block nor wait; one that raises is logged and harms nothing else.

    Args:
        url: the backend's ws(s) URL; see `security.websocket_url`.
        user_id: who logs in.
        username: that user's name.
        tokens: where the JWT comes from; shared with the REST client.
        on_frame: takes each frame, its payload still undecoded; probes are left out.
        on_state: told of each change between connecting, connected, reconnecting, disconnected.
        on_fatal: told why, after `connect` has returned, no more attempts are made:
            `AuthenticationError` (the login is refused, the account disabled), or the last
            `ConnectionError` where attempts are limited.
        allow_insecure: accept clear text to other machines than this.
        trusted: whether to believe this backend that it checks the JWT of every socket.
        tls: the caller's own context, e.g. with a private authority.
        auto_reconnect: whether to connect again at all.
        reconnect_delay: seconds before the second attempt.
        max_reconnect_attempts: how many attempts may fail in a row; None for no end of them.
        probe_interval: seconds between two probes.
        probe_timeout: seconds for a probe to come back.
        max_frame: bytes of a frame either way, and bytes that may wait to be sent before another
            frame is taken.
        sleep: waits the given seconds between attempts.
        random: a number in [0, 1), for the jitter of those waits.
        clock: ms since the epoch, of a clock that goes on while the machine sleeps.

    Raises:
        ValidationError: the URL cannot be used, or would be clear text.
    """

    def __init__(
        self,
        url: str,
        *,
        user_id: str,
        username: str,
        tokens: TokenSource,
        on_frame: Callable[[wire.Frame], None],
        on_state: Callable[[ConnectionState], None],
        on_fatal: Callable[[exceptions.WhatsAppClientError], None],
        allow_insecure: bool = False,
        trusted: bool = False,
        tls: ssl.SSLContext | None = None,
        auto_reconnect: bool = True,
        reconnect_delay: float = 3.0,
        max_reconnect_attempts: int | None = None,
        probe_interval: float = 30.0,
        probe_timeout: float = 5.0,
        max_frame: int = MAX_FRAME,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = uniform,
        clock: Callable[[], int] = _now,
    ) -> None:
        self._settings = LinkSettings(
            url=security.check_websocket_url(url, allow_insecure=allow_insecure),
            user_id=user_id,
            username=username,
            on_frame=on_frame,
            tls=security.check_tls_context(tls) if tls else None,
            clock=clock,
            probe_interval=probe_interval,
            probe_timeout=probe_timeout,
            max_frame=max_frame,
        )
        self._tokens = tokens
        self._on_state = on_state
        self._on_fatal = on_fatal
        self._trusted = trusted
        self._auto_reconnect = auto_reconnect and max_reconnect_attempts != 0
        self._max_attempts = math.inf if max_reconnect_attempts is None else max_reconnect_attempts
        self._backoff = Backoff(base=reconnect_delay, random=random)
        self._stable = reconnect_delay
        self._sleep = sleep
        self._state: ConnectionState = "disconnected"
        self._link: Link | None = None
        self._latest: Link | None = None
        self._supervisor: asyncio.Task[None] | None = None
        self._first: asyncio.Future[None]

    @property
    def state(self) -> ConnectionState:
        """The state that `on_state` was last told; `disconnected` at first."""
        return self._state

    @property
    def connected(self) -> bool:
        """Whether frames can be sent now."""
        return self._link is not None

    @property
    def congested(self) -> bool:
        """Whether something that was sent has not left this machine yet."""
        return self._link is not None and self._link.congested

    @property
    def silence(self) -> int:
        """How long ago (ms) the backend last proved to deliver to us; 0 before it ever did."""
        latest = self._latest
        return 0 if latest is None else max(0, self._settings.clock() - latest.heard_at)

    @property
    def authenticated_sockets(self) -> bool:
        """Whether nobody can claim another's name on this backend's sockets.

        True only while connected to a trusted backend that says so.
        """
        if self._link is None or not self._trusted:
            return False
        return self._link.header(wire.AUTHENTICATED_SOCKETS_HEADER) == "1"

    @property
    def rejected(self) -> Counter[str]:
        """How much was received that is no frame: `not JSON`, `not a frame`, `too deep`."""
        return self._settings.rejected

    async def connect(self, *, wait: bool = True) -> None:
        """Connect, and stay connected from then on. Does nothing where that is so already.

        Args:
            wait: return when connected, and fail where the first attempt fails. Without it, return
                at once and go on trying, as after a loss.

        Raises:
            AuthenticationError: the backend refuses the login.
            ConnectionError: it cannot be reached, or does not deliver to us.
        """
        if self._supervisor is None or self._supervisor.done():
            self._first = asyncio.get_running_loop().create_future()
            if not wait:
                self._first.set_result(None)
            self._supervisor = asyncio.create_task(self._stay_connected(patient=not wait))
            self._supervisor.add_done_callback(partial(self._gave_up, self._first))
        first = self._first
        try:
            await asyncio.wait({first})
        except asyncio.CancelledError:
            await self.close()
            raise
        first.result()

    async def close(self) -> None:
        """Disconnect, within about a second even if the backend never answers."""
        if (supervisor := self._supervisor) is not None:
            supervisor.cancel()
            await asyncio.wait({supervisor})

    def send_nowait(self, kind: str, payload: msgspec.Struct | dict[str, Any]) -> None:
        """Hand a frame to the socket. Frames leave in the order of the calls, in few packets.

        Raises:
            ConnectionError: not connected, or more than `max_frame` bytes wait to be sent already
                because the backend does not keep up. This frame is not sent, those before it are.
            ValidationError: the frame is larger than `max_frame`, or not valid Unicode.
        """
        if self._link is None:
            raise exceptions.ConnectionError("Not connected to the backend")
        self._link.send(kind, payload)

    async def send(self, kind: str, payload: msgspec.Struct | dict[str, Any]) -> None:
        """Send a frame as soon as the backend keeps up; raises like `send_nowait`."""
        if self._link is not None:
            await self._link.drain()
        self.send_nowait(kind, payload)

    async def _stay_connected(self, *, patient: bool) -> None:
        """Have a link, again and again, until that is hopeless.

        Args:
            patient: whether even the first link may take more than one attempt.
        """
        self._backoff.reset()
        self._set_state("connecting")
        while True:
            try:
                link = await self._open()
            except exceptions.AuthenticationError:
                raise
            except exceptions.WhatsAppClientError as error:
                if not patient or self._backoff.attempts >= self._max_attempts:
                    raise
                logger.info("No connection to the backend yet: %s", error)
            else:
                patient = True
                await self._use(link)
            if delay := self._backoff.next_delay():
                await self._sleep(delay)

    async def _open(self) -> Link:
        """Open a link; with a new token where the backend refuses the one we have."""
        if security.is_secure(self._settings.url) and self._settings.tls is None:
            tls = await asyncio.to_thread(security.tls_context)
            self._settings = replace(self._settings, tls=tls)
        token = await self._tokens.current()
        try:
            return await self._open_hearing(token)
        except TokenRefusedError:
            token = await self._tokens.replace(token)
            return await self._open_hearing(token)

    async def _open_hearing(self, token: str) -> Link:
        """Open a link; once more where it is deaf, as it is while an older socket goes away."""
        try:
            return await Link.open(self._settings, token)
        except DeafError:
            return await Link.open(self._settings, token)

    async def _use(self, link: Link) -> None:
        """Keep a link until it ends, and let its socket go."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        try:
            self._link = self._latest = link
            self._set_state("connected")
            if not self._first.done():
                self._first.set_result(None)
            await link.watch()
            self._link = None
            if link.refusal is not None:
                raise link.refusal
            if not self._auto_reconnect:
                raise exceptions.ConnectionError("The connection to the backend was lost")
            self._set_state("reconnecting")
        finally:
            self._link = None
            await link.close()
        # One that is lost again at once must not be opened again at once for ever.
        if loop.time() - began >= self._stable:
            self._backoff.reset()

    def _gave_up(self, first: asyncio.Future[None], supervisor: asyncio.Task[None]) -> None:
        """Tell why a supervisor ended: whoever waits in `connect`, else `on_fatal`."""
        self._set_state("disconnected")
        error = _reason(supervisor)
        if not first.done():
            first.set_exception(error)
            first.exception()  # nobody may be waiting any more
        elif not supervisor.cancelled():
            _tell(self._on_fatal, error)

    def _set_state(self, state: ConnectionState) -> None:
        if state != self._state:
            self._state = state
            logger.info("The connection to the backend: %s", state)
            _tell(self._on_state, state)


def _reason(supervisor: asyncio.Task[None]) -> exceptions.WhatsAppClientError:
    if supervisor.cancelled():
        return exceptions.ConnectionError("The client was closed")
    error = supervisor.exception()
    if isinstance(error, exceptions.WhatsAppClientError):
        return error
    logger.error("The supervision of the connection failed", exc_info=error)
    return exceptions.ConnectionError("The connection was given up after a failure on our side")


def _tell(callback: Callable[[T], None], news: T) -> None:
    try:
        callback(news)
    except Exception:
        logger.exception("A callback of the connection failed")
