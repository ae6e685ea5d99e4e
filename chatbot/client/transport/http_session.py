"""HTTP exchanges with one backend: bounded in size and time, repeated where safe, errors mapped."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from random import random as uniform
from typing import Final, TypeAlias, TypeVar

import aiohttp

from chatbot.client import exceptions
from chatbot.client.transport import USER_AGENT, security
from chatbot.client.transport.errors import backend_words, unreachable

T = TypeVar("T")
Errors: TypeAlias = Mapping[int, type[exceptions.WhatsAppClientError]]
"""Which error an HTTP status becomes."""

MEBIBYTE: Final = 1024 * 1024

_MAX_ERROR_BODY: Final = 64 * 1024
_CONNECTIONS: Final = 16
_NEVER_SENT: Final = (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError)
_RETRY_STATUS: Final = frozenset({502, 503, 504})
_RETRY_DELAY: Final = 0.5
_ERRORS: Final[Errors] = {
    400: exceptions.ValidationError,
    401: exceptions.AuthenticationError,
    403: exceptions.PermissionDeniedError,
    404: exceptions.ValidationError,
    409: exceptions.ValidationError,
    413: exceptions.ValidationError,
}


@dataclass(frozen=True, slots=True)
class Request:
    """One call of PROTOCOL.md 2.

    Attributes:
        path: below the server URL, percent-quoted, with its query.
        body: JSON; every POST needs one.
        repeatable: whether the backend may see it twice. Without it, a call is only repeated
            where no connection came about.
        errors: what a status means in this call where that differs from the general rule.
    """

    method: str
    path: str
    body: bytes | None = field(default=None, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    repeatable: bool = True
    errors: Errors = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What an answer may cost.

    Attributes:
        connect: seconds for a connection to come about.
        total: seconds for one attempt: of an ordinary answer all, of a streamed one the head.
        idle: seconds that a streamed answer may stand still.
        stream: seconds spent waiting for a streamed answer, the reader's own time not counted.
        body: bytes of an ordinary answer.
        stream_body: bytes of a streamed answer.
        attempts: how often a call is tried.
    """

    connect: float = 10.0
    total: float = 30.0
    idle: float = 30.0
    stream: float = 600.0
    body: int = 64 * MEBIBYTE
    stream_body: int = 2048 * MEBIBYTE
    attempts: int = 3


class HttpSession:
    """Talks to one backend, directly: no proxies, no cookies, no redirects.

    Connections are opened when they are first needed and kept for later calls.

    Args:
        server_url: where the backend is; see `security.check_server_url`.
        allow_insecure: accept clear text to other machines.
        tls: the caller's own context, e.g. with a private authority.
        limits: sizes, times and attempts.
        sleep: waits the given seconds between attempts.
        random: a number in [0, 1), for the jitter of those waits.

    Attributes:
        date: what the last answer said the time is (RFC 9110, 6.6.1); None before the first.
    """

    def __init__(
        self,
        server_url: str,
        *,
        allow_insecure: bool = False,
        tls: ssl.SSLContext | None = None,
        limits: Limits | None = None,
        sleep: Callable[[float], Awaitable[object]] = asyncio.sleep,
        random: Callable[[], float] = uniform,
    ) -> None:
        self.server_url = security.check_server_url(server_url, allow_insecure=allow_insecure)
        self._tls = security.check_tls_context(tls) if tls else None
        self._limits = limits or Limits()
        self._sleep = sleep
        self._random = random
        self.date: str | None = None
        self._open_session: aiohttp.ClientSession | None = None

    async def fetch(self, request: Request) -> bytes:
        """Return the body of a successful answer.

        Raises:
            ConnectionError: the backend cannot be reached or broke off.
            WhatsAppClientError: it answered with an error; the class tells which.
        """
        return await self._attempt(request, self._fetch_once)

    async def open(self, request: Request) -> aiohttp.ClientResponse:
        """Return a successful answer whose body is still to come; raises like `fetch`.

        Hand it to `chunks`, which closes it.
        """
        return await self._attempt(request, self._open_once)

    async def chunks(self, response: aiohttp.ClientResponse) -> AsyncGenerator[bytes]:
        """Give the body of an opened answer piece by piece, no faster than it is taken.

        Raises:
            ConnectionError: the answer broke off, stood still, or took too long.
            BackendError: it is larger than any answer should be.
        """
        patience, room = self._limits.stream, self._limits.stream_body
        loop = asyncio.get_running_loop()
        try:
            while True:
                began = loop.time()
                async with asyncio.timeout(min(patience, self._limits.idle)):
                    chunk = await response.content.readany()
                if not chunk:
                    return
                patience -= loop.time() - began
                room -= len(chunk)
                if room < 0:
                    raise exceptions.BackendError(f"{response.url.path}: the answer is too large")
                yield chunk
        except (aiohttp.ClientError, OSError) as error:
            raise unreachable(self.server_url, error) from error
        finally:
            response.close()

    async def close(self) -> None:
        """Close all connections; the session can be used again."""
        session, self._open_session = self._open_session, None
        if session is not None:
            await session.close()

    async def _attempt(self, request: Request, operation: Callable[[Request], Awaitable[T]]) -> T:
        """Run an operation, again after a failure that may pass, with growing pauses."""
        for attempt in range(1, self._limits.attempts + 1):
            try:
                return await operation(request)
            except (aiohttp.ClientError, OSError) as error:
                failure: Exception = unreachable(self.server_url, error)
                failure.__cause__ = error
                again = not isinstance(error, ssl.SSLCertVerificationError) and (
                    request.repeatable or isinstance(error, _NEVER_SENT)
                )
            except exceptions.BackendError as error:
                failure = error
                again = error.status in _RETRY_STATUS and request.repeatable
            if not again or attempt == self._limits.attempts:
                break
            await self._sleep(_RETRY_DELAY * 2 ** (attempt - 1) * (1 - 0.5 * self._random()))
        raise failure

    async def _fetch_once(self, request: Request) -> bytes:
        async with asyncio.timeout(self._limits.total):
            response = await self._send(request)
            try:
                return await _read(response, self._limits.body)
            finally:
                response.release()

    async def _open_once(self, request: Request) -> aiohttp.ClientResponse:
        async with asyncio.timeout(self._limits.total):
            return await self._send(request)

    async def _send(self, request: Request) -> aiohttp.ClientResponse:
        session = await self._session()
        response = await session.request(
            request.method,
            self.server_url + request.path,
            data=request.body,
            headers=request.headers,
            allow_redirects=False,
        )
        self.date = response.headers.get("Date", self.date)
        if 200 <= response.status < 300:  # noqa: PLR2004 - HTTP's own numbers
            return response
        try:
            raise await _refusal(request, response)
        finally:
            response.release()

    async def _session(self) -> aiohttp.ClientSession:
        if security.is_secure(self.server_url) and self._tls is None:
            self._tls = await asyncio.to_thread(security.tls_context)
        if self._open_session is None:
            self._open_session = self._make_session()
        return self._open_session

    def _make_session(self) -> aiohttp.ClientSession:
        return aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=self._tls or True, limit=_CONNECTIONS),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(
                total=None, sock_connect=self._limits.connect, sock_read=self._limits.idle
            ),
            middlewares=(_send_once,),
            # A compressed answer could unfold to any size before it is measured.
            auto_decompress=False,
            headers={
                "User-Agent": USER_AGENT,
                "Accept-Encoding": "identity",
                "Content-Type": "application/json",
            },
        )


class _BrokenOffError(aiohttp.ClientError):
    """The connection broke before an answer came."""


async def _send_once(
    request: aiohttp.ClientRequest, send: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Keep aiohttp from repeating every GET, PUT and DELETE by itself when a connection breaks.

    It does so on these two errors. What may be repeated, and after what pause, is decided here.
    """
    try:
        return await send(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise _BrokenOffError from error


async def _read(response: aiohttp.ClientResponse, limit: int) -> bytes:
    body = bytearray()
    while chunk := await response.content.readany():
        body += chunk
        if len(body) > limit:
            response.close()
            raise exceptions.BackendError(
                f"{response.url.path}: the answer is larger than {limit} bytes",
                status=response.status,
            )
    return bytes(body)


async def _refusal(
    request: Request, response: aiohttp.ClientResponse
) -> exceptions.WhatsAppClientError:
    """Return the error that an answer means (PROTOCOL.md 2: `{"error": text}`, or plain text)."""
    status = response.status
    words = backend_words(await _read(response, _MAX_ERROR_BODY))
    kind = request.errors.get(status) or _ERRORS.get(status)
    if kind is not None and words:
        return kind(words)
    if kind is exceptions.AuthenticationError:
        return kind(f"{request.method} {response.url.path}: not authorized")
    if 300 <= status < 400:  # noqa: PLR2004 - HTTP's own numbers
        words = "a redirect, which is not followed: check the server URL"
    return exceptions.BackendError(
        f"{request.method} {response.url.path}: HTTP {status}, {words or 'with no reason given'}",
        status=status,
    )
