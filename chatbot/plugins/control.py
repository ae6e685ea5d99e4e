"""What administrative plugins may ask for: the plugins, the permissions, the bot's condition.

Injected by type like everything else. They decide nothing: a command that uses them should be
declared `role="owner"`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from chatbot.plugins.access import Decision, Grant, PrivilegedUse, RoleName
from chatbot.plugins.errors import Problem
from chatbot.plugins.replies import Content


class ControlError(Exception):
    """A plugin could not be enabled, disabled or reloaded; what ran before still runs.

    Attributes:
        problems: everything that was wrong with it.
    """

    def __init__(self, message: str, problems: Sequence[Problem] = ()) -> None:
        super().__init__(message)
        self.problems = tuple(problems)


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginInfo:
    """A listed plugin.

    Attributes:
        enabled: whether it is in use now.
        problems: why it is not, where it was left out.
    """

    name: str
    description: str = ""
    version: str = ""
    enabled: bool = True
    problems: tuple[Problem, ...] = ()


class PluginControl(Protocol):
    """Turns plugins on and off in the running bot. All but `listed` raise `ControlError`."""

    def listed(self) -> Sequence[PluginInfo]:
        """Every plugin the configuration names, and the built-in ones."""

    async def enable(self, name: str) -> None:
        """Load and start one that is off; it stays on after a restart."""

    async def disable(self, name: str) -> None:
        """Drain, stop and unload one, with whatever requires it."""

    async def reload(self, name: str) -> None:
        """Import its code afresh and swap it in; the old one stays where the new one fails."""


class PermissionControl(Protocol):
    """The permission list and the roles, durable."""

    def grants(self) -> Sequence[Grant]:
        """Every line of the list, in the order it was added."""

    async def add(self, grant: Grant) -> bool:
        """Add a line; False where it is there already."""

    async def remove(self, grant: Grant) -> bool:
        """Remove one; False where it is not there."""

    def roles(self) -> Mapping[str, RoleName]:
        """Everybody who is more than a member, by user id."""

    async def set_role(self, user_id: str, role: RoleName) -> None:
        """Change somebody's role.

        Raises:
            ValueError: the role of an owner, which only the configuration gives and takes.
        """

    async def why(self, message_id: str | None = None) -> Decision | None:
        """What was decided about a message, or about the last one before the asking."""

    async def audit(self, count: int) -> Sequence[PrivilegedUse]:
        """The last uses of privileged commands, the newest first; never what was written."""


class Broadcaster(Protocol):
    """What stands behind `Bot.broadcast`: a plugin gives it with `@plugin.provider(Broadcaster)`.

    It is asked for in the scope of whoever broadcasts, so that the store it is given commits with
    that handler's end.
    """

    async def broadcast(self, audience: str, content: Content) -> str:
        """See `Bot.broadcast`."""


class Status(Protocol):
    """How the bot is doing."""

    async def summary(self) -> Mapping[str, str | int | float]:
        """Named facts for people, in the order to show them in; no user ids, no content."""
