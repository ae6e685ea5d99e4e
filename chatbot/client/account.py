"""An account that is logged in: its files, its connection and its messaging, opened together."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from chatbot import wire
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.directory import Directory
from chatbot.client.events import EventDispatcher
from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.messaging.messenger import Messenger
from chatbot.client.models import ConnectionState, User
from chatbot.client.options import ClientOptions
from chatbot.client.prekeys import PrekeyKeeper
from chatbot.client.storage.database import Database
from chatbot.client.storage.key_storage import KeyStorage
from chatbot.client.storage.lock import AccountLock
from chatbot.client.storage.paths import MESSAGES_FILE, account_directory
from chatbot.client.storage.schema import COMPONENT, MIGRATIONS
from chatbot.client.transport.rest_client import RestClient
from chatbot.client.transport.security import websocket_url
from chatbot.client.transport.websocket import WebSocketClient

_FORGET_SESSIONS: Final = (
    "DELETE FROM sessions",
    "DELETE FROM skipped_keys",
    "UPDATE peers SET record = NULL",
)

logger = logging.getLogger(__name__)


class Account:
    """Everything of one logged-in account. Made by `open`, ended by `close`.

    Attributes:
        user: who it is.
        path: the directory of its files.
        keys, database: keys.db and messages.db.
        socket, rest: the connection to the backend.
        messenger: what comes and goes.
        events: who is told of it.
        prekeys, directory: our published keys, and everybody's names.
    """

    def __init__(
        self,
        *,
        user: User,
        path: Path,
        rest: RestClient,
        keys: KeyStorage,
        key_ring: KeyRing,
        epoch: int,
        database: Database,
        options: ClientOptions,
        events: EventDispatcher,
        clock: Callable[[], int],
    ) -> None:
        """Use `open`."""
        self.user = user
        self.path = path
        self.rest = rest
        self.keys = keys
        self.key_ring = key_ring
        self.database = database
        self.events = events
        self._clock = clock
        self._published = False
        self._tasks: set[asyncio.Task[None]] = set()
        self._resources = AsyncExitStack()
        self.directory = Directory(rest, clock=clock)
        self.prekeys = PrekeyKeeper(key_ring, keys, rest, clock=clock)
        self.socket = WebSocketClient(
            options.ws_url or websocket_url(rest.server_url),
            user_id=user.id,
            username=user.username,
            tokens=rest.tokens,
            on_frame=self._on_frame,
            on_state=self._on_state,
            on_fatal=self._on_fatal,
            allow_insecure=options.allow_insecure,
            trusted=options.trusted_server,
            auto_reconnect=options.auto_reconnect,
            reconnect_delay=options.reconnect_delay,
            max_reconnect_attempts=options.max_reconnect_attempts,
        )
        self.messenger = Messenger(
            me=user.id,
            key_ring=key_ring,
            epoch=epoch,
            database=database,
            vault=keys.vault,
            rest=rest,
            link=self.socket,
            observer=events,
            clock=clock,
            options=options.messaging,
            on_one_time_prekey_used=self.prekeys.used,
            on_rollback=self._rolled_back,
        )

    @classmethod
    async def open(
        cls,
        user: User,
        rest: RestClient,
        *,
        storage_path: str | Path,
        storage_password: str,
        account_password: str,
        options: ClientOptions,
        events: EventDispatcher,
        clock: Callable[[], int],
    ) -> Account:
        """Lock and open the account's files, or make them; nothing is connected yet.

        Raises:
            StorageLockedError: another process has the account open.
            WrongPasswordError: the storage password does not open the vault.
            StorageError: the files are damaged or not writable.
        """
        async with AsyncExitStack() as stack:
            path = account_directory(storage_path, user.id)
            stack.enter_context(AccountLock(path))
            keys = await stack.enter_async_context(
                await KeyStorage.open(
                    path, storage_password, parameters=options.argon2, clock=clock
                )
            )
            key_ring, epoch = await _load_keys(keys, user.id, options, clock())
            if account_password != await keys.account_password():
                await keys.set_account_password(account_password)
            database = await stack.enter_async_context(await Database.open(path / MESSAGES_FILE))
            await database.migrate(COMPONENT, MIGRATIONS)
            account = cls(
                user=user,
                path=path,
                rest=rest,
                keys=keys,
                key_ring=key_ring,
                epoch=epoch,
                database=database,
                options=options,
                events=events,
                clock=clock,
            )
            events.attach(database, account.messenger.messages)
            account._resources = stack.pop_all()
            return account

    async def connect(self, *, wait: bool = True) -> None:
        """Publish our keys and connect; without `wait`, go on trying in the background.

        Raises:
            ConnectionError: the backend cannot be reached.
            AuthenticationError: it refuses the login.
        """
        if wait:
            await self._publish()
        await self.socket.connect(wait=wait)

    async def close(self) -> None:
        """Disconnect and close the files; what is under way goes on at the next login."""
        await self.socket.close()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.prekeys.close()
        await self.messenger.close()
        await self.events.close()
        await self._resources.aclose()

    async def renew_sessions(self) -> None:
        """Begin a new epoch: forget every session, since ours may be older than the peers'.

        A ratchet must never run from an old state. Peers find new prekeys, and start afresh.
        """
        now = self._clock()

        def forget(connection: sqlite3.Connection) -> None:
            for statement in _FORGET_SESSIONS:
                connection.execute(statement)

        await self.keys.begin_epoch(now)
        await self.database.write(forget)
        self.messenger.conversations.forget_all()
        await self.prekeys.publish(anew=True)

    # ------------------------------------------------------------ what the socket tells

    def _on_frame(self, frame: wire.Frame) -> None:
        self.messenger.on_frame(frame)

    def _on_state(self, state: ConnectionState) -> None:
        if state == "connected":
            self._spawn(self._came_up())
        elif state in {"reconnecting", "disconnected"}:
            self.messenger.disconnected()
        self.events.connection(state)

    def _on_fatal(self, error: WhatsAppClientError) -> None:
        logger.error("the connection is given up: %s", error)
        self.events.error(str(error))

    async def _came_up(self) -> None:
        await self._publish()
        self.prekeys.start()
        await self.messenger.connected()

    async def _publish(self) -> None:
        if not self._published:
            await self.prekeys.publish()
            self._published = True

    def _rolled_back(self) -> None:
        self._spawn(self.renew_sessions())

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        task.add_done_callback(_log_failure)


async def _load_keys(
    keys: KeyStorage, user_id: str, options: ClientOptions, now: int
) -> tuple[KeyRing, int]:
    """The account's keys and their epoch (ms), made at the first login on this storage."""
    key_ring = await keys.load_key_ring(options.prekeys)
    if key_ring is None:
        key_ring = KeyRing(Identity.generate(), policy=options.prekeys)
        await keys.save_identity(user_id, key_ring.identity, now)
    return key_ring, await keys.key_epoch() or now


def _log_failure(done: asyncio.Task[None]) -> None:
    if not done.cancelled() and (error := done.exception()) is not None:
        if isinstance(error, WhatsAppClientError):
            logger.warning("%s", error)
        else:
            logger.error("the account failed", exc_info=error)
