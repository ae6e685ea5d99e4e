"""The permission list and the roles: from the configuration, edited at run time, durable."""

from __future__ import annotations

import logging
import sqlite3
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final
from uuid import UUID

from chatbot.client.crypto.identity import normalize_fingerprint
from chatbot.client.exceptions import ValidationError
from chatbot.client.models import User
from chatbot.client.storage.database import Database
from chatbot.plugins.access import ROLES, Decision, Grant, PrivilegedUse, Role, RoleName, Rule
from chatbot.runtime.people import Standing
from chatbot.runtime.permissions import Facts, Policy

REMEMBERED: Final = 1000
"""Decisions that `/why` can explain."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Appointments:
    """Roles as they were configured: user ids, user names, or fingerprints.

    Attributes:
        trust_groups: who a group message says it is from, it is from.
    """

    owners: Sequence[str] = ()
    admins: Sequence[str] = ()
    moderators: Sequence[str] = ()
    trust_groups: bool = False

    def by_entry(self) -> dict[str, Role]:
        """The role of every entry, fingerprints bare; of one that is listed twice the higher."""
        listed = {
            **dict.fromkeys(self.moderators, Role.MODERATOR),
            **dict.fromkeys(self.admins, Role.ADMIN),
            **dict.fromkeys(self.owners, Role.OWNER),
        }
        return {_bare(entry): role for entry, role in listed.items()}


@dataclass(frozen=True, slots=True)
class Decided:
    """A decision about one message."""

    message_id: str
    chat: str
    decision: Decision


@dataclass(slots=True)
class Permissions:
    """Who may do what in one bot.

    Attributes:
        policy: as it is now; every edit puts another one here.
        decisions: the latest, for `/why`.
    """

    database: Database
    appointments: Appointments
    clock: Callable[[], int]
    policy: Policy = field(default_factory=Policy)
    decisions: deque[Decided] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    _entries: dict[str, Role] = field(default_factory=dict)
    _pinned: dict[str, str] = field(default_factory=dict)
    _recognised: dict[str, Role] = field(default_factory=dict)

    async def open(self) -> None:
        """Read what was edited and pinned before."""
        roles, grants, pinned = await self.database.read(_read)
        self._entries = self.appointments.by_entry()
        self._pinned = {name: user_id for name, user_id in pinned if name in self._entries}
        appointed = {self._pinned.get(entry, entry): role for entry, role in self._entries.items()}
        self.policy = Policy(
            roles={**{user_id: ROLES[role] for user_id, role in roles}, **appointed},
            grants=grants,
            trust_groups=self.appointments.trust_groups,
        )

    def meet(self, user: User, standing: Standing) -> None:
        """Somebody's encrypted message came, from the pinned identity: who are they?

        Those who are appointed by fingerprint are recognised, and a user name is pinned to whoever
        has it now.
        """
        self._recognise(user.id, self._entries.get(standing.fingerprint))
        role = self._entries.get(user.username)
        if role is None or user.username in self._pinned or _is_user_id(user.username):
            return
        self._pinned[user.username] = user.id
        self.policy = self.policy.with_role(user.username, Role.MEMBER).with_role(user.id, role)
        logger.warning("%s is %s from now on: the user %s", user.username, role.name, user.id)
        row = (user.username, user.id, standing.fingerprint, self.clock())
        self._write("INSERT OR IGNORE INTO pinned_names VALUES (?, ?, ?, ?)", row)

    def _recognise(self, user_id: str, role: Role | None) -> None:
        """Give the role of a fingerprint, or take it away with the identity that had it."""
        if self._recognised.get(user_id) == role:
            return
        if role is None:
            del self._recognised[user_id]
            self.policy = self.policy.with_role(user_id, Role.MEMBER)
        else:
            self._recognised[user_id] = role
            self.policy = self.policy.with_role(user_id, role)

    # ------------------------------------------------------------ edits at run time

    async def add(self, grant: Grant) -> bool:
        """Add a line; False where it is there already."""
        if grant in self.policy.grants:
            return False
        row = (*_row(grant), self.clock())
        await self.database.write(
            lambda connection: _run(
                connection,
                "INSERT OR IGNORE INTO grants (effect, permission, user_id, chat_id, added_at)"
                " VALUES (?, ?, ?, ?, ?)",
                row,
            )
        )
        self.policy = self.policy.with_grant(grant)
        return True

    async def remove(self, grant: Grant) -> bool:
        """Remove one; False where it is not there."""
        if grant not in self.policy.grants:
            return False
        await self.database.write(
            lambda connection: _run(
                connection,
                "DELETE FROM grants WHERE effect = ? AND permission = ? AND user_id = ?"
                " AND chat_id = ?",
                _row(grant),
            )
        )
        self.policy = self.policy.without_grant(grant)
        return True

    def roles(self) -> Mapping[str, RoleName]:
        """Everybody who is more than a member, by user id."""
        names: dict[Role, RoleName] = {
            Role.MODERATOR: "moderator",
            Role.ADMIN: "admin",
            Role.OWNER: "owner",
        }
        return {user: names[role] for user, role in self.policy.roles.items() if role in names}

    async def set_role(self, user_id: str, role: RoleName) -> None:
        """Change somebody's role.

        Raises:
            ValueError: the role of an owner, which only the configuration gives and takes.
        """
        if ROLES[role] is Role.OWNER or self.policy.roles.get(user_id) is Role.OWNER:
            raise ValueError("only the configuration says who is an owner ([bot] owners)")
        now = self.clock()

        def unit(connection: sqlite3.Connection) -> None:
            _run(connection, "DELETE FROM roles WHERE user_id = ?", (user_id,))
            if ROLES[role] is not Role.MEMBER:
                _run(connection, "INSERT INTO roles VALUES (?, ?, ?)", (user_id, role, now))

        await self.database.write(unit)
        self.policy = self.policy.with_role(user_id, ROLES[role])

    # ------------------------------------------------------------ the record

    def decided(
        self, run: str, message_id: str, rule: Rule, facts: Facts, decision: Decision
    ) -> None:
        """Remember a decision, and write those about privileged commands into the audit log."""
        self.decisions.append(Decided(message_id, facts.chat, decision))
        if not rule.privileged:
            return
        row = (
            run,
            rule.permission,
            facts.user,
            facts.chat,
            message_id,
            decision.outcome,
            decision.because,
            self.clock(),
        )
        self._write(
            "INSERT OR IGNORE INTO audit (run, permission, user_id, chat_id, message_id,"
            " outcome, reason, at) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            row,
        )

    def _write(self, statement: str, row: Sequence[object]) -> None:
        """Write without waiting: whatever is committed later comes behind it."""
        written = self.database.submit(lambda connection: _run(connection, statement, row))
        written.add_done_callback(lambda done: done.exception())

    async def audit(self, count: int) -> Sequence[PrivilegedUse]:
        """The last `count` uses of privileged commands, the newest first."""

        def query(connection: sqlite3.Connection) -> list[PrivilegedUse]:
            return [
                PrivilegedUse(
                    permission=permission,
                    user=user,
                    chat=chat,
                    outcome=outcome,
                    reason=reason,
                    at=at,
                )
                for permission, user, chat, outcome, reason, at in connection.execute(
                    "SELECT permission, user_id, chat_id, outcome, reason, at FROM audit"
                    " ORDER BY seq DESC LIMIT ?",
                    (count,),
                )
            ]

        return await self.database.write(query)  # in line behind what was decided before

    def why(self, message_id: str | None, *, asked_in: str) -> Decision | None:
        """What was decided about a message, or about the last one before `asked_in`."""
        for decided in reversed(self.decisions):
            if decided.message_id == message_id or (
                message_id is None and decided.message_id != asked_in
            ):
                return decided.decision
        return None


def _bare(entry: str) -> str:
    try:
        return normalize_fingerprint(entry)
    except ValidationError:
        return entry


def _is_user_id(name: str) -> bool:
    """Nobody becomes an owner by calling themselves what is an owner's user id."""
    try:
        UUID(name)
    except ValueError:
        return False
    return True


def _row(grant: Grant) -> tuple[str, str, str, str]:
    return grant.effect, grant.permission, grant.user or "", grant.chat or ""


def _run(connection: sqlite3.Connection, statement: str, row: Sequence[object]) -> None:
    connection.execute(statement, row)


_Read = tuple[list[tuple[str, str]], tuple[Grant, ...], list[tuple[str, str]]]


def _read(connection: sqlite3.Connection) -> _Read:
    grants = tuple(
        Grant(effect=effect, permission=permission, user=user or None, chat=chat or None)
        for effect, permission, user, chat in connection.execute(
            "SELECT effect, permission, user_id, chat_id FROM grants ORDER BY seq"
        )
    )
    roles = connection.execute("SELECT user_id, role FROM roles").fetchall()
    pinned = connection.execute("SELECT name, user_id FROM pinned_names").fetchall()
    return roles, grants, pinned
