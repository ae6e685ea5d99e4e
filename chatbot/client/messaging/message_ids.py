"""Message ids of our own making, which we recognise later and nobody else can foresee.

An id looks like a UUID: ten bytes of nonce and six of HMAC over them, under a secret of this very
storage and all its copies. So an id of ours in the history that the storage does not know proves
that it is an old copy (PROTOCOL.md 4.3), and a backend cannot make one up to claim it.
"""

from __future__ import annotations

import hmac
import os
from collections.abc import Callable
from typing import Final
from uuid import UUID

_NONCE_BYTES: Final = 10


class MessageIds:
    """Makes and recognises the ids of one account's storage.

    Args:
        secret: 32 bytes that only this storage and its copies know.
    """

    __slots__ = ("_random", "_secret")

    def __init__(self, secret: bytes, *, random: Callable[[int], bytes] = os.urandom) -> None:
        self._secret = secret
        self._random = random

    def new(self) -> str:
        """An id that was never used before."""
        return self._with_tag(self._random(_NONCE_BYTES))

    def of_step(self, *step: str | int) -> str:
        """The one id of this step, e.g. (inbound id, plugin, handler, n), the same every time."""
        text = "\x00".join(f"{len(part)}:{part}" for part in map(str, step))
        return self._with_tag(self._mac(b"step" + text.encode())[:_NONCE_BYTES])

    def is_ours(self, message_id: str) -> bool:
        """Whether this storage made the id, or a copy of it."""
        try:
            raw = UUID(message_id).bytes
        except ValueError:
            return False
        return hmac.compare_digest(self._with_tag(raw[:_NONCE_BYTES]), message_id)

    def _with_tag(self, nonce: bytes) -> str:
        return str(UUID(bytes=nonce + self._mac(b"id" + nonce)[: 16 - _NONCE_BYTES]))

    def _mac(self, data: bytes) -> bytes:
        return hmac.digest(self._secret, data, "sha256")
