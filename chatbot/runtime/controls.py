"""What administrative plugins are given: the plugins, the permissions, the bot's condition."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from chatbot.plugins.access import Decision, Grant, PrivilegedUse, RoleName
from chatbot.plugins.control import PermissionControl, PluginControl, Status
from chatbot.plugins.durations import format_duration
from chatbot.plugins.loader import Loader
from chatbot.plugins.providers import Provider
from chatbot.runtime.access import Permissions
from chatbot.runtime.context import MessageContext
from chatbot.runtime.monitoring.gauges import read_gauges
from chatbot.runtime.triggers import check_schedules

if TYPE_CHECKING:
    from chatbot.runtime.parts import Parts  # whose handlers may ask for all of this


class Controls:
    """Gives handlers the controls of the bot that they run in, once it is put together."""

    def __init__(self) -> None:
        self._parts: Parts | None = None

    def attach(self, parts: Parts) -> None:
        """The bot is put together."""
        self._parts = parts

    @property
    def parts(self) -> Parts:
        """The bot's parts; handlers only run once there are some."""
        assert self._parts is not None  # noqa: S101 - see above
        return self._parts

    def providers(self) -> Mapping[object, Provider]:
        """What handlers may ask for besides the ordinary types."""
        return {
            PluginControl: Provider(lambda _scope: self.parts.lifecycle),
            PermissionControl: Provider(self._permissions),
            Status: Provider(lambda _scope: BotStatus(self.parts)),
        }

    def _permissions(self, scope: Any) -> PermissionView:
        asking = scope.message.id if isinstance(scope, MessageContext) else ""
        return PermissionView(self.parts.permissions, asking)


def make_loader(
    base: Path,
    sections: Mapping[str, Mapping[str, Any]],
    zone: tzinfo,
    controls: Controls,
    clock: Callable[[], int],
) -> Loader:
    """The loader of a bot: it knows all that handlers may ask for, and checks the jobs' times.

    Args:
        base: the folder that relative paths of plugins count from.
        sections: `[plugins.NAME]` by name.
        zone: the bot's.
        clock: ms since the epoch.
    """
    return Loader(
        base=base,
        sections=sections,
        extra=controls.providers(),
        check=lambda compiled: check_schedules(
            compiled, zone, datetime.fromtimestamp(clock() / 1000, zone)
        ),
    )


@dataclass(frozen=True, slots=True)
class PermissionView:
    """The permissions (`PermissionControl`) for a handler of one message."""

    permissions: Permissions
    asking: str

    def grants(self) -> Sequence[Grant]:
        """Every line of the list, in the order it was added."""
        return self.permissions.policy.grants

    async def add(self, grant: Grant) -> bool:
        """Add a line; False where it is there already."""
        return await self.permissions.add(grant)

    async def remove(self, grant: Grant) -> bool:
        """Remove one; False where it is not there."""
        return await self.permissions.remove(grant)

    def roles(self) -> Mapping[str, RoleName]:
        """Everybody who is more than a member, by user id."""
        return self.permissions.roles()

    async def set_role(self, user_id: str, role: RoleName) -> None:
        """Change somebody's role; ValueError for an owner's."""
        await self.permissions.set_role(user_id, role)

    async def why(self, message_id: str | None = None) -> Decision | None:
        """What was decided about a message, or about the last one before the asking."""
        return self.permissions.why(message_id, asked_in=self.asking)

    async def audit(self, count: int) -> Sequence[PrivilegedUse]:
        """The last uses of privileged commands, the newest first."""
        return await self.permissions.audit(count)


class BotStatus:
    """How the bot is doing (`Status`)."""

    def __init__(self, parts: Parts) -> None:
        self._parts = parts

    async def summary(self) -> Mapping[str, str | int | float]:
        """Named facts for people, in the order to show them in."""
        parts, metrics = self._parts, self._parts.world.metrics
        gauges = await read_gauges(parts)
        up = parts.world.clock.now() - parts.started_at
        return {
            "up": format_duration(max(1000, round(up, -3))),
            "connection": parts.world.account.socket.state,
            "plugins": gauges.plugins,
            "messages handled": sum(metrics.messages_in.values()),
            "messages sent": sum(metrics.messages_out.values()),
            "undecryptable": metrics.undecryptable.total(),
            "handlers running": parts.handling.running,
            "questions waiting": len(parts.dialogs),
            "tried again later": parts.handling.put_off,
            "threads lost": parts.threads.lost,
            "messages waiting": gauges.inbox,
            "messages parked": gauges.inbox_parked,
            "answers undelivered": gauges.outbox,
            "jobs": gauges.jobs,
            "job runs parked": gauges.job_runs_parked,
        }
