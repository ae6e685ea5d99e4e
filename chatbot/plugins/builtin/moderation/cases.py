"""The case log: what was done about whom, by whom and why, in the plugin's own store."""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from chatbot.plugins.services import Store

CaseKind: TypeAlias = Literal["warn", "kick", "ban", "unban"]
CaseState: TypeAlias = Literal["done", "proposed", "rejected", "failed", "dry", "undone"]

MAX_REASON: Final = 300
"""Characters of a reason that are kept."""

_DIGITS: Final = 10


class Case(Struct, frozen=True, kw_only=True):
    """One entry of the log.

    Attributes:
        number: counted through all groups of the bot.
        user: whom it is about, by id.
        name: the username they had.
        by: a moderator's user id; empty where the bot did it by itself.
        at: ms.
        points: of a warning.
        lasts: ms, of a ban; None for good.
        proven: what it is for is not a message that anybody could have forged.
        state: `proposed` waits for a moderator; `dry` was a rehearsal.
        note: what came of it, where that is not what was wanted.
    """

    number: int
    group: str
    user: str
    name: str
    kind: CaseKind
    reason: str
    at: int
    by: str = ""
    points: int = 0
    lasts: int | None = None
    proven: bool = True
    state: CaseState = "done"
    note: str = ""


class CaseLog:
    """All cases. What is written commits with the handler that writes it."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def open(
        self,
        group: str,
        user: str,
        name: str,
        kind: CaseKind,
        reason: str,
        at: int,
    ) -> Case:
        """A case with a number of its own; it is in the log once it is saved.

        A handler that is run again gets the same number, so that it logs the same case.
        """
        return Case(
            number=await self._store.incr("cases"),
            group=group,
            user=user,
            name=name,
            kind=kind,
            reason=reason[:MAX_REASON],
            at=at,
        )

    async def save(self, case: Case, **changes: object) -> Case:
        """Put it into the log, or change it there; the case as it is now."""
        changed = replace(case, **changes)
        await self._store.set(_key(case.group, case.user, case.number), changed)
        await self._store.set(_place(case.number), (case.group, case.user))
        return changed

    async def get(self, number: int) -> Case | None:
        """The case of that number."""
        place = await self._store.get(_place(number), tuple[str, str])
        return None if place is None else await self._store.get(_key(*place, number), Case)

    async def of(self, group: str, user: str) -> list[Case]:
        """Somebody's cases in a group, the oldest first."""
        return [case async for _, case in self._store.range(_key(group, user), Case)]

    async def claim(self, case: Case, user: str) -> bool:
        """Whether this moderator is the one who decides it: at once, and only one is."""
        key = f"decides\x1f{case.number}"
        if await self._store.compare_and_set(key, None, user):
            return True
        return await self._store.get(key, str) == user  # whose first try has failed


def _key(group: str, user: str, number: int | None = None) -> str:
    last = "" if number is None else f"{number:0{_DIGITS}}"
    return f"case\x1f{group}\x1f{user}\x1f{last}"


def _place(number: int) -> str:
    return f"place\x1f{number:0{_DIGITS}}"
