"""An account that is logged in: its files, its connection and its messaging, opened together."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from contextlib import AsyncExitStack
from pathlib import Path

from chatbot import wire
from chatbot.client.background import BackgroundTasks
from chatbot.client.crypto.identity import Identity
from chatbot.client.crypto.key_manager import KeyRing
from chatbot.client.directory import Directory
from chatbot.client.events import EventDispatcher
from chatbot.client.exceptions import ConnectionError, WhatsAppClientError
from chatbot.client.messaging.history import History
from chatbot.client.messaging.messenger import Messenger
from chatbot.client.models import ConnectionState, User
from chatbot.client.options import ClientOptions
from chatbot.client.prekeys import PrekeyKeeper
from chatbot.client.storage.backup import Owner, remove_leftovers, write_backup
from chatbot.client.storage.conversation_storage import ConversationStorage
from chatbot.client.storage.database import Database
from chatbot.client.storage.group_storage import GroupStorage
from chatbot.client.storage.key_storage import KeyStorage
from chatbot.client.storage.lock import AccountLock
from chatbot.client.storage.paths import MESSAGES_FILE, account_directory
from chatbot.client.storage.peer_storage import forget_sessions
from chatbot.client.storage.schema import COMPONENT, MIGRATIONS
from chatbot.client.storage.search_index import SearchIndex
from chatbot.client.transport.rest_client import RestClient
from chatbot.client.transport.security import websocket_url
from chatbot.client.transport.websocket import WebSocketClient

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
        group_storage, conversation_storage, search_index, history: what is looked back into.
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
        self._argon2 = options.argon2
        self._published = False
        self._renewing = asyncio.Lock()
        self._arrival: asyncio.Task[None] | None = None
        self._tasks = BackgroundTasks("the account")
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
            clock=clock,
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
            on_session_opened=self.prekeys.session_opened,
            on_rollback=self._rolled_back,
        )
        self.group_storage = GroupStorage(database, keys.vault)
        messages = self.messenger.messages
        self.conversation_storage = ConversationStorage(database, messages, me=user.id)
        self.search_index = SearchIndex(messages)
        self.history = History(
            me=user.id,
            database=database,
            messages=messages,
            rest=rest,
            catch_up=self.messenger.catch_up,
            ids=self.messenger.ids,
            clock=clock,
        )

    @classmethod
    async def open(
        cls,
        user: User,
        rest: RestClient,
        *,
        storage_path: str | Path,
        storage_password: str,
        account_password: str | None,
        options: ClientOptions,
        events: EventDispatcher,
        clock: Callable[[], int],
    ) -> Account:
        """Lock and open the account's files, or make them; nothing is connected yet.

        Args:
            user: whose files.
            rest: talks to its backend.
            storage_path: where accounts lie.
            storage_password: opens the vault.
            account_password: is kept in it; None leaves the one that is.
            options: everything else.
            events: who is told of what comes and goes.
            clock: ms since the epoch.

        Raises:
            StorageLockedError: another process has the account open.
            WrongPasswordError: the storage password does not open the vault.
            StorageError: the files are damaged or not writable.
        """
        async with AsyncExitStack() as stack:
            path = account_directory(storage_path, user.id)
            stack.enter_context(AccountLock(path))
            await asyncio.to_thread(remove_leftovers, path)
            keys = await stack.enter_async_context(
                await KeyStorage.open(
                    path, storage_password, parameters=options.argon2, clock=clock
                )
            )
            key_ring, epoch = await _load_keys(keys, user.id, options, clock())
            if account_password not in {None, await keys.account_password()}:
                await keys.set_account_password(account_password)
            database = await stack.enter_async_context(await Database.open(path / MESSAGES_FILE))
            await database.migrate(COMPONENT, MIGRATIONS)
            if await keys.renewal_due():
                await database.write(forget_sessions)
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
        await self._tasks.close()
        await self.prekeys.close()
        await self.messenger.close()
        await self.events.close()
        await self.search_index.close()
        await self._resources.aclose()

    async def backup(self, path: Path, password: str) -> None:
        """Seal all of the account into one new file, while it is in use.

        Raises:
            StorageError: the file exists, or cannot be written.
            ValidationError: the password is empty.
        """
        owner = Owner(self.user.id, self.user.username, self.rest.server_url)
        databases = self.keys.database, self.database
        await write_backup(path, password, owner, databases, parameters=self._argon2)

    # ------------------------------------------------------------ a new epoch

    async def renew(self, identity: Identity | None = None, *, epoch: int | None = None) -> None:
        """Begin a new key epoch: no session goes on, and all prekeys are published anew.

        The account is off the line meanwhile. So nothing goes out in an old session, and peers
        who see it come back fetch the new keys.

        Args:
            identity: takes the place of the account's; None where only the sessions are at fault.
            epoch: ms; what is older is not handled. By default now.

        Raises:
            ConnectionError: the backend cannot be reached; the keys are published once it can.
        """
        async with self._renewing:
            back_on_line = self.socket.state != "disconnected"
            await self.socket.close()
            await self._begin_epoch(identity, self._clock() if epoch is None else epoch)
            try:
                await self._publish()
                if back_on_line:
                    await self.socket.connect()
            except ConnectionError:
                if back_on_line:
                    await self.socket.connect(wait=False)
                raise

    async def _begin_epoch(self, identity: Identity | None, epoch: int) -> None:
        """Make it durable, keys first: what is cut short here is done at the next start."""
        if identity is None:
            await self.keys.begin_epoch(epoch)
        else:
            await self.keys.replace_identity(self.user.id, identity, epoch)
            self.key_ring.become(identity)
        self._published = False
        await self.database.write(forget_sessions)
        self.messenger.begin_epoch(epoch)

    def _rolled_back(self, since: int) -> None:
        """This storage is older than what the backend has seen of us (PROTOCOL.md 4.3)."""
        logger.error("this storage is an old copy: every session is established anew")
        self._tasks.spawn(self.renew(epoch=since))

    # ------------------------------------------------------------ what the socket tells

    def _on_frame(self, frame: wire.Frame) -> None:
        self.messenger.on_frame(frame)

    def _on_state(self, state: ConnectionState) -> None:
        if state == "connected":
            self._arrival = self._tasks.spawn(self._came_up())
        elif state in {"reconnecting", "disconnected"}:
            if self._arrival is not None:
                self._arrival.cancel()
            self.messenger.disconnected(self.socket.silence)
        self.events.connection(state)

    def _on_fatal(self, error: WhatsAppClientError) -> None:
        logger.error("the connection is given up: %s", error)
        self.events.error(str(error))

    async def _came_up(self) -> None:
        try:
            await self._publish()
        except WhatsAppClientError as error:
            logger.warning("our keys cannot be published now: %s", error)
            self.prekeys.look_soon()
        self.prekeys.start()
        self.messenger.connected()

    async def _publish(self) -> None:
        if self._published:
            return
        if await self.prekeys.outrun() and not await self.keys.renewal_due():
            logger.warning(
                "the backend has newer keys of ours: this is a new storage or an old copy"
            )
            await self._begin_epoch(None, self._clock())
        await self.prekeys.publish()
        self._published = True


async def _load_keys(
    keys: KeyStorage, user_id: str, options: ClientOptions, now: int
) -> tuple[KeyRing, int]:
    """The account's keys and their epoch (ms), made at the first login on this storage."""
    key_ring = await keys.load_key_ring(options.prekeys)
    if key_ring is None:
        key_ring = KeyRing(Identity.generate(), policy=options.prekeys)
        await keys.save_identity(user_id, key_ring.identity, now)
    return key_ring, await keys.key_epoch() or now
