"""Who is written to: named lists, members of groups, and whoever has subscribed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from chatbot.plugins.builtin.broadcast.config import BroadcastConfig
from chatbot.plugins.context import Bot, Group
from chatbot.plugins.services import Store
from chatbot.plugins.text import quoted

GROUP: Final = "group:"
"""What the audience of everybody in a group begins with; its name or id follows."""

_NAME: Final = re.compile(r"[a-z0-9][a-z0-9_-]{0,31}", re.ASCII)
_AUDIENCES: Final = "audience\x1f"


class NoAudienceError(ValueError):
    """There is no such audience; the text is for whoever named it."""


@dataclass(frozen=True, slots=True)
class Recipient:
    """Somebody in an audience.

    Attributes:
        id: a user id, or what the configuration says where there is no such user.
        name: as people know them.
        reason: why nothing can be sent to them; empty where something can.
    """

    id: str
    name: str
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Audiences:
    """All of them: what the configuration says, and what was changed since.

    Whoever was added or has subscribed has a value True in the store, whoever was taken out or
    has unsubscribed one that is False.
    """

    bot: Bot
    store: Store
    config: BroadcastConfig

    async def names(self) -> list[str]:
        """Those that have a name of their own, in order."""
        made = [k.removeprefix(_AUDIENCES) async for k, _ in self.store.range(_AUDIENCES, int)]
        return sorted({*self.config.audiences, *self.config.open, *made})

    async def check(self, name: str) -> str:
        """The audience as the ledger names it; whether a group exists is seen when it is sent to.

        Raises:
            NoAudienceError: there is none of that name.
        """
        if name.startswith(GROUP):
            return name
        names = await self.names()
        if name.casefold() not in names:
            known = ", ".join(names) or "none yet"
            raise NoAudienceError(f"there is no audience {quoted(name)}; audiences are: {known}")
        return name.casefold()

    async def create(self, name: str) -> str:
        """Make an empty one; its name.

        Raises:
            NoAudienceError: the name cannot be used, or is taken.
        """
        if _NAME.fullmatch(folded := name.casefold()) is None:
            raise NoAudienceError("a name has up to 32 letters, digits, - and _")
        if folded in await self.names():
            raise NoAudienceError(f"there is an audience {folded} already")
        await self.store.set(f"{_AUDIENCES}{folded}", 1)
        return folded

    async def set_member(self, audience: str, user_id: str, *, member: bool) -> None:
        """Put somebody in or out, whatever the configuration says."""
        await self.store.set(f"{_members(audience)}{user_id}", member)

    async def expand(self, audience: str) -> Mapping[str, Recipient]:
        """Everybody in it now, by id, but for the bot itself.

        Raises:
            NoAudienceError: the bot is in no such group, or in several of that name.
            WhatsAppClientError: the backend does not say who is who.
        """
        found: dict[str, Recipient] = {}
        listed = (audience,) if audience.startswith(GROUP) else self._configured(audience)
        for entry in listed:
            found |= await self._entry(entry)
        async for key, member in self.store.range(_members(audience), bool):
            user_id = key.rpartition("\x1f")[2]
            if member:
                found |= await self._user(user_id)
            else:
                found.pop(user_id, None)
        found.pop(self.bot.user.id, None)
        return found

    def _configured(self, audience: str) -> tuple[str, ...]:
        return self.config.audiences.get(audience, ())

    async def _entry(self, entry: str) -> dict[str, Recipient]:
        if not entry.startswith(GROUP):
            return await self._user(entry)
        group = await self.group(entry)
        return {m.id: Recipient(m.id, f"@{m.username}") for m in await group.members()}

    async def _user(self, name_or_id: str) -> dict[str, Recipient]:
        user = await self.bot.find_user(name_or_id)
        if user is None:
            return {name_or_id: Recipient(name_or_id, name_or_id, "there is no such user")}
        return {user.id: Recipient(user.id, f"@{user.username}")}

    async def group(self, entry: str) -> Group:
        """The group that `group:NAME` or `group:ID` means.

        Raises:
            NoAudienceError: the bot is in no such group, or in several of that name.
        """
        wanted = entry.removeprefix(GROUP)
        found = [g for g in await self.bot.groups() if wanted in {g.id, g.name}]
        if len(found) == 1:
            return found[0]
        if not found:
            raise NoAudienceError(f"I am in no group {quoted(wanted)}")
        ids = ", ".join(f"{GROUP}{group.id}" for group in found)
        raise NoAudienceError(f"I am in several groups {quoted(wanted)}: {ids}")


def _members(audience: str) -> str:
    return f"member\x1f{audience}\x1f"
