"""Published key material and who verified whom (PROTOCOL.md 2 and 4.4).

The backend sees public keys only, and checks nothing but their shape: whether a signature is right
is for the clients to say, who trust nobody here.
"""

from __future__ import annotations

import binascii
import sqlite3
from base64 import b64decode
from functools import partial
from typing import Any, Final

from aiohttp import web

from chatbot.server.authentication import Guard
from chatbot.server.errors import Refused
from chatbot.server.http import SUCCESS, Row, json_response
from chatbot.server.resources import Resources
from chatbot.server.users import User, require_user
from chatbot.wire import KeyUpload, VerifyKeyBody

_KEY_BYTES: Final = 32
_SIGNATURE_BYTES: Final = 64
_LONGEST_FINGERPRINT: Final = 200
_METHODS: Final = frozenset({"manual", "qr_code"})


class Keys:
    """Uploading, counting and fetching prekeys; keeping verifications."""

    def __init__(self, resources: Resources) -> None:
        self._database = resources.database
        self._bodies = resources.bodies
        self._limits = resources.limits
        self._clock = resources.clock

    def routes(self, guard: Guard) -> list[web.RouteDef]:
        """Return the calls of this topic."""
        return [
            web.post("/api/users/prekeys", guard.token(self._upload)),
            web.get("/api/users/prekeys/status", guard.token(self._status), allow_head=False),
            web.get("/api/users/{id}/prekeys", guard.token(self._fetch), allow_head=False),
            web.post("/api/verify-key", guard.token(self._verify)),
            web.get("/api/verify-key/{id}", guard.token(self._verification), allow_head=False),
            web.delete("/api/verify-key/{id}", guard.token(self._unverify)),
        ]

    async def _upload(self, request: web.Request, user: User) -> web.StreamResponse:
        upload = await self._bodies.read(request, KeyUpload)
        _check_upload(upload)
        added = await self._database.write(partial(self._publish, user.id, upload))
        return json_response(
            {
                "success": True,
                "signedPrekeyUploaded": upload.signed_prekey is not None,
                "oneTimePrekeysUploaded": added,
            }
        )

    def _publish(self, user_id: str, upload: KeyUpload, connection: sqlite3.Connection) -> int:
        now = self._clock()
        self.replace_identity(connection, user_id, upload, now)
        if upload.signed_prekey is not None:
            key = upload.signed_prekey
            connection.execute(
                "INSERT OR REPLACE INTO signed_prekeys VALUES (?, ?, ?, ?, ?)",
                (user_id, key.key_id, key.public_key, key.signature, now),
            )
        added = self.add_one_time_prekeys(connection, user_id, upload, now)
        if _count_unused(connection, user_id) > self._limits.prekeys_per_user:
            raise Refused(400, f"More than {self._limits.prekeys_per_user} one-time prekeys")
        return added

    def replace_identity(
        self, connection: sqlite3.Connection, user_id: str, upload: KeyUpload, now: int
    ) -> None:
        """Publish the identity; the prekeys of another one are of no use with it and go."""
        row = connection.execute(
            "SELECT identity_key FROM identities WHERE user_id = ?", (user_id,)
        ).fetchone()
        if row is not None and row["identity_key"] != upload.identity_key:
            connection.execute("DELETE FROM one_time_prekeys WHERE user_id = ?", (user_id,))
            connection.execute("DELETE FROM signed_prekeys WHERE user_id = ?", (user_id,))
        store_identity(connection, user_id, upload, now)

    def add_one_time_prekeys(
        self, connection: sqlite3.Connection, user_id: str, upload: KeyUpload, now: int
    ) -> int:
        """Add the new ones and return how many that were.

        An id that was handed out stays used: a repeated upload must not bring it back.
        """
        added = connection.executemany(
            "INSERT INTO one_time_prekeys (user_id, key_id, public_key, created_at)"
            " VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            [(user_id, key.key_id, key.public_key, now) for key in upload.one_time_prekeys],
        ).rowcount
        return max(0, added)

    async def _status(self, _request: web.Request, user: User) -> web.StreamResponse:
        return json_response(await self._database.read(partial(_read_status, user_id=user.id)))

    async def _fetch(self, request: web.Request, _user: User) -> web.StreamResponse:
        bundle = await self._database.write(partial(_take_bundle, user_id=request.match_info["id"]))
        return json_response(bundle)

    async def _verify(self, request: web.Request, user: User) -> web.StreamResponse:
        body = await self._bodies.read(request, VerifyKeyBody)
        method = body.verification_method or "manual"
        if method not in _METHODS or not _is_fingerprint(body.verified_fingerprint):
            raise Refused(400, "verifiedFingerprint or verificationMethod is not valid")
        await self._database.write(partial(_store_verification, user.id, body, self._clock()))
        return json_response(SUCCESS)

    async def _verification(self, request: web.Request, user: User) -> web.StreamResponse:
        query = partial(_read_verification, user.id, request.match_info["id"])
        return json_response(await self._database.read(query))

    async def _unverify(self, request: web.Request, user: User) -> web.StreamResponse:
        def unit(connection: sqlite3.Connection) -> None:
            connection.execute(
                "DELETE FROM verifications WHERE user_id = ? AND verified_user_id = ?",
                (user.id, request.match_info["id"]),
            )

        await self._database.write(unit)
        return json_response(SUCCESS)


def _check_upload(upload: KeyUpload) -> None:
    keys = [upload.identity_key, upload.signing_key]
    keys += [key.public_key for key in upload.one_time_prekeys]
    signatures = []
    if upload.signed_prekey is not None:
        keys.append(upload.signed_prekey.public_key)
        signatures.append(upload.signed_prekey.signature)
    if not all(_is_base64(key, _KEY_BYTES) for key in keys):
        raise Refused(400, f"Public keys must be base64 of {_KEY_BYTES} bytes")
    if not all(_is_base64(signature, _SIGNATURE_BYTES) for signature in signatures):
        raise Refused(400, f"Signatures must be base64 of {_SIGNATURE_BYTES} bytes")
    if not _is_fingerprint(upload.fingerprint):
        raise Refused(400, "The fingerprint is not valid")


def _is_base64(text: str, length: int) -> bool:
    try:
        return len(b64decode(text, validate=True)) == length
    except (binascii.Error, ValueError):
        return False


def _is_fingerprint(text: str) -> bool:
    return 0 < len(text) <= _LONGEST_FINGERPRINT and text.isascii() and text.isprintable()


def store_identity(
    connection: sqlite3.Connection, user_id: str, upload: KeyUpload, now: int
) -> None:
    """Write the row of an identity over what was there."""
    connection.execute(
        "INSERT OR REPLACE INTO identities VALUES (?, ?, ?, ?, ?)",
        (user_id, upload.identity_key, upload.signing_key, upload.fingerprint, now),
    )


def _count_unused(connection: sqlite3.Connection, user_id: str) -> int:
    row = connection.execute(
        "SELECT count(*) FROM one_time_prekeys WHERE user_id = ? AND used = 0", (user_id,)
    ).fetchone()
    return int(row[0])


def _read_status(connection: sqlite3.Connection, user_id: str) -> Row:
    row = connection.execute(
        "SELECT key_id, created_at FROM signed_prekeys WHERE user_id = ?", (user_id,)
    ).fetchone()
    return {
        "signedPrekeyKeyId": row["key_id"] if row else None,
        "signedPrekeyCreatedAt": row["created_at"] if row else None,
        "oneTimePrekeyCount": _count_unused(connection, user_id),
    }


def _take_bundle(connection: sqlite3.Connection, user_id: str) -> Row:
    identity = connection.execute(
        "SELECT identity_key AS identityKey, signing_key AS signingKey, fingerprint"
        " FROM identities WHERE user_id = ?",
        (user_id,),
    ).fetchone()
    if identity is None:
        raise Refused(404, "Key material not found")
    signed = connection.execute(
        "SELECT key_id AS keyId, public_key AS publicKey, signature, created_at AS createdAt"
        " FROM signed_prekeys WHERE user_id = ?",
        (user_id,),
    ).fetchone()
    bundle: dict[str, Any] = dict(identity)
    bundle["signedPrekey"] = dict(signed) if signed else None
    bundle["oneTimePrekey"] = _take_one_time_prekey(connection, user_id)
    return bundle


def _take_one_time_prekey(connection: sqlite3.Connection, user_id: str) -> Row | None:
    row = connection.execute(
        "SELECT key_id AS keyId, public_key AS publicKey FROM one_time_prekeys"
        " WHERE user_id = ? AND used = 0 ORDER BY created_at, key_id LIMIT 1",
        (user_id,),
    ).fetchone()
    if row is None:
        return None
    connection.execute(
        "UPDATE one_time_prekeys SET used = 1 WHERE user_id = ? AND key_id = ?",
        (user_id, row["keyId"]),
    )
    return dict(row)


def _store_verification(
    user_id: str, body: VerifyKeyBody, now: int, connection: sqlite3.Connection
) -> None:
    verified = require_user(connection, body.verified_user_id)
    connection.execute(
        "INSERT OR REPLACE INTO verifications VALUES (?, ?, ?, ?, ?)",
        (
            user_id,
            verified.id,
            body.verified_fingerprint,
            body.verification_method or "manual",
            now,
        ),
    )


def _read_verification(user_id: str, peer_id: str, connection: sqlite3.Connection) -> Row:
    row = connection.execute(
        "SELECT fingerprint, verified_at AS verifiedAt, method FROM verifications"
        " WHERE user_id = ? AND verified_user_id = ?",
        (user_id, peer_id),
    ).fetchone()
    return {"verified": True, **dict(row)} if row else {"verified": False}
