"""What is as it is now, beside what `Metrics` has counted since the start."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from chatbot.runtime.parts import Parts


@dataclass(frozen=True, slots=True, kw_only=True)
class Gauges:
    """A bot at one moment. No user ids.

    Attributes:
        connected: whether the socket to the backend is up.
        lanes: conversations that have something to be handled.
        in_memory: messages that wait or are handled in them.
        inbox, inbox_parked: stored messages that wait for their handlers, and those given up.
        outbox: messages that have not left, or are not delivered yet.
        jobs: scheduled runs still to come.
        job_runs_parked: runs of jobs that were given up.
        prekeys: one-time prekeys that the backend had at the last look.
        plugins: how many are loaded.
    """

    connected: bool
    lanes: int
    in_memory: int
    inbox: int
    inbox_parked: int
    outbox: int
    jobs: int
    job_runs_parked: int
    prekeys: int
    plugins: int


@dataclass(frozen=True, slots=True)
class QueueDepths:
    """What waits in the database; the names are those of `Gauges`."""

    inbox: int
    inbox_parked: int
    outbox: int
    jobs: int
    job_runs_parked: int


_COUNTS = """
SELECT (SELECT count(*) FROM inbox WHERE state = 'ready'),
       (SELECT count(*) FROM inbox WHERE state = 'parked'),
       (SELECT count(*) FROM outbox WHERE state IN ('queued', 'sending', 'sent')),
       (SELECT count(*) FROM jobs WHERE next_run IS NOT NULL),
       (SELECT count(*) FROM job_runs WHERE state = 'parked')
"""


def queue_depths(connection: sqlite3.Connection) -> QueueDepths:
    """Count what waits."""
    return QueueDepths(*connection.execute(_COUNTS).fetchone())


async def read_gauges(parts: Parts) -> Gauges:
    """Look at a running bot.

    Raises:
        StorageError: its files cannot be read.
    """
    account = parts.world.account
    depths = await account.database.read(queue_depths)
    return Gauges(
        connected=account.socket.state == "connected",
        lanes=parts.inbox.lanes,
        in_memory=len(parts.inbox),
        inbox=depths.inbox,
        inbox_parked=depths.inbox_parked,
        outbox=depths.outbox,
        jobs=depths.jobs,
        job_runs_parked=depths.job_runs_parked,
        prekeys=account.prekeys.on_backend,
        plugins=len(parts.world.table.plugins),
    )
