"""Who is calling (PROTOCOL.md 2): nothing but a valid token says so, unless browsers are let in.

The existing browser client sends its bare user id, or nothing at all, on most calls. That is
believed in browser-compatible mode only; otherwise the same calls carry a token, in
`Authorization` itself or beside a bare id in `X-Auth-Token`, and both must name one user.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import TypeAlias

from aiohttp import web

from chatbot.server.database import Database
from chatbot.server.errors import Refused, unauthorized
from chatbot.server.http import Handler
from chatbot.server.tokens import Tokens, is_token
from chatbot.server.users import User, find_user
from chatbot.wire import TOKEN_HEADER

UserHandler: TypeAlias = Callable[[web.Request, User], Awaitable[web.StreamResponse]]
LenientHandler: TypeAlias = Callable[[web.Request, User | None], Awaitable[web.StreamResponse]]


class Guard:
    """Wraps handlers so that they run for a known, active user only.

    Args:
        browser_compat: believe the unauthenticated forms that the browser client uses.
    """

    def __init__(self, database: Database, tokens: Tokens, *, browser_compat: bool) -> None:
        self._database = database
        self._tokens = tokens
        self._browser_compat = browser_compat

    @property
    def browser_compat(self) -> bool:
        """Whether claims without proof are believed."""
        return self._browser_compat

    def token(self, handler: UserHandler) -> Handler:
        """Calls of kind J: a token in every mode."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            claimed = self._token_user(request.headers)
            return await handler(request, await self._active_user(claimed))

        return guarded

    def user(self, handler: UserHandler) -> Handler:
        """Calls of kind U: a bare user id will do where browsers are let in."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            claimed = self.claimed_user(request.headers)
            return await handler(request, await self._active_user(claimed))

        return guarded

    def lenient(self, handler: LenientHandler) -> Handler:
        """Calls of kind "-": the handler meets None where browsers are let in and prove nothing."""

        async def guarded(request: web.Request) -> web.StreamResponse:
            claimed = self._claimed_in_passing(request.headers)
            if claimed is None and self.browser_compat:
                return await handler(request, None)
            return await handler(request, await self._active_user(claimed))

        return guarded

    def claimed_user(self, headers: Mapping[str, str]) -> str | None:
        """Return the user id that the headers prove, or in compatible mode merely name.

        Raises:
            Refused: 401, a token is not valid, or two of them or the id beside disagree.
        """
        proven = self._token_user(headers)
        if proven is None and self.browser_compat:
            return _bearer(headers)
        return proven

    def _claimed_in_passing(self, headers: Mapping[str, str]) -> str | None:
        """The same for calls that need no proof: a token that has expired is then no harm."""
        try:
            return self.claimed_user(headers)
        except Refused:
            if self.browser_compat:
                return None
            raise

    def _token_user(self, headers: Mapping[str, str]) -> str | None:
        bearer, extra = _bearer(headers), headers.get(TOKEN_HEADER)
        named = {
            self._tokens.verify(token) for token in (bearer, extra) if token and is_token(token)
        }
        if extra and not is_token(extra):
            raise unauthorized()
        if not named:
            return None
        if bearer and not is_token(bearer):
            named.add(bearer)
        if len(named) != 1:
            raise unauthorized()
        return named.pop()

    async def _active_user(self, user_id: str | None) -> User:
        if user_id is None:
            raise unauthorized()
        user = await self._database.read(partial(find_user, user_id=user_id))
        if user is None:
            raise unauthorized()
        if not user.is_active:
            raise Refused(403, "Your account has been disabled")
        return user


def _bearer(headers: Mapping[str, str]) -> str | None:
    scheme, _, value = headers.get("Authorization", "").partition(" ")
    return value.strip() if scheme.lower() == "bearer" and value.strip() else None
