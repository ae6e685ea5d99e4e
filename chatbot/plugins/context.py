"""The types a plugin meets: the message in hand, the bot, a group. The runtime fulfils them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo
from logging import Logger
from typing import Any, Literal, Protocol, TypeAlias, TypeVar, overload

from chatbot.client.models import Message, User
from chatbot.plugins.access import Chats, Decision, Role
from chatbot.plugins.people import Chat, GroupRole, Member
from chatbot.plugins.replies import Content
from chatbot.plugins.services import Services, Store

T = TypeVar("T")

DeliveryStatus: TypeAlias = Literal["pending", "sent", "delivered", "read", "failed"]
"""How far a message of the bot's has got: `sent` waits for its reader to come back; `failed` was
given up, and is never sent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CommandInfo:
    """A command as help shows it.

    Attributes:
        name: with the names of its groups before it: `tag add`.
        permission: what grants and denials call it.
        usage: without the prefix: `roll [sides=6] [count=1]`.
        summary: the docstring's first line, or the given description.
        arguments: one line for each argument: what it takes.
    """

    name: str
    plugin: str
    permission: str
    usage: str
    summary: str = ""
    description: str = ""
    aliases: tuple[str, ...] = ()
    arguments: tuple[str, ...] = ()
    chats: Chats = "any"
    role: Role = Role.MEMBER
    hidden: bool = False


class Group(Protocol):
    """A group the bot is in. What the backend does not allow raises `PermissionDeniedError`.

    The backend has no way to delete other people's messages, nor to tell of people who join.
    """

    @property
    def id(self) -> str:
        """Opaque."""

    @property
    def name(self) -> str:
        """As people see it; it may change."""

    @property
    def role(self) -> GroupRole:
        """The bot's own role in it."""

    async def members(self) -> Sequence[Member]:
        """Everybody in it, as the backend says now."""

    async def find_member(self, name_or_id: str) -> Member | None:
        """The member with this username (with or without its @) or id."""

    async def send(self, content: Content) -> Message:
        """Write into it. Group messages are not end-to-end encrypted."""

    async def add(self, user_id: str) -> None:
        """Take somebody in."""

    async def remove(self, user_id: str) -> None:
        """Put somebody out."""

    async def set_role(self, user_id: str, role: GroupRole) -> None:
        """Make somebody an admin or a plain member; the backend lets only the owner."""

    async def set_locked(self, locked: bool) -> None:
        """Let only admins write, or everybody."""


class Bot(Protocol):
    """The running bot."""

    @property
    def user(self) -> User:
        """Its own account."""

    @property
    def timezone(self) -> tzinfo:
        """The zone in which people's dates and cron times are meant."""

    def now(self) -> datetime:
        """Aware, in that zone; the clock tests can move."""

    async def send(
        self, to: str, content: Content, *, key: str | None = None, at_end: bool = False
    ) -> Message:
        """Write to somebody, encrypted, by user id or exact username.

        Returns with status `pending` where the peer is offline; it is sent on its return.

        Args:
            to: a user id or exact username.
            content: what to send.
            key: of the messages that this plugin sends somebody under one key, only the first is
                sent, whichever handler sends it and however often.
            at_end: commit it with the handler's end, together with what `Store.set` has set,
                instead of at once. A handler that fails has then sent nothing.

        Raises:
            SessionNotFoundError: unknown user, or one without keys. Never sent in clear.
        """

    async def statuses(self, message_ids: Sequence[str]) -> Mapping[str, DeliveryStatus]:
        """How far messages of the bot's have got, by id; unknown ones are left out."""

    async def broadcast(self, audience: str, content: Content) -> str:
        """Write to everybody in a named audience, each of them once, whatever crashes.

        Returns the broadcast's id at once; a durable ledger sees to the rest.

        Raises:
            ValueError: no such audience.
        """

    async def find_user(self, name_or_id: str) -> User | None:
        """The user with this username (with or without its @) or id."""

    async def groups(self) -> Sequence[Group]:
        """Those the bot is in."""

    async def find_group(self, group_id: str) -> Group | None:
        """One of them."""

    def commands(self) -> Sequence[CommandInfo]:
        """Every command that is loaded, by name."""


class Scope(Protocol):
    """Where a handler runs: on a message (then it is a `Context` too), in a job, on an event."""

    @property
    def bot(self) -> Bot:
        """The running bot."""

    def services(self, plugin: str) -> Services:
        """The services of that plugin."""


class Context(Scope, Protocol):
    """One message on its way through one handler."""

    @property
    def message(self) -> Message:
        """The message itself."""

    @property
    def user(self) -> User:
        """Who wrote it. Anyone can claim to be anyone on a message that is not encrypted."""

    @property
    def chat(self) -> Chat:
        """Where it was written."""

    @property
    def group(self) -> Group | None:
        """The group it was written in, None in 1:1."""

    @property
    def role(self) -> Role:
        """What this message *proves* of its writer: in clear text nobody is more than a member."""

    @property
    def is_verified(self) -> bool:
        """Whether it came encrypted from an identity whose fingerprint was verified."""

    @property
    def is_proven(self) -> bool:
        """Whether it proves who wrote it: encrypted, from the pinned identity.

        In a group: where the backend checks its sockets and is believed, where the configuration
        trusts groups, or where its writer has confirmed it 1:1. Otherwise anybody may have.
        """

    @property
    def prefix(self) -> str:
        """What commands start with here."""

    @property
    def command(self) -> CommandInfo | None:
        """The command it names, None where it names none."""

    @property
    def args(self) -> str:
        """What was typed behind the command's name; the whole text where it names none."""

    @property
    def store(self) -> Store:
        """The plugin's own store."""

    @property
    def state(self) -> Store:
        """The same, for this user in this chat only."""

    @property
    def logger(self) -> Logger:
        """The plugin's own logger."""

    async def reply(self, content: Content) -> Message:
        """Answer at once, before the handler ends: a step that a second run does not repeat."""

    def typing(self) -> AbstractAsyncContextManager[None]:
        """Show that an answer is being written: `async with ctx.typing():`."""

    @overload
    async def ask(
        self, question: Content, kind: type[T], *, timeout: str | timedelta = ...
    ) -> T: ...
    @overload
    async def ask(self, question: Content, *, timeout: str | timedelta = ...) -> str: ...
    @overload
    async def ask(self, question: Content, kind: Any, *, timeout: str | timedelta = ...) -> Any: ...
    async def ask(
        self, question: Content, kind: Any = str, *, timeout: str | timedelta = "5m"
    ) -> Any:
        """Ask this user in this chat, and wait for the answer.

        The answer is read as a command's argument of type `kind` is; one that does not fit is
        told so and asked for again. Meanwhile other messages of the conversation go on, and no
        time limit counts the waiting. A restart loses nothing: the handler is run again, and what
        was asked already has its answer. `/cancel` ends the dialog.

        Args:
            question: sent first.
            kind: any annotation that a command's parameter may have; `str` takes the whole text.
            timeout: how long to wait.

        Raises:
            DialogEnded: no answer came in time, it was cancelled, or the plugin was reloaded.
                It need not be caught: the chat is told.
        """

    def may(self, command: CommandInfo) -> Decision:
        """Whether this user could run that command here now, and why."""
