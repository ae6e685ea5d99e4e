"""What people are told of a broadcast."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from chatbot.plugins.builtin.broadcast.ledger import Broadcast, Ledger, Row, Standing
from chatbot.plugins.context import Bot, DeliveryStatus
from chatbot.plugins.text import sanitise

MAX_REASONS: Final = 50
"""How many recipients are named that do not get it."""

_FAILED: Final = "it was given up"
_HELD_BACK: Final = "a plugin held it back"


@dataclass(slots=True)
class Tally:
    """How far the recipients of a broadcast are, each counted once.

    Attributes:
        total: None before the audience was looked up.
        failed: names, and why.
    """

    total: int | None
    waiting: int = 0
    queued: int = 0
    sent: int = 0
    delivered: int = 0
    read: int = 0
    failed: list[tuple[str, str]] = field(default_factory=list)

    def count(self, row: Row, status: DeliveryStatus | None) -> None:
        """Count a recipient, whose message has got so far."""
        if row.reason or status == "failed":
            self.failed.append((row.name, row.reason or _FAILED))
        elif status == "read":
            self.read += 1
        elif status == "delivered":
            self.delivered += 1
        elif status == "sent":
            self.sent += 1
        elif status == "pending":
            self.queued += 1
        elif row.message:
            self.failed.append((row.name, _HELD_BACK))
        else:
            self.waiting += 1


async def tally(ledger: Ledger, bot: Bot, number: int) -> Tally:
    """Count a broadcast's recipients."""
    plan = await ledger.plan(number)
    rows = [row async for _, row in ledger.rows(number)]
    statuses = await bot.statuses([row.message for row in rows if row.message])
    counted = Tally(None if plan is None else plan.total)
    for row in rows:
        counted.count(row, statuses.get(row.message))
    return counted


def line(broadcast: Broadcast, standing: Standing, counted: Tally) -> str:
    """A broadcast on one line: `3 to team, running: 12 of 30 sent, 10 delivered, 4 read`."""
    return f"{broadcast.number} to {sanitise(broadcast.audience)}, {standing}: {_progress(counted)}"


def _progress(counted: Tally) -> str:
    if counted.total is None:
        return "the audience is looked up"
    delivered = counted.delivered + counted.read
    parts = [
        f"{counted.sent + delivered} of {counted.total} sent",
        f"{delivered} delivered",
        f"{counted.read} read",
    ]
    parts += [f"{len(counted.failed)} failed"] if counted.failed else []
    return ", ".join(parts)


def report(
    broadcast: Broadcast, standing: Standing, note: str, counted: Tally, at: datetime
) -> str:
    """All there is to say about a broadcast.

    Args:
        broadcast: the one.
        standing: how it stands.
        note: why it ended as it did; empty where there is nothing to say.
        counted: its recipients.
        at: when it was asked for.
    """
    lines = [f"Broadcast {line(broadcast, standing, counted)}", f"asked for {at:%Y-%m-%d %H:%M}"]
    lines += [note] if note else []
    lines += [f"{counted.waiting} not written to"] if counted.waiting else []
    lines += [f"{counted.queued} on their way"] if counted.queued else []
    lines += [f"{counted.sent} get it when they come online"] if counted.sent else []
    return "\n".join((*lines, *_failures(counted.failed)))


def _failures(failed: Sequence[tuple[str, str]]) -> list[str]:
    lines = [f"{sanitise(name)}: {sanitise(why, 200)}" for name, why in failed[:MAX_REASONS]]
    if len(failed) > MAX_REASONS:
        lines.append(f"… and {len(failed) - MAX_REASONS} more")
    return ["failed:", *lines] if lines else []
