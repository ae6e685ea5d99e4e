"""Who may do what: the words that declarations, plugins and the runtime share."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import IntEnum
from types import MappingProxyType
from typing import Final, Literal, TypeAlias

ChatKind: TypeAlias = Literal["direct", "group"]
Chats: TypeAlias = Literal["any", "direct", "group"]
"""Where something may be used: 1:1, in groups, or both."""

RoleName: TypeAlias = Literal["member", "moderator", "admin", "owner"]


class Role(IntEnum):
    """What somebody is to the bot; each may do what those before it may."""

    MEMBER = 0
    MODERATOR = 1
    ADMIN = 2
    OWNER = 3


ROLES: Final[Mapping[str, Role]] = MappingProxyType({role.name.lower(): role for role in Role})
"""Every role by the name that authors and configurations write."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rule:
    """What a command asks of whoever uses it.

    Attributes:
        permission: the name that grants and denials use: `plugin.command.subcommand`.
        role: the least role that may use it without a grant.
        privileged: harmful in wrong hands; so who wrote must be proven (see `Decision`).
        verified: besides, the sender's fingerprint must have been verified.
    """

    permission: str
    chats: Chats = "any"
    role: Role = Role.MEMBER
    privileged: bool = False
    verified: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class PrivilegedUse:
    """A use of a privileged command, or an attempt, as the audit log keeps it.

    Attributes:
        permission: the command's.
        user: whose, by id.
        chat: where: a group id or the peer's user id.
        outcome: allow, confirm or deny.
        reason: why, in a word.
        at: when it was decided (ms).
    """

    permission: str
    user: str
    chat: str
    outcome: str
    reason: str
    at: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Grant:
    """One line of the permission list, editable by owners at run time.

    Attributes:
        effect: a denial always wins over a grant.
        permission: `dice.roll`, `dice.*` for all of a plugin or group, or `*`.
        user: a user id, or None for everybody.
        chat: a group id or the peer's user id, or None for everywhere.
    """

    effect: Literal["allow", "deny"]
    permission: str
    user: str | None = None
    chat: str | None = None

    def covers(self, permission: str, *, user: str, chat: str) -> bool:
        """Whether this line speaks about that use."""
        return (
            (self.user is None or self.user == user)
            and (self.chat is None or self.chat == chat)
            and _matches(self.permission, permission)
        )


@dataclass(frozen=True, slots=True)
class Reason:
    """One rule that was looked at.

    Attributes:
        rule: its name, one word.
        verdict: what it said; `pass` where it has no objection.
        text: why, as a sentence for people; holds no message text.
    """

    rule: str
    verdict: Literal["allow", "pass", "confirm", "deny"]
    text: str

    def __str__(self) -> str:
        return f"{self.verdict}: {self.text} ({self.rule})"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether a command may run, and every reason in the order it was looked at.

    Attributes:
        outcome: `confirm` asks for an encrypted 1:1 message from the same user first.
    """

    outcome: Literal["allow", "confirm", "deny"]
    reasons: tuple[Reason, ...]

    @property
    def allowed(self) -> bool:
        """Whether it may run now."""
        return self.outcome == "allow"

    @property
    def because(self) -> str:
        """The first sentence that decided against it; of an allowed one the last."""
        for reason in self.reasons:
            if reason.verdict == self.outcome != "allow":
                return reason.text
        return self.reasons[-1].text if self.reasons else ""

    def explain(self) -> tuple[str, ...]:
        """All of it, one line a rule, for `/why`."""
        return (*map(str, self.reasons), f"outcome: {self.outcome}")


def _matches(pattern: str, permission: str) -> bool:
    if pattern in {"*", permission}:
        return True
    return pattern.endswith(".*") and permission.startswith(pattern[:-1])
