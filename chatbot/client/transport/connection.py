"""One WebSocket from its handshake to its end; it never reconnects.

The protocol is the sans-I/O core of `websockets`, driven straight from asyncio's callbacks: a
frame is handed on in the turn of the event loop that read it, and whatever is sent within one
turn leaves in one system call.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final, Self, TypeAlias, cast

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import CloseCode, Frame, Opcode
from websockets.http11 import Response
from websockets.protocol import State
from websockets.uri import parse_uri

from chatbot.client import exceptions
from chatbot.client.transport import USER_AGENT
from chatbot.client.transport.errors import unreachable

MAX_FRAME: Final = 16 * 1024 * 1024
"""The largest frame either way: an image of 5 MB is 7 MB in base64, 9 MB encrypted again."""

CLOSE_TIMEOUT: Final = 1.0
"""Seconds to wait for an answer to our close, which the real backend never gives."""

OPEN_TIMEOUT: Final = 10.0
"""Seconds for connecting, TLS and the handshake together."""

Bytes: TypeAlias = bytes | bytearray | memoryview

_UNAUTHORIZED: Final = frozenset({401, 403})
_HAPPY_EYEBALLS_DELAY: Final = 0.25
_BATCH_BYTES: Final = 128 * 1024

logger = logging.getLogger(__name__)


class TokenRefusedError(exceptions.AuthenticationError):
    """The backend answered the handshake with 401 or 403."""


class _Discreet(logging.LoggerAdapter[logging.Logger]):
    """Keeps the library from logging headers and frames, which it does at DEBUG."""

    def isEnabledFor(self, level: int) -> bool:  # noqa: N802 - logging's name
        return level > logging.DEBUG and super().isEnabledFor(level)


class Connection(asyncio.Protocol):
    """A WebSocket that is open, or was. Made by `open`.

    Args:
        url: a checked ws(s) URL.
        on_message: takes each message, undecoded, in the order of arrival; must not raise.
        headers: added to the handshake.
        max_frame: bytes of a message either way, receiving a larger one ends the connection;
            and bytes that may wait to be sent before another message is taken.
    """

    _transport: asyncio.Transport

    def __init__(
        self,
        url: str,
        on_message: Callable[[Bytes], None],
        *,
        headers: Mapping[str, str] = MappingProxyType({}),
        max_frame: int = MAX_FRAME,
    ) -> None:
        self._websocket = ClientProtocol(
            parse_uri(url), max_size=max_frame, logger=_Discreet(logger, {})
        )
        self._url = url
        self._on_message = on_message
        self._headers = headers
        self._max_frame = max_frame
        self._loop = asyncio.get_running_loop()
        self._response: asyncio.Future[Response] = self._loop.create_future()
        self._fragments = bytearray()
        self._batched = 0
        self._writable = asyncio.Event()
        self._writable.set()
        self._closed = asyncio.Event()
        self.ended: asyncio.Future[None] = self._loop.create_future()
        """Done when nothing can be sent or received any more."""

    @classmethod
    async def open(
        cls,
        url: str,
        on_message: Callable[[Bytes], None],
        *,
        headers: Mapping[str, str],
        tls: ssl.SSLContext | None = None,
        max_frame: int = MAX_FRAME,
        timeout: float = OPEN_TIMEOUT,  # noqa: ASYNC109 - it covers more than the caller's await
    ) -> Self:
        """Connect and shake hands.

        Args:
            url: a checked ws(s) URL.
            on_message: see the class; may be called before this returns.
            headers: added to the handshake.
            tls: for wss.
            max_frame: see the class.
            timeout: seconds for all of it.

        Raises:
            TokenRefusedError: the backend does not accept the token.
            ConnectionError: it cannot be reached, or does not speak WebSocket there.
        """
        uri = parse_uri(url)
        try:
            async with asyncio.timeout(timeout):
                _, connection = await asyncio.get_running_loop().create_connection(
                    lambda: cls(url, on_message, headers=headers, max_frame=max_frame),
                    uri.host,
                    uri.port,
                    ssl=tls,
                    happy_eyeballs_delay=_HAPPY_EYEBALLS_DELAY,
                )
                await connection.opened()
        except OSError as error:
            raise unreachable(url, error) from error
        return connection

    async def opened(self) -> None:
        """Wait for the end of the handshake; who gives up waiting ends the connection."""
        try:
            await self._response
        except BaseException:
            self._transport.abort()
            raise

    def header(self, name: str) -> str | None:
        """Return a header of the handshake's answer; None unless it stands there exactly once."""
        values = self._response.result().headers.get_all(name)
        return values[0] if len(values) == 1 else None

    @property
    def unsent(self) -> int:
        """How many bytes have not left this machine."""
        return self._batched + self._transport.get_write_buffer_size()

    @property
    def congested(self) -> bool:
        """Whether something that was sent waits here for the network."""
        return self._transport.get_write_buffer_size() > 0

    def send(self, message: bytes, *, urgent: bool = False) -> None:
        """Send a text message. Messages leave in the order of the calls.

        Args:
            message: JSON, in UTF-8.
            urgent: take it however much waits to be sent.

        Raises:
            ConnectionError: the connection has ended, or too much waits to be sent already: the
                backend does not take it as fast as it comes. Nothing of `message` was sent.
            ValidationError: the message is larger than any may be.
        """
        if self.ended.done():
            raise exceptions.ConnectionError("The connection to the backend has ended")
        if len(message) > self._max_frame:
            raise exceptions.ValidationError(f"A message is larger than {self._max_frame} bytes")
        if self.unsent > self._max_frame and not urgent:
            raise exceptions.ConnectionError("The backend does not keep up: send more slowly")
        self._websocket.send_text(message)
        if not self._batched:
            self._loop.call_soon(self._flush)
        self._batched += len(message)
        if self._batched >= _BATCH_BYTES:
            self._flush()

    async def drain(self) -> None:
        """Wait until the backend takes more, or the connection ends: `send` will tell."""
        while not self._writable.is_set():
            await self._writable.wait()

    async def close(self) -> None:
        """Close, politely for a second, then for good. Nothing is received any more."""
        if self._websocket.state is State.OPEN:
            self._websocket.send_close(CloseCode.NORMAL_CLOSURE)
            self._flush()
        self._mark_ended()
        try:
            async with asyncio.timeout(CLOSE_TIMEOUT):
                await self._closed.wait()
        except TimeoutError:
            logger.debug("The backend did not answer our close")
        finally:
            self._transport.abort()
        await self._closed.wait()

    def end(self) -> None:
        """End at once, without waiting for an answer; what was sent before still goes out."""
        if not self._response.done():
            self._response.set_exception(self._refusal())
            self._response.exception()  # who opened may have given up: no complaint about that
        self._mark_ended()
        self._flush()
        self._transport.close()

    # ------------------------------------------------------------ called by asyncio

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for the upgrade."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=min(_BATCH_BYTES, self._max_frame))
        request = self._websocket.connect()
        request.headers["User-Agent"] = USER_AGENT
        request.headers.update(self._headers)
        self._websocket.send_request(request)
        self._flush()

    def data_received(self, data: bytes) -> None:
        """Hand on what the bytes complete, and answer pings and closes."""
        self._websocket.receive_data(data)
        failed = self._websocket.handshake_exc is not None
        for event in self._websocket.events_received():
            if isinstance(event, Frame):
                self._receive(event)
            elif isinstance(event, Response) and not (failed or self._response.done()):
                self._response.set_result(event)
        if (failed or self._websocket.state >= State.CLOSING) and not self.ended.done():
            self.end()
        self._flush()
        if self._transport.get_write_buffer_size() > 2 * self._max_frame:
            self._transport.abort()  # it sends pings, but does not read what they are answered

    def eof_received(self) -> None:
        """Let asyncio close the transport."""
        self._websocket.receive_eof()
        self.end()

    def connection_lost(self, exc: Exception | None) -> None:
        """Release everybody who waits."""
        logger.debug("A socket is gone: %s", type(exc).__name__ if exc else "closed")
        self._websocket.receive_eof()
        self._closed.set()
        self.end()

    def pause_writing(self) -> None:
        """Make `drain` wait."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """Let `drain` go on."""
        self._writable.set()

    def _receive(self, frame: Frame) -> None:
        if self.ended.done():
            return
        if frame.opcode is Opcode.CONT or not frame.fin:
            self._fragments += frame.data
            if frame.fin:
                message, self._fragments = self._fragments, bytearray()
                self._on_message(message)
        elif frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._on_message(frame.data)

    def _flush(self) -> None:
        self._batched = 0
        # An empty chunk is the library's mark for half-closing; we only ever close both halves.
        chunks = [chunk for chunk in self._websocket.data_to_send() if chunk]
        if chunks and not self._transport.is_closing():
            self._transport.writelines(chunks)

    def _mark_ended(self) -> None:
        if not self.ended.done():
            self.ended.set_result(None)
        self._writable.set()

    def _refusal(self) -> exceptions.WhatsAppClientError:
        error = self._websocket.handshake_exc
        if not isinstance(error, InvalidStatus):
            return exceptions.ConnectionError(
                f"{self._url} does not answer as a WebSocket should: check the server URL"
            )
        status = error.response.status_code
        words = f"{self._url} refuses the WebSocket (HTTP {status})"
        if status in _UNAUTHORIZED:
            return TokenRefusedError(words)
        return exceptions.ConnectionError(f"{words}: check the server URL, or try again later")
