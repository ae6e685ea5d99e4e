"""`/announce`, `/announcements` and `/broadcast`: for the bot's admins, 1:1 and encrypted.

Not in groups: whoever makes a group is an admin in it.
"""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Final

from chatbot.plugins.builtin.broadcast.announcer import JOB as ANNOUNCE
from chatbot.plugins.builtin.broadcast.announcer import Announcement, Announcer, When
from chatbot.plugins.builtin.broadcast.audiences import GROUP, Audiences
from chatbot.plugins.builtin.broadcast.courier import JOB as DELIVER
from chatbot.plugins.builtin.broadcast.courier import Courier
from chatbot.plugins.builtin.broadcast.declared import plugin
from chatbot.plugins.builtin.broadcast.ledger import Broadcast, Ledger
from chatbot.plugins.builtin.broadcast.reports import line, report, tally
from chatbot.plugins.context import Bot
from chatbot.plugins.errors import UsageError
from chatbot.plugins.events import ConnectionChanged, MessageFailed
from chatbot.plugins.markers import Range, Rest
from chatbot.plugins.text import quoted, sanitise

Number = Annotated[int, Range(1, 9_999_999_999)]

LISTED: Final = 10
"""How many broadcasts `/broadcast` shows."""


@plugin.job(DELIVER, timeout="10m")
async def deliver(courier: Courier) -> None:
    """One batch."""
    await courier.deliver()


@plugin.job(ANNOUNCE)
async def announce_now(
    announcer: Announcer, number: int, audience: str, text: str, cron: str
) -> None:
    """Begin what was scheduled; one that the bot was down for begins late, and once."""
    del number, cron  # they are for the list
    await announcer.broadcast(audience, text)


@plugin.on(ConnectionChanged)
async def connected(event: ConnectionChanged, ledger: Ledger, announcer: Announcer) -> None:
    """Go on at once after an outage or a start, whatever became of the last batch."""
    if event.state == "connected" and await ledger.running():
        await announcer.go_on()


@plugin.on(MessageFailed)
async def failed(event: MessageFailed, ledger: Ledger) -> None:
    """Note why somebody does not get a broadcast."""
    await ledger.give_up(event.message_id, event.user_id, event.reason)


@plugin.command("announce", chats="direct", role="admin")
async def announce(
    announcer: Announcer, audiences: Audiences, when: When, audience: str, text: Rest
) -> str:
    """Send TEXT to everybody in an audience, now or at a time: 10m, "tomorrow 9:00", cron.

    The audience is one of /audience, or "group:NAME" for everybody in a group.
    """
    try:
        if audience.startswith(GROUP):
            await audiences.group(audience)
        if when.is_now:
            number = await announcer.broadcast(audience, text)
            return f"Broadcast {number} has begun. /broadcast report {number} says how it goes."
        return f"Scheduled as {_shown(await announcer.announce(when, audience, text))}"
    except ValueError as error:
        raise UsageError(str(error)) from None


# ---------------------------------------------------------------- what is scheduled

announcements = plugin.group(
    "announcements", chats="direct", role="admin", description="What is scheduled"
)


@announcements
async def list_announcements(announcer: Announcer) -> str:
    """Say what is announced when."""
    scheduled = [_shown(one) for one in await announcer.announcements()]
    return "\n".join(scheduled) or "Nothing is scheduled."


@announcements.command("cancel")
async def cancel_announcement(announcer: Announcer, number: Number) -> str:
    """Announce it no more."""
    if not await announcer.drop(number):
        raise UsageError(f"there is no announcement {number}")
    return f"Announcement {number} is cancelled."


def _shown(one: Announcement) -> str:
    at = "now" if one.next_run is None else f"{one.next_run:%a %Y-%m-%d %H:%M}"
    again = f", then {quoted(one.cron)}" if one.cron else ""
    return f"{one.number}. {at}{again}, to {sanitise(one.audience)}: {sanitise(one.text, 60)}"


# ---------------------------------------------------------------- what was begun

broadcasts = plugin.group("broadcast", chats="direct", role="admin", description="What was sent")


@broadcasts
async def list_broadcasts(ledger: Ledger, bot: Bot) -> str:
    """Say how far the latest broadcasts are."""
    lines = [
        line(one, await ledger.standing(one.number), await tally(ledger, bot, one.number))
        for one in await ledger.latest(LISTED)
    ]
    return "\n".join(lines) or "Nothing was broadcast yet."


@broadcasts.command("report")
async def report_broadcast(ledger: Ledger, bot: Bot, number: Number) -> str:
    """Say how far one is: sent, delivered, read, and who does not get it, and why."""
    broadcast = await _get(ledger, number)
    end = await ledger.end_of(number)
    return report(
        broadcast,
        await ledger.standing(number),
        "" if end is None else end.note,
        await tally(ledger, bot, number),
        datetime.fromtimestamp(broadcast.at / 1000, bot.timezone),
    )


@broadcasts.command("pause")
async def pause(ledger: Ledger, number: Number) -> str:
    """Write to nobody more for now; messages that were handed over already go out."""
    await _open(ledger, number)
    await ledger.stand(number, "paused")
    return f"Broadcast {number} is paused."


@broadcasts.command("resume")
async def resume(ledger: Ledger, announcer: Announcer, number: Number) -> str:
    """Go on where it was."""
    await _open(ledger, number)
    await ledger.stand(number, "running")
    await announcer.go_on()
    return f"Broadcast {number} goes on."


@broadcasts.command("cancel")
async def cancel(ledger: Ledger, bot: Bot, number: Number) -> str:
    """Write to nobody more, for good."""
    await _open(ledger, number)
    await ledger.end(number, "cancelled", round(bot.now().timestamp() * 1000))
    return f"Broadcast {number} is cancelled."


async def _get(ledger: Ledger, number: int) -> Broadcast:
    broadcast = await ledger.get(number)
    if broadcast is None:
        raise UsageError(f"there is no broadcast {number}")
    return broadcast


async def _open(ledger: Ledger, number: int) -> None:
    await _get(ledger, number)
    end = await ledger.end_of(number)
    if end is not None:
        raise UsageError(f"broadcast {number} is {end.standing}")
