"""Who writes, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

from chatbot.plugins.access import ChatKind

GroupRole: TypeAlias = Literal["owner", "admin", "member"]
"""A role inside a group, as the backend has it."""


@dataclass(frozen=True, slots=True)
class Chat:
    """A conversation.

    Attributes:
        id: the peer's user id, or the group's id.
    """

    id: str
    kind: ChatKind


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """Somebody in a group, as far as the backend tells."""

    id: str
    username: str
    group_id: str
    role: GroupRole = "member"

    def __str__(self) -> str:
        return f"@{self.username}"
