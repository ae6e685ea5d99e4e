"""One WebSocket: what goes out over it, in order and in bounded memory."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, TypeVar

from aiohttp import WSCloseCode, WSMsgType, web

from chatbot.server.errors import INVALID_FRAME, NOT_FOUND, Refused
from chatbot.server.limits import Limits
from chatbot.server.users import User
from chatbot.wire import encode_frame

T = TypeVar("T")

REPLACED: Final = 4001
"""The close code of a socket whose user has opened a newer one."""

_FAREWELL_SECONDS: Final = 1.0

_log = logging.getLogger(__name__)


class Connection:
    """The server's end of a socket, after the handshake.

    Attributes:
        user: who it is, once its `auth` frame was good.
        gone: set when the socket has ended.
    """

    __slots__ = (
        "_closing",
        "_deadline",
        "_limits",
        "_queue",
        "_queued_bytes",
        "_tail",
        "_transport",
        "_unstored",
        "_unstored_bytes",
        "_wake",
        "gone",
        "socket",
        "user",
    )

    def __init__(
        self,
        socket: web.WebSocketResponse,
        transport: asyncio.BaseTransport | None,
        limits: Limits,
    ) -> None:
        self.socket = socket
        self.user: User | None = None
        self.gone = asyncio.Event()
        self._transport = transport
        self._limits = limits
        self._queue: deque[bytes] = deque()
        self._queued_bytes = 0
        self._wake = asyncio.Event()
        self._closing: tuple[int, bytes] | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._tail: asyncio.Future[Any] | None = None
        self._unstored = 0
        self._unstored_bytes = 0

    # ------------------------------------------------------------ sending

    def send(self, frame: bytes) -> bool:
        """Queue a frame and return whether it will be tried.

        A socket that is read too slowly for what is sent to it is dropped: its client finds what
        it missed in the history.
        """
        if self._closing is not None:
            return False
        self._queue.append(frame)
        self._queued_bytes += len(frame)
        self._wake.set()
        limits = self._limits
        if len(self._queue) > limits.pending_frames or self._queued_bytes > limits.pending_bytes:
            _log.warning("Dropped a socket that does not read what is sent to it")
            self.abort()
            return False
        return True

    def send_error(self, text: str) -> None:
        """Queue an `error` frame."""
        self.send(encode_frame("error", {"message": text}))

    def refuse(self, error: BaseException) -> None:
        """Tell the client that what it sent was not served."""
        if not isinstance(error, Refused):
            _log.error("A frame failed", exc_info=error)
            self.send_error(INVALID_FRAME)
            return
        # The protocol does not tell what is not there apart from what makes no sense.
        self.send_error(INVALID_FRAME if error.status == NOT_FOUND else error.text)
        if error.closes:
            self.close(WSCloseCode.POLICY_VIOLATION, "Refused")

    @property
    def closing(self) -> bool:
        """Whether nothing more is read from it or queued for it."""
        return self._closing is not None

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then close with a proper handshake; all that within a second."""
        if self._closing is None:
            self._closing = (code, reason.encode())
            self._deadline = asyncio.get_running_loop().call_later(_FAREWELL_SECONDS, self.abort)
            self._wake.set()

    def abort(self) -> None:
        """Drop the connection now, and what was queued with it."""
        self._closing = self._closing or (WSCloseCode.GOING_AWAY, b"")
        self._wake.set()
        self._queue.clear()
        self._queued_bytes = 0
        if isinstance(self._transport, asyncio.Transport):
            self._transport.abort()

    async def write_frames(self) -> None:
        """Write what is queued until the socket closes; runs as a task of its own."""
        try:
            while self._closing is None:
                await self._wake.wait()
                self._wake.clear()
                await self._flush()
            code, reason = self._closing
            await self._flush()
            await self.socket.close(code=code, message=reason)
        except ConnectionError:
            self.abort()
        finally:
            if self._deadline is not None:
                self._deadline.cancel()

    async def _flush(self) -> None:
        while self._queue:
            frame = self._queue.popleft()
            self._queued_bytes -= len(frame)
            await self.socket.send_frame(frame, WSMsgType.TEXT)

    # ------------------------------------------------------------ the order of effects

    def after(self, stored: asyncio.Future[T], size: int, effect: Callable[[T], object]) -> None:
        """Run `effect` with the result of `stored`, or tell the client why there is none.

        Args:
            stored: done when what the client sent is on the disk.
            size: bytes that wait with it.
            effect: what follows; effects of one socket happen in the order of its frames.
        """
        self._unstored += 1
        self._unstored_bytes += size
        self._tail = stored

        def settle(done: asyncio.Future[T]) -> None:
            self._unstored -= 1
            self._unstored_bytes -= size
            if self._tail is done:
                self._tail = None
            if error := done.exception():
                self.refuse(error)
            else:
                effect(done.result())

        stored.add_done_callback(settle)

    def then(self, effect: Callable[[], object]) -> None:
        """Run `effect` behind everything that waits for the disk already."""
        if self._tail is None:
            effect()
        else:
            self._tail.add_done_callback(lambda _done: effect())

    async def ready(self) -> None:
        """Wait while too much of this socket waits for the disk."""
        limits = self._limits
        while self._tail is not None and (
            self._unstored > limits.unstored_frames or self._unstored_bytes > limits.unstored_bytes
        ):
            await asyncio.wait((self._tail,))
