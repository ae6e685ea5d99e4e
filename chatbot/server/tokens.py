"""JSON web tokens (RFC 7519) of one kind: HS256, with the user id as subject, good for 24 hours."""

from __future__ import annotations

import hashlib
import hmac
import secrets
import sqlite3
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final, TypeVar

import msgspec
from msgspec import Struct

from chatbot.server.database import Database
from chatbot.server.errors import unauthorized
from chatbot.server.limits import Clock

LIFETIME_SECONDS: Final = 24 * 60 * 60
_SECRET_BYTES: Final = 32
_LONGEST: Final = 4096

_StructT = TypeVar("_StructT", bound=Struct)


class _Header(Struct):
    alg: str
    typ: str


class _Claims(Struct):
    """The token's payload; times in seconds since the epoch, as the RFC has them."""

    sub: str
    iat: int
    exp: int


class Tokens:
    """Signs and verifies.

    Args:
        secret: 32 random bytes; whoever has them is everybody.
        clock: the time in ms.
    """

    def __init__(self, secret: bytes, clock: Clock) -> None:
        self._secret = secret
        self._clock = clock

    def issue(self, user_id: str) -> str:
        """Return a token that lets its bearer act as `user_id` for 24 hours."""
        now = self._clock() // 1000
        claims = _Claims(sub=user_id, iat=now, exp=now + LIFETIME_SECONDS)
        signed = f"{_encode(_Header('HS256', 'JWT'))}.{_encode(claims)}"
        return f"{signed}.{self._signature(signed.encode())}"

    def verify(self, token: str) -> str:
        """Return the user id in a token of ours that has not expired.

        Raises:
            Refused: 401, it is anything else.
        """
        try:
            signed, _, signature = token.encode("ascii").rpartition(b".")
        except UnicodeEncodeError:
            raise unauthorized() from None
        if len(token) > _LONGEST or not hmac.compare_digest(
            self._signature(signed).encode(), signature
        ):
            raise unauthorized()
        # Only now is it known that these are bytes of our own making.
        header, _, payload = signed.partition(b".")
        if _decode(header, _Header).alg != "HS256":
            raise unauthorized()
        claims = _decode(payload, _Claims)
        if claims.exp * 1000 <= self._clock():
            raise unauthorized()
        return claims.sub

    def _signature(self, signed: bytes) -> str:
        digest = hmac.digest(self._secret, signed, hashlib.sha256)
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


def is_token(text: str) -> bool:
    """Whether a bearer value is meant as a token: user ids have no dots."""
    return text.count(".") == 2  # noqa: PLR2004 - header.payload.signature


async def load_secret(database: Database) -> bytes:
    """Return the secret kept in the database (a 0600 file), making it the first time."""

    def unit(connection: sqlite3.Connection) -> bytes:
        connection.execute(
            "INSERT OR IGNORE INTO meta VALUES ('jwt_secret', ?)",
            (secrets.token_bytes(_SECRET_BYTES),),
        )
        row = connection.execute("SELECT value FROM meta WHERE name = 'jwt_secret'").fetchone()
        return bytes(row["value"])

    return await database.write(unit)


def _encode(part: Struct) -> str:
    return urlsafe_b64encode(msgspec.json.encode(part)).rstrip(b"=").decode()


def _decode(part: bytes, kind: type[_StructT]) -> _StructT:
    return msgspec.json.decode(urlsafe_b64decode(part + b"=" * (-len(part) % 4)), type=kind)
