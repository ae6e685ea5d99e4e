"""Keeping our prekeys published: at login, every 5 minutes, and after bursts (PROTOCOL.md 4.4).

Everything is stored before it is uploaded, and every one-time prekey goes up once: uploading an id
again would make the backend hand out a key that may have been used.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from chatbot.client.crypto.key_manager import KeyRing, SignedPrekey
from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.storage.key_storage import KeyStorage
from chatbot.client.transport.rest_client import RestClient

CHECK_INTERVAL: Final = 300.0
"""Seconds between two looks at what the backend still has."""

BURST: Final = 10
"""Sessions opened with us since the last look that bring the next one forward: each peer was given
a one-time prekey for it, used or not."""

MIN_INTERVAL: Final = 60.0
"""Seconds between two refills at least: the browser burns a one-time prekey per message."""

logger = logging.getLogger(__name__)


class PrekeyKeeper:
    """Publishes prekeys and follows their ages.

    Args:
        clock: ms since the epoch.
    """

    def __init__(
        self,
        key_ring: KeyRing,
        storage: KeyStorage,
        rest: RestClient,
        *,
        clock: Callable[[], int],
    ) -> None:
        self._key_ring = key_ring
        self._storage = storage
        self._rest = rest
        self._clock = clock
        self._opened = 0
        self._publishing = asyncio.Lock()
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._deletions: set[asyncio.Task[None]] = set()
        self.on_backend = 0
        """One-time prekeys that the backend had at the last look."""

    async def outrun(self) -> bool:
        """Whether the backend has prekeys of ours that this storage never made.

        Raises:
            ConnectionError: the backend cannot be reached.
        """
        known = (await self._rest.prekey_status()).signed_prekey_key_id
        return known is not None and known >= self._key_ring.next_key_id

    async def publish(self) -> None:
        """Make sure that peers can open sessions with us; called at every login.

        In a new key epoch all prekeys are published anew, for our old sessions must not be used.

        Raises:
            ConnectionError: the backend cannot be reached.
        """
        async with self._publishing:
            anew = await self._storage.renewal_due()
            status = await self._rest.prekey_status()
            known = status.signed_prekey_key_id
            if anew:
                self._key_ring.start_after(known)
            signed = self._due_signed_prekey(known, anew=anew)
            first = anew or known is None
            count = self._key_ring.refill(status.one_time_prekey_count, first=first)
            self.on_backend = status.one_time_prekey_count
            if signed is not None or count:
                await self._upload(signed, count)
            if anew:
                await self._storage.renewed()

    def _due_signed_prekey(self, known: int | None, *, anew: bool) -> SignedPrekey | None:
        """The signed prekey to publish: a new one, or the current one where it never arrived."""
        now, current = self._clock(), self._key_ring.current_signed_prekey
        if anew or current is None or self._key_ring.rotation_due(now):
            return self._key_ring.new_signed_prekey(now)
        return None if current.key_id == known else current

    async def _upload(self, signed: SignedPrekey | None, count: int) -> None:
        """Store, then upload; whatever comes of it, no one-time prekey goes up a second time."""
        now = self._clock()
        made = self._key_ring.new_one_time_prekeys(count, now)
        one_time = self._key_ring.mark_uploaded(made, now)
        await self._storage.save_prekeys(
            self._key_ring, one_time if signed is None else (signed, *one_time)
        )
        await self._rest.upload_keys(self._key_ring.upload_body(signed, one_time))
        self.on_backend += len(one_time)

    def start(self) -> None:
        """Look after the prekeys until `close`."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name="prekeys")

    def look_soon(self) -> None:
        """Look at what the backend has as soon as the interval between two refills allows it."""
        self._wake.set()

    def session_opened(self, one_time_prekey: int | None) -> None:
        """A peer has opened a session, which is safe: forget the private half that it used."""
        self._opened += 1
        if self._opened >= BURST:
            self.look_soon()
        if one_time_prekey is not None:
            self._key_ring.use_one_time_prekey(one_time_prekey)
            deletion = asyncio.create_task(self._storage.delete_prekeys([one_time_prekey]))
            self._deletions.add(deletion)
            deletion.add_done_callback(self._deletions.discard)
            deletion.add_done_callback(_log_failure)

    async def close(self) -> None:
        """Stop looking after them."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})
        if self._deletions:
            await asyncio.wait(self._deletions)

    async def _keep(self) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_INTERVAL):
                    await self._wake.wait()
            except TimeoutError:
                pass  # it is time anyway
            self._wake.clear()
            self._opened = 0
            try:
                await self.check()
            except WhatsAppClientError as error:
                logger.warning("the prekeys cannot be looked after now: %s", error)
            await asyncio.sleep(MIN_INTERVAL)

    async def check(self) -> None:
        """Delete what is too old, rotate what is due, refill what is low."""
        signed_ids, one_time_ids = self._key_ring.expire(self._clock())
        if signed_ids or one_time_ids:
            await self._storage.delete_prekeys([*signed_ids, *one_time_ids])
        await self.publish()


def _log_failure(done: asyncio.Task[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        logger.error("a used one-time prekey could not be deleted: %s", error)
