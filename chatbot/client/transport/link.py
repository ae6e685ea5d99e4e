"""A WebSocket that is logged in and proven to hear (PROTOCOL.md 3).

The real backend may leave a socket deaf: it can send but receives nothing. A `status` frame to
oneself comes back only on a socket that hears, so one with a nonce is sent as a probe.
"""

from __future__ import annotations

import asyncio
import logging
import math
import secrets
import ssl
from collections import Counter
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Any, Final, Self

import msgspec

from chatbot import wire
from chatbot.client import exceptions
from chatbot.client.transport.connection import MAX_FRAME, Bytes, Connection
from chatbot.client.transport.errors import printable

MAX_SILENCE: Final = 300_000
"""Ms without a probe, as when the machine slept, after which a connection is given up: what the
backend sent meanwhile may be lost, and is caught up with behind the next one (PROTOCOL.md 4.3)."""

WELCOME_TIMEOUT: Final = 10.0
"""Seconds in which the backend has to answer `auth`."""

_DISABLED: Final = "Your account has been disabled by an administrator."
_PASSING: Final = "Invalid message format"  # what the real backend says of troubles of its own, too
_WATCHED: Final = frozenset({"status", "online", "error"})

logger = logging.getLogger(__name__)


class DeafError(exceptions.ConnectionError):
    """The probe did not come back: the backend does not deliver to this socket."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LinkSettings:
    """What all links of one client have in common.

    Attributes:
        url: a checked ws(s) URL.
        on_frame: takes each frame but the probes, in the order of arrival.
        tls: for wss.
        clock: ms since the epoch, of a clock that goes on while the machine sleeps.
        rejected: counts what was no frame, by reason.
        probe_interval: seconds between two probes.
        probe_timeout: seconds for a probe to come back.
        max_frame: bytes of a frame, either way.
    """

    url: str
    user_id: str
    username: str
    on_frame: Callable[[wire.Frame], None]
    tls: ssl.SSLContext | None
    clock: Callable[[], int]
    rejected: Counter[str] = field(default_factory=Counter)
    probe_interval: float = 30.0
    probe_timeout: float = 5.0
    max_frame: int = MAX_FRAME


class Link:
    """One login on one socket. Made by `open`; never reconnects."""

    _connection: Connection

    def __init__(self, settings: LinkSettings) -> None:
        self._settings = settings
        self._welcome: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._nonce = ""
        self._lively = False
        self.heard_at = settings.clock()
        """When (ms) the last probe that came back was sent."""
        self.refusal: exceptions.AuthenticationError | None = None
        """Why no other link would do better, once the backend has said so."""

    @classmethod
    async def open(cls, settings: LinkSettings, token: str) -> Self:
        """Connect, log in, and see a probe come back.

        Raises:
            TokenRefusedError: the backend does not accept the token.
            AuthenticationError: it does not accept the user.
            DeafError: it knows us but does not deliver.
            ConnectionError: it cannot be reached, or went away.
        """
        link = cls(settings)
        link._connection = await Connection.open(
            settings.url,
            link._receive,
            headers={"Authorization": f"Bearer {token}"} if token else {},
            tls=settings.tls,
            max_frame=settings.max_frame,
        )
        async with AsyncExitStack() as on_failure:
            on_failure.push_async_callback(link.close)
            try:
                await link._log_in()
                await link._prove()
            except exceptions.ConnectionError as error:
                raise link.refusal or error from error.__cause__
            on_failure.pop_all()
        return link

    def header(self, name: str) -> str | None:
        """Return a header of the handshake's answer."""
        return self._connection.header(name)

    def send(self, kind: str, payload: msgspec.Struct | dict[str, Any]) -> None:
        """Send a frame; see `Connection.send`."""
        try:
            frame = wire.encode_frame(kind, payload)
        except UnicodeEncodeError as error:
            raise exceptions.ValidationError("A text is not valid Unicode") from error
        self._connection.send(frame)

    @property
    def congested(self) -> bool:
        """Whether something that was sent has not left this machine yet."""
        return self._connection.congested

    async def drain(self) -> None:
        """Wait until the backend takes more."""
        await self._connection.drain()

    async def watch(self) -> None:
        """Probe now and then; return once the link is of no use any more."""
        try:
            while not await self._is_over(self._settings.probe_interval):
                self._check_silence()
                await self._prove()
        except exceptions.ConnectionError as error:
            logger.info("Giving up a connection: %s", error)

    def _check_silence(self) -> None:
        if self._settings.clock() - self.heard_at > MAX_SILENCE:
            raise exceptions.ConnectionError("For minutes nothing showed that it delivers to us")

    async def close(self) -> None:
        """Close the socket and let it go, within about a second."""
        await self._connection.close()

    async def _log_in(self) -> None:
        self.send("auth", wire.AuthFrame(self._settings.user_id, self._settings.username))
        if not await self._comes(self._welcome, WELCOME_TIMEOUT):
            raise exceptions.ConnectionError("The backend did not answer the login on its socket")

    async def _prove(self) -> None:
        """See a probe come back.

        It stands behind all that waits to be sent, which may take longer than any fixed time; but
        then that gets less, or the echoes of it arrive meanwhile, as on no socket that is deaf.
        """
        asked_at = self._settings.clock()
        self._nonce = secrets.token_hex(16)
        self._heard = asyncio.get_running_loop().create_future()
        probe = wire.StatusFrame(to=self._settings.user_id, message_id=self._nonce, status="sent")
        frame = wire.encode_frame("status", probe)
        unsent: float = math.inf
        while self._hears(asked_at) or self._connection.unsent < unsent:
            self._lively, unsent = False, self._connection.unsent
            self._connection.send(frame, urgent=True)  # again: one alone may get lost
            if await self._comes(self._heard, self._settings.probe_timeout):
                self.heard_at = asked_at
                return
            if self._connection.ended.done():
                raise exceptions.ConnectionError("The connection to the backend was lost")
        raise DeafError("The backend does not deliver to this connection")

    def _hears(self, since: int) -> bool:
        """Whether something else arrives, unless the probes have failed for too long by now."""
        return self._lively and self._settings.clock() - since <= MAX_SILENCE

    async def _is_over(self, seconds: float) -> bool:
        ends = {self._connection.ended, self._refused}
        over, _ = await asyncio.wait(ends, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        return bool(over)

    async def _comes(self, answer: asyncio.Future[None], seconds: float) -> bool:
        """Wait for an answer, as long as there is hope for one."""
        await asyncio.wait(
            {answer, self._connection.ended, self._refused},
            timeout=seconds,
            return_when=asyncio.FIRST_COMPLETED,
        )
        return answer.done()

    def _receive(self, message: Bytes) -> None:
        try:
            frame = wire.decode_frame(message)
        except msgspec.ValidationError:
            self._reject("not a frame")
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._reject("not JSON")
        except RecursionError:
            self._reject("too deep")
        else:
            if frame.type not in _WATCHED or not self._is_probe(frame):
                self._hand_on(frame)

    def _reject(self, reason: str) -> None:
        self._settings.rejected[reason] += 1
        logger.debug("Dropped what is no frame: %s", reason)

    def _hand_on(self, frame: wire.Frame) -> None:
        if frame.type != "error":  # which a deaf socket is told, too
            self._lively = True
        try:
            self._settings.on_frame(frame)
        except Exception:
            logger.exception("A frame could not be handled")

    def _is_probe(self, frame: wire.Frame) -> bool:
        """Look at what may concern the link itself; only its probe concerns nobody else."""
        try:
            if frame.type == "status":
                return self._on_status(msgspec.json.decode(frame.payload, type=wire.StatusFrame))
            if frame.type == "online":
                self._on_online(msgspec.json.decode(frame.payload, type=wire.OnlineFrame))
            else:
                self._on_error(msgspec.json.decode(frame.payload, type=wire.ErrorFrame))
        except (msgspec.DecodeError, RecursionError):
            logger.debug("The payload of a frame is of the wrong type")
        return False

    def _on_status(self, status: wire.StatusFrame) -> bool:
        if not self._nonce or status.message_id != self._nonce:
            return False
        _settle(self._heard)
        return True

    def _on_online(self, online: wire.OnlineFrame) -> None:
        if online.users is not None:
            _settle(self._welcome)

    def _on_error(self, error: wire.ErrorFrame) -> None:
        words = printable(error.message)
        if words == _DISABLED or not (self._welcome.done() or words == _PASSING):
            self.refusal = exceptions.AuthenticationError(words or "The backend refuses the login")
            _settle(self._refused)


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
