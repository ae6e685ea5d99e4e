"""How a bot is doing, for a person who looks from outside: `snapshot`."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from chatbot.client.models import ConnectionState
from chatbot.runtime.monitoring.gauges import QueueDepths, queue_depths
from chatbot.version import __version__

if TYPE_CHECKING:
    from chatbot.runtime.control.target import Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Live:
    """What only a bot that runs can tell; the counts are those since its start.

    Attributes:
        pid: its process.
        started_at: ms.
        plugins: the loaded ones.
        problems: why others were left out.
        prekeys: one-time prekeys that the backend had at the last look.
    """

    pid: int
    started_at: int
    connection: ConnectionState
    plugins: tuple[str, ...]
    problems: tuple[str, ...]
    prekeys: int
    handled: int
    sent: int
    undecryptable: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Status:
    """A bot at one moment.

    Attributes:
        name, user_id, server_url, fingerprint: who it is.
        version: of the program that answers.
        depths: what waits on its disk.
        live: None while it does not run.
    """

    name: str
    user_id: str
    server_url: str
    fingerprint: str
    version: str
    depths: QueueDepths
    live: Live | None


async def snapshot(target: Target) -> Status:
    """Look at a bot, whether it runs or not.

    Raises:
        StorageError: its files cannot be read.
    """
    account = target.account
    return Status(
        name=account.user.username,
        user_id=account.user.id,
        server_url=account.rest.server_url,
        fingerprint=account.key_ring.identity.fingerprint,
        version=__version__,
        depths=await account.database.read(queue_depths),
        live=_live(target),
    )


def _live(target: Target) -> Live | None:
    parts = target.parts
    if parts is None:
        return None
    metrics = parts.world.metrics
    return Live(
        pid=os.getpid(),
        started_at=parts.started_at,
        connection=target.account.socket.state,
        plugins=tuple(sorted(parts.world.table.plugins)),
        problems=tuple(map(str, parts.lifecycle.problems)),
        prekeys=target.account.prekeys.on_backend,
        handled=sum(metrics.messages_in.values()),
        sent=sum(metrics.messages_out.values()),
        undecryptable=metrics.undecryptable.total(),
    )
