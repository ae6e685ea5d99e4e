"""REST calls signed as this account, and their answers decoded: PROTOCOL.md 2, in general."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from dataclasses import replace
from typing import Final, Literal, TypeAlias, TypeVar
from urllib.parse import quote, urlencode

import msgspec

from chatbot.client import exceptions
from chatbot.client.transport.http_session import HttpSession, Request
from chatbot.client.transport.json_stream import ArraySplitter, JsonStreamError
from chatbot.client.transport.tokens import TokenSource
from chatbot.wire import TOKEN_HEADER

T = TypeVar("T")

Auth: TypeAlias = Literal["none", "token", "user"]
"""Who a call says it comes from: nobody, the JWT's user, or a bare user id (and the JWT)."""

_MAX_ID: Final = 512

logger = logging.getLogger(__name__)


def api_path(*segments: str, **query: str | int | None) -> str:
    """Return `/api/…` with every segment and value percent-quoted; None values are left out.

    Raises:
        ValidationError: a segment cannot be part of a path: empty, dots only, too long.
    """
    path = "/api/" + "/".join(_quoted(segment) for segment in segments)
    given = {name: value for name, value in query.items() if value is not None}
    return f"{path}?{urlencode(given)}" if given else path


def _quoted(segment: str) -> str:
    if not segment.strip(".") or len(segment) > _MAX_ID:
        raise exceptions.ValidationError("An id is empty, made of dots, or too long")
    try:
        return quote(segment, safe="")
    except UnicodeEncodeError as error:
        raise exceptions.ValidationError("An id is not valid Unicode") from error


def encode_body(body: msgspec.Struct) -> bytes:
    """Encode a request's body.

    Raises:
        ValidationError: a text in it is not valid Unicode.
    """
    try:
        return msgspec.json.encode(body)
    except UnicodeEncodeError as error:
        raise exceptions.ValidationError("A text is not valid Unicode") from error


class Calls:
    """Makes calls as one account; logs in again, once, where the token is refused.

    Args:
        http: the way to the backend.
        tokens: where the account's JWT comes from.
    """

    def __init__(self, http: HttpSession, tokens: TokenSource) -> None:
        self._http = http
        self._tokens = tokens
        self.user_id = ""
        self.rejected: Counter[str] = Counter()

    async def call(self, request: Request, answer: type[T], auth: Auth = "token") -> T:
        """Make a call and return its answer.

        Raises:
            BackendError: the answer is not of that type.
            WhatsAppClientError: see `HttpSession.fetch` and `TokenSource.current`.
        """
        body = await self._signed(self._http.fetch, request, auth)
        try:
            return msgspec.json.decode(body, type=answer)
        except (msgspec.DecodeError, RecursionError) as error:
            raise _misunderstood(request, error) from error

    async def rows(self, request: Request, row: type[T], auth: Auth = "token") -> list[T]:
        """Make a call that answers with a list. A row of another type is skipped and counted."""
        decoder = msgspec.json.Decoder(row)
        found = await self.call(request, list[msgspec.Raw], auth)
        return [good for raw in found if (good := self._decoded(decoder, raw)) is not None]

    async def stream(
        self, request: Request, row: type[T], auth: Auth = "token"
    ) -> AsyncGenerator[T]:
        """Make a call that answers with a list of any length, and give its rows as they come.

        Rows of another type or too long are skipped and counted.

        Raises:
            BackendError: the answer is no list, or larger than any should be.
            ConnectionError: it broke off: what was given is not everything.
        """
        splitter, decoder = ArraySplitter(), msgspec.json.Decoder(row)
        response = await self._signed(self._http.open, request, auth)
        async with aclosing(self._http.chunks(response)) as chunks:
            try:
                async for chunk in chunks:
                    for element in splitter.feed(chunk):
                        if (good := self._decoded(decoder, element)) is not None:
                            yield good
                splitter.finish()
            except JsonStreamError as error:
                raise _misunderstood(request, error) from error
            finally:
                self.rejected["oversized"] += splitter.dropped

    async def _signed(
        self, send: Callable[[Request], Awaitable[T]], request: Request, auth: Auth
    ) -> T:
        if auth == "none":
            return await send(request)
        if auth == "user" and not self.user_id:
            raise exceptions.AuthenticationError("Log in first: this call needs a user id")
        token = await self._tokens.current()
        try:
            return await send(self._with_headers(request, auth, token))
        except exceptions.AuthenticationError:
            token = await self._tokens.replace(token)
            return await send(self._with_headers(request, auth, token))

    def _with_headers(self, request: Request, auth: Auth, token: str) -> Request:
        if auth == "token":
            return replace(request, headers={"Authorization": f"Bearer {token}"})
        headers = {"Authorization": f"Bearer {self.user_id}", TOKEN_HEADER: token}
        return replace(request, headers=headers)

    def _decoded(self, decoder: msgspec.json.Decoder[T], element: bytes | msgspec.Raw) -> T | None:
        try:
            return decoder.decode(element)
        except (msgspec.DecodeError, RecursionError) as error:
            self.rejected["malformed"] += 1
            logger.debug("Skipped a row of the backend's: %s", type(error).__name__)
            return None


def _misunderstood(request: Request, error: Exception) -> exceptions.BackendError:
    path = request.path.partition("?")[0]
    return exceptions.BackendError(
        f"{request.method} {path}: the answer cannot be understood ({error})", status=200
    )
