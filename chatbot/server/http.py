"""What every call has in common: bodies in, JSON out, errors and CORS (PROTOCOL.md 2)."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from typing import Any, Final, TypeAlias, TypeVar

import msgspec
from aiohttp import web

from chatbot.server.database import Database
from chatbot.server.errors import Refused
from chatbot.wire import MAX_SAFE_INTEGER, TOKEN_HEADER

T = TypeVar("T")
Handler: TypeAlias = Callable[[web.Request], Awaitable[web.StreamResponse]]
Row: TypeAlias = dict[str, Any]

SUCCESS: Final[dict[str, Any]] = {"success": True}
PAGE_BYTES: Final = 512 * 1024

_HEADERS: Final = {
    "Server": "chatbot",
    "X-Content-Type-Options": "nosniff",
    "Access-Control-Allow-Origin": "*",
    "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE, OPTIONS",
    "Access-Control-Allow-Headers": f"Content-Type, Authorization, {TOKEN_HEADER}",
    "Access-Control-Max-Age": "86400",
}

_log = logging.getLogger(__name__)


class BodyReader:
    """Reads the JSON body of a call, bounded in bytes and seconds."""

    def __init__(self, *, max_bytes: int, seconds: float) -> None:
        self._max_bytes = max_bytes
        self._seconds = seconds

    async def read(self, request: web.Request, kind: type[T], *, max_bytes: int | None = None) -> T:
        """Return the body as a `kind`.

        Raises:
            Refused: 413, too large; 408, too slow.
            msgspec.ValidationError: a field is missing or of another type.
            msgspec.DecodeError: it is not JSON at all.
        """
        try:
            async with asyncio.timeout(self._seconds):
                data = await _read_bytes(request, max_bytes or self._max_bytes)
        except TimeoutError:
            raise Refused(408, "The request's body did not arrive in time") from None
        return msgspec.json.decode(data, type=kind)


async def _read_bytes(request: web.Request, limit: int) -> bytes:
    if (request.content_length or 0) > limit:
        raise Refused(413, f"The request is larger than {limit} bytes")
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            raise Refused(413, f"The request is larger than {limit} bytes")
    return bytes(body)


def json_response(payload: Any, status: int = 200) -> web.Response:
    """Answer with `payload` as JSON."""
    return web.Response(
        body=msgspec.json.encode(payload), status=status, content_type="application/json"
    )


def error_response(status: int, text: str) -> web.Response:
    """Answer with the backend's one shape for errors."""
    return json_response({"error": text}, status)


def query_integer(request: web.Request, name: str) -> int | None:
    """Return a non-negative integer of the query string, or None where it is not given.

    Raises:
        Refused: 400, it is something else.
    """
    text = request.query.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or int(text[:17]) > MAX_SAFE_INTEGER:
        raise Refused(400, f"{name} must be a non-negative integer")
    return int(text[:17])


async def stream_array(request: web.Request, pages: AsyncIterator[list[Row]]) -> web.StreamResponse:
    """Answer with one JSON array, written page by page, so that no history is held whole."""
    first: list[Row] = await anext(pages, [])
    second = await anext(pages, None)
    if second is None:
        return json_response(first)
    response = web.StreamResponse(headers={"Content-Type": "application/json"})
    await response.prepare(request)
    try:
        await response.write(b"[" + _elements(first) + b"," + _elements(second))
        async for page in pages:
            await response.write(b"," + _elements(page))
        await response.write(b"]")
        await response.write_eof()
    except sqlite3.Error:
        # The head is out and says 200: only a broken connection still tells of the failure.
        _log.exception("A history broke off")
        if request.transport is not None:
            request.transport.abort()
    return response


def _elements(rows: list[Row]) -> bytes:
    return msgspec.json.encode(rows)[1:-1]


async def read_pages(
    database: Database, query: str, parameters: tuple[Any, ...], start: tuple[int, int]
) -> AsyncIterator[list[Row]]:
    """Yield the rows of `query` in non-empty pages of about half a MiB.

    Args:
        query: selects two integers first, is ordered by them, and ends in placeholders for the
            pair after which a page begins.
        parameters: for the placeholders before those.
        start: the pair after which the first page begins.
    """
    position: tuple[int, int] | None = start
    while position is not None:
        rows, position = await database.read(partial(_read_page, query, (*parameters, *position)))
        if rows:
            yield rows


def _read_page(
    query: str, parameters: tuple[Any, ...], connection: sqlite3.Connection
) -> tuple[list[Row], tuple[int, int] | None]:
    rows: list[Row] = []
    size = 0
    cursor = connection.execute(query, parameters)
    names = [column[0] for column in cursor.description[2:]]
    for row in cursor:
        first, second, *values = row
        rows.append(dict(zip(names, values, strict=True)))
        size += 128 + sum(len(value) for value in values if isinstance(value, str))
        if size >= PAGE_BYTES:
            cursor.close()
            return rows, (first, second)
    return rows, None


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Let a browser of any origin read the answer, and tell nobody what we run on."""
    response.headers.update(_HEADERS)


@web.middleware
async def answer_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Turn whatever a handler raises into the answer that the protocol has for it."""
    if request.method == "OPTIONS":
        return web.Response(status=204)
    try:
        return await handler(request)
    except ConnectionError:
        raise  # the caller hung up: there is nobody to answer
    except Exception as error:  # noqa: BLE001 - the protocol has an answer to any problem
        return _answer_to(error)


def _answer_to(error: Exception) -> web.Response:
    match error:
        case Refused():
            response = error_response(error.status, error.text)
            response.headers.update(error.headers or {})
            return response
        case web.HTTPException():
            return web.Response(status=404, text="Not found")
        case msgspec.ValidationError():
            return error_response(400, str(error))
        case msgspec.DecodeError() | RecursionError() | UnicodeError():
            return error_response(500, "The request's body is not valid JSON")
    _log.error("A call failed", exc_info=error)
    return error_response(500, "Internal server error")
