"""Groups as plugins see them, over the backend's calls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final, Generic, TypeVar, cast, get_args

from chatbot.client.exceptions import WhatsAppClientError
from chatbot.client.from_wire import settings_body
from chatbot.client.models import Message
from chatbot.client.transport.rest_client import RestClient
from chatbot.plugins.people import Chat, GroupRole, Member
from chatbot.plugins.replies import Content
from chatbot.runtime.speech import Speech
from chatbot.wire import GroupRow, GroupUpdate

T = TypeVar("T")

MAX_AGE: Final = 60_000
"""How old (ms) what is remembered of a group may be: the backend tells nobody of changes."""

_MAX_REMEMBERED: Final = 1000


@dataclass(frozen=True, slots=True)
class GroupFacts:
    """A group, as the backend told it at some time.

    Attributes:
        role: the bot's own.
    """

    id: str
    name: str
    role: GroupRole = "member"


class _Memory(Generic[T]):
    """The latest answers, each for a while."""

    def __init__(self, clock: Callable[[], int]) -> None:
        self._clock = clock
        self._known: dict[str, tuple[int, T]] = {}

    def get(self, key: str) -> T | None:
        at, value = self._known.get(key, (0, None))
        return value if self._clock() - at < MAX_AGE else None

    def put(self, key: str, value: T) -> None:
        self._known.pop(key, None)
        self._known[key] = self._clock(), value
        if len(self._known) > _MAX_REMEMBERED:
            del self._known[next(iter(self._known))]

    def forget(self, key: str) -> None:
        self._known.pop(key, None)


class GroupBook:
    """Asks the backend about groups, and remembers the answers for a while."""

    def __init__(self, rest: RestClient, *, clock: Callable[[], int]) -> None:
        self.rest: Final = rest
        self._facts = _Memory[GroupFacts](clock)
        self._members = _Memory[tuple[Member, ...]](clock)

    async def all(self) -> list[GroupFacts]:
        """Every group the bot is in, fresh."""
        found = [_facts(row) for row in await self.rest.groups()]
        for facts in found:
            self._facts.put(facts.id, facts)
        return found

    async def facts(self, group_id: str) -> GroupFacts:
        """What is known of a group: its id alone where the backend does not answer."""
        known = self._facts.get(group_id)
        if known is None:
            try:
                known = _facts(await self.rest.group(group_id))
            except WhatsAppClientError:
                return GroupFacts(group_id, group_id)
            self._facts.put(group_id, known)
        return known

    async def members(self, group_id: str) -> tuple[Member, ...]:
        """Everybody in it, fresh."""
        rows = await self.rest.group_members(group_id)
        members = tuple(
            Member(
                id=row.user_id,
                username=row.username or row.user_id,
                group_id=group_id,
                role=_role(row.role),
            )
            for row in rows
        )
        self._members.put(group_id, members)
        return members

    async def role_of(self, group_id: str, user_id: str) -> GroupRole | None:
        """Somebody's role, None where they are not in it or the backend does not answer."""
        members = self._members.get(group_id)
        if members is None:
            try:
                members = await self.members(group_id)
            except WhatsAppClientError:
                return None
        return next((member.role for member in members if member.id == user_id), None)

    def forget(self, group_id: str) -> None:
        """Something about a group has changed."""
        self._facts.forget(group_id)
        self._members.forget(group_id)


class RunningGroup:
    """A group the bot is in (`Group`), for one plugin at one time."""

    __slots__ = ("_book", "_facts", "_speech")

    def __init__(self, facts: GroupFacts, book: GroupBook, speech: Speech) -> None:
        self._facts = facts
        self._book = book
        self._speech = speech

    @property
    def id(self) -> str:
        """Opaque."""
        return self._facts.id

    @property
    def name(self) -> str:
        """As people see it; it may change."""
        return self._facts.name

    @property
    def role(self) -> GroupRole:
        """The bot's own role in it."""
        return self._facts.role

    async def members(self) -> Sequence[Member]:
        """Everybody in it, as the backend says now."""
        return await self._book.members(self.id)

    async def find_member(self, name_or_id: str) -> Member | None:
        """The member with this username (with or without its @) or id."""
        wanted = name_or_id.removeprefix("@")
        found = await self.members()
        return next((m for m in found if wanted in {m.id, m.username}), None)

    async def send(self, content: Content) -> Message:
        """Write into it."""
        return await self._speech.say("send", Chat(self.id, "group"), content)

    async def add(self, user_id: str) -> None:
        """Take somebody in."""
        await self._book.rest.add_group_members(self.id, [user_id])
        self._book.forget(self.id)

    async def remove(self, user_id: str) -> None:
        """Put somebody out."""
        await self._book.rest.remove_group_member(self.id, user_id)
        self._book.forget(self.id)

    async def set_role(self, user_id: str, role: GroupRole) -> None:
        """Make somebody an admin or a plain member."""
        await self._book.rest.set_group_role(self.id, user_id, role)
        self._book.forget(self.id)

    async def set_locked(self, locked: bool) -> None:
        """Let only admins write, or everybody; the group's other settings stay."""
        settings = settings_body(await self._book.rest.group(self.id))
        settings.message_permission = "admins_only" if locked else "everyone"
        await self._book.rest.update_group(self.id, GroupUpdate(settings=settings))


def _facts(row: GroupRow) -> GroupFacts:
    return GroupFacts(row.id, row.name, _role(row.user_role or row.role))


def _role(role: str | None) -> GroupRole:
    return cast("GroupRole", role) if role in get_args(GroupRole) else "member"
