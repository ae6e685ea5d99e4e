"""WhatsAppClient: one account of the messenger, with everything the browser client can do."""

from __future__ import annotations

import shutil
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from chatbot.client.account import Account
from chatbot.client.api.admin import AdminApi
from chatbot.client.api.conversations import ConversationsApi
from chatbot.client.api.group_members import GroupMembersApi
from chatbot.client.api.group_messages import GroupMessagesApi
from chatbot.client.api.messages import MessagesApi
from chatbot.client.api.presence import PresenceApi
from chatbot.client.api.transfer import TransferApi
from chatbot.client.api.users import UsersApi
from chatbot.client.api.verification import VerificationApi
from chatbot.client.crypto_manager import CryptoManager
from chatbot.client.events import EventDispatcher, EventHandlers
from chatbot.client.exceptions import (
    AuthenticationError,
    ConnectionError,
    UsernameExistsError,
    ValidationError,
)
from chatbot.client.models import ConnectionState, User
from chatbot.client.options import ClientOptions
from chatbot.client.storage.message_storage import InboxEntry
from chatbot.client.storage.paths import AccountIndex
from chatbot.client.transport.rest_client import RestClient
from chatbot.wire import Account as AccountBody

if TYPE_CHECKING:
    from chatbot.client.settings import ClientSettings  # pydantic is heavy: not for everybody

MIN_USERNAME: Final = 3
MAX_USERNAME: Final = 100
MIN_PASSWORD: Final = 6


def _now() -> int:
    return time.time_ns() // 1_000_000


class WhatsAppClient(
    EventHandlers,
    MessagesApi,
    ConversationsApi,
    PresenceApi,
    VerificationApi,
    TransferApi,
    GroupMembersApi,
    GroupMessagesApi,
    UsersApi,
    AdminApi,
):
    """A client for one account.

    Args:
        server_url: e.g. `https://your-worker.workers.dev`. Clear text is refused but to this
            machine.
        storage_path: where accounts lie, one folder each; `~` is the user's home.
        auto_connect: connect the socket when logging in.
        storage_password: opens the account's files; by default the account's password.
        options: everything else.
        consumer: takes all stored messages in place of the handlers; a bot's runtime is one.
        clock: ms since the epoch.

    Example:
        >>> async with WhatsAppClient("https://chat.example") as client:
        ...     await client.login("alice", "a long password")
        ...     await client.send_message("bob", "Hello!")
    """

    def __init__(
        self,
        server_url: str,
        storage_path: str | Path = "~/.whatsapp_client",
        auto_connect: bool = True,
        *,
        storage_password: str | None = None,
        options: ClientOptions | None = None,
        consumer: Callable[[InboxEntry], None] | None = None,
        clock: Callable[[], int] = _now,
    ) -> None:
        super().__init__()
        self.server_url = server_url
        self.storage_path = storage_path
        self.auto_connect = auto_connect
        self._storage_password = storage_password
        self._options = options or ClientOptions()
        self._consumer = consumer
        self._clock = clock
        self._open_account: Account | None = None

    @classmethod
    def from_settings(cls, settings: ClientSettings, **arguments: Any) -> Self:
        """A client as the settings say; `arguments` are those of the class."""
        return cls(
            settings.server.url,
            settings.storage.path,
            settings.connection.auto_connect,
            options=settings.options(),
            **arguments,
        )

    def __repr__(self) -> str:
        who = "logged out" if self._open_account is None else self._open_account.user.username
        return f"<WhatsAppClient {self.server_url} {who}>"

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.logout()

    # ------------------------------------------------------------ who we are

    @property
    def _account(self) -> Account:
        if self._open_account is None:
            raise ValidationError("not logged in: call login() or register() first")
        return self._open_account

    @property
    def user(self) -> User:
        """The account that is logged in."""
        return self._account.user

    @property
    def user_id(self) -> str:
        """Its id."""
        return self._account.user.id

    @property
    def connection_state(self) -> ConnectionState:
        """Connecting, connected, reconnecting or disconnected."""
        if self._open_account is None:
            return "disconnected"
        return self._open_account.socket.state

    @property
    def authenticated_sockets(self) -> bool:
        """Whether the backend is believed to let nobody claim another's name."""
        return self._account.socket.authenticated_sockets

    @property
    def _crypto(self) -> CryptoManager:
        return CryptoManager(self._account)

    # ------------------------------------------------------------ coming and going

    async def register(self, username: str, password: str, avatar: str | None = None) -> User:
        """Make an account, then log in: upload keys and (with `auto_connect`) connect.

        Raises:
            ValidationError: the name has not 3 to 100 characters, the password fewer than 6.
            UsernameExistsError: somebody else has the name.
            ConnectionError: the backend cannot be reached.
        """
        if not MIN_USERNAME <= len(username) <= MAX_USERNAME:
            raise ValidationError(f"a username has {MIN_USERNAME} to {MAX_USERNAME} characters")
        if len(password) < MIN_PASSWORD:
            raise ValidationError(f"a password has at least {MIN_PASSWORD} characters")
        rest = self._rest(username, password)
        return await self._enter(rest, lambda: rest.register(username, password, avatar), password)

    async def login(self, username: str, password: str, *, offline: bool = False) -> User:
        """Log in: open the account's files, upload keys and (with `auto_connect`) connect.

        Args:
            username: of the account.
            password: of the account.
            offline: where the backend cannot be reached, open the files of an account that has
                logged in here before, and go on trying to connect.

        Raises:
            AuthenticationError: wrong name or password, or the account is disabled.
            ConnectionError: the backend cannot be reached.
            WrongPasswordError: the storage password does not open the files on this disk.
            StorageLockedError: another process has the account open.
            StorageError: the files are damaged or not writable.
        """
        if not username or not password:
            raise ValidationError("a username and a password are needed to log in")
        rest = self._rest(username, password)
        try:
            return await self._enter(rest, lambda: rest.login(username, password), password)
        except AuthenticationError as error:
            raise AuthenticationError(
                f"{rest.server_url} refuses the login of {username!r}: {error}. What to do: check "
                "name and password; a disabled account is enabled again by an administrator"
            ) from error
        except ConnectionError:
            if not offline or (user_id := self._index().find(self.server_url, username)) is None:
                raise
            return await self._enter_offline(User(id=user_id, username=username), password)

    async def register_or_login(self, username: str, password: str) -> User:
        """Make an account; where there is one of that name, log in.

        Raises:
            AuthenticationError: somebody else has the name, or the account is disabled.
            WhatsAppClientError: as `register` and `login` do.
        """
        try:
            return await self.register(username, password)
        except UsernameExistsError:
            pass  # most likely ours, from an earlier time
        try:
            return await self.login(username, password)
        except AuthenticationError as error:
            raise AuthenticationError(f"The name {username!r} is taken. {error}") from error

    async def open(self, user: User) -> None:
        """Open the files of an account that has logged in here before; nothing is connected.

        What needs the backend logs in by itself, with the password that is kept in the files.

        Args:
            user: whose they are, as `AccountIndex` knows it.

        Raises:
            ValidationError: the client has no `storage_password`, or is logged in.
            WrongPasswordError: it does not open the files.
            StorageLockedError: another process has the account open.
            StorageError: the files are damaged or not writable.
        """
        if self._open_account is not None or not self._storage_password:
            raise ValidationError("open() needs a storage_password, and a client that is new")

        async def relogin() -> str:
            password = await self._account.keys.account_password()
            return (await rest.login(user.username, password or "")).token

        rest = self._new_rest(relogin)
        rest.act_as(user.id)
        try:
            await self._open(user, rest, None)
        except BaseException:
            await rest.close()
            raise

    async def connect(self, *, wait: bool = True) -> None:
        """Connect the socket, and stay connected from then on.

        Args:
            wait: fail where the first attempt fails; without it, go on trying.

        Raises:
            ConnectionError: the backend cannot be reached.
            AuthenticationError: it refuses the login.
        """
        await self._account.connect(wait=wait)

    async def logout(self, clear_storage: bool = False) -> None:
        """Disconnect and forget what is in memory. Does nothing if not logged in.

        Args:
            clear_storage: delete the account's files too: keys, sessions and messages. What was
                sent to us in the old sessions can never be read again.
        """
        account, self._open_account = self._open_account, None
        if account is None:
            return
        await account.close()
        await account.rest.close()
        if clear_storage:
            shutil.rmtree(account.path)

    async def _enter(
        self, rest: RestClient, authenticate: Callable[[], Awaitable[AccountBody]], password: str
    ) -> User:
        if self._open_account is not None:
            raise ValidationError("logged in already: call logout() first")
        try:
            body = await authenticate()
            rest.act_as(body.id, body.token)
            user = User(id=body.id, username=body.username, avatar=body.avatar, role=body.role)
            await self._open(user, rest, password)
        except BaseException:
            await rest.close()
            raise
        self._index().remember(self.server_url, user.username, user.id)
        if self.auto_connect:
            await self._connect_or_log_out(wait=True)
        return user

    async def _enter_offline(self, user: User, password: str) -> User:
        rest = self._rest(user.username, password)
        rest.act_as(user.id)
        await self._open(user, rest, password)
        await self._connect_or_log_out(wait=False)
        return user

    async def _open(self, user: User, rest: RestClient, password: str | None) -> None:
        events = EventDispatcher(self, consumer=self._consumer)
        self._open_account = await Account.open(
            user,
            rest,
            storage_path=self.storage_path,
            storage_password=self._storage_password or password or "",
            account_password=password,
            options=self._options,
            events=events,
            clock=self._clock,
        )
        self.on_register = events.listeners_changed

    async def _connect_or_log_out(self, *, wait: bool) -> None:
        try:
            await self.connect(wait=wait)
        except BaseException:
            await self.logout()
            raise

    def _index(self) -> AccountIndex:
        return AccountIndex(self.storage_path)

    def _rest(self, username: str, password: str) -> RestClient:
        async def relogin() -> str:
            return (await rest.login(username, password)).token

        rest = self._new_rest(relogin)
        return rest

    def _new_rest(self, relogin: Callable[[], Awaitable[str]]) -> RestClient:
        return RestClient(
            self.server_url,
            relogin=relogin,
            allow_insecure=self._options.allow_insecure,
            clock=self._clock,
        )
