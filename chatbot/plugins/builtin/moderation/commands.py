"""What moderators do by hand: in the group, or 1:1 about what was proposed to them."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from typing import Annotated

from chatbot.client.exceptions import PermissionDeniedError
from chatbot.client.models import User
from chatbot.plugins.builtin.moderation.cases import Case
from chatbot.plugins.builtin.moderation.declared import plugin
from chatbot.plugins.builtin.moderation.warden import Warden, counted, outcome, shown
from chatbot.plugins.context import Context, Group
from chatbot.plugins.durations import milliseconds
from chatbot.plugins.errors import UsageError
from chatbot.plugins.markers import Range, Rest
from chatbot.plugins.text import quoted, sanitise

Number = Annotated[int, Range(1, 9_999_999_999)]
Length = Annotated[timedelta, Range("1m", "3650d")]

_LISTED = 20

_BEGINS_LIKE_A_LENGTH = re.compile(r"[-+.]?\d")
"""What was meant as a length must not become the reason of a ban for good."""


@plugin.command("warn", chats="group", role="moderator")
async def warn(ctx: Context, group: Group, warden: Warden, user: User, reason: Rest = "") -> str:
    """Warn somebody: one point. Enough points get them removed (see /moderation)."""
    await warden.check_target(group, user)
    warned = await warden.warn(group, user, reason, points=1, proven=True, by=ctx.user.id)
    case = warned.case
    dry = ", dry run" if case.state == "dry" else ""
    because = f": {sanitise(reason, 200)}" if reason else "."
    text = (
        f"{shown(user.username)} is warned{because}"
        f" ({counted(warned.tally.claimed)}, case {case.number}{dry})"
    )
    if warned.sanction is None:
        return text
    return f"{text}\n{outcome(warned.sanction)}"


@plugin.command("kick", chats="group", role="moderator")
async def kick(ctx: Context, group: Group, warden: Warden, user: User, reason: Rest = "") -> str:
    """Put somebody out of the group. They can come back when somebody lets them."""
    await warden.check_target(group, user)
    if not await warden.finds_here(group, user, for_message=ctx.message):
        raise UsageError(f"{shown(user.username)} is not in this group")
    case = await warden.sanction(group, user, "kick", reason, by=ctx.user.id)
    return outcome(case)


@plugin.command("ban", chats="group", role="moderator")
async def ban(
    ctx: Context,
    group: Group,
    warden: Warden,
    user: User,
    length: Length | None = None,
    reason: Rest = "",
) -> str:
    """Put somebody out and keep them out, for LENGTH or for good."""
    if length is None and _BEGINS_LIKE_A_LENGTH.match(reason):
        raise UsageError(
            f"{quoted(reason.split()[0])} is no length from 1m to 3650d, such as 2h or 7d;"
            " for a ban for good, begin the reason with a word"
        )
    await warden.check_target(group, user)
    lasts = None if length is None else milliseconds(length)
    case = await warden.sanction(group, user, "ban", reason, by=ctx.user.id, lasts=lasts)
    return outcome(case)


@plugin.command("unban", chats="group", role="moderator")
async def unban(ctx: Context, group: Group, warden: Warden, user: User) -> str:
    """Let somebody come back."""
    case = await warden.unban(group, user, by=ctx.user.id)
    if case is None:
        return f"{shown(user.username)} is not banned."
    return f"{shown(user.username)} may come back (case {case.number})."


@plugin.command("undo", chats="group", role="moderator")
async def undo(group: Group, warden: Warden, number: Number) -> str:
    """Take a case back: its points count no more, and whoever was put out is added again."""
    case = await warden.cases.get(number)
    if case is None or case.group != group.id:
        raise UsageError(f"there is no case {number} here")
    if case.kind == "unban" or case.state not in {"done", "failed"}:
        raise UsageError(f"case {number} cannot be undone: {_described(case)}")
    if await warden.rehearses(group.id):
        return f"Case {number} would be undone (dry run)."
    undone = await warden.undo(group, case)
    note = f" {sanitise(undone.note, 200)}" if undone.note else ""
    return f"Case {number} is undone.{note}"


@plugin.command("cases", chats="group", role="moderator")
async def cases(ctx: Context, group: Group, warden: Warden, user: User) -> str:
    """Say what is logged about somebody in this group, the latest last."""
    found = await warden.cases.of(group.id, user.id)
    if not found:
        return f"Nothing is logged about {shown(user.username)}."
    points = await warden.points(group.id, user.id)
    lines = [f"{shown(user.username)}: {counted(points.claimed)}, in the log:"]
    for case in found[-_LISTED:]:
        when = datetime.fromtimestamp(case.at / 1000, ctx.bot.timezone)
        lines.append(f"{case.number}. {when:%Y-%m-%d %H:%M} {_described(case)}")
    return "\n".join(lines)


@plugin.command("lock", chats="group", role="moderator")
async def lock(group: Group, warden: Warden) -> str:
    """Let only the group's admins write."""
    return await _locked(group, warden, locked=True)


@plugin.command("unlock", chats="group", role="moderator")
async def unlock(group: Group, warden: Warden) -> str:
    """Let everybody write again."""
    return await _locked(group, warden, locked=False)


async def _locked(group: Group, warden: Warden, *, locked: bool) -> str:
    who = "only admins" if locked else "everybody"
    if await warden.rehearses(group.id):
        return f"Now {who} could write here (dry run)."
    try:
        await group.set_locked(locked)
    except PermissionDeniedError:
        raise UsageError("I have to be an admin of this group for that") from None
    return f"Now {who} can write here."


@plugin.command("approve", chats="direct", privileged=True)
async def approve(ctx: Context, warden: Warden, number: Number) -> str:
    """Do what was proposed to you."""
    return await _decided(ctx, warden, number, approved=True)


@plugin.command("reject", chats="direct", privileged=True)
async def reject(ctx: Context, warden: Warden, number: Number) -> str:
    """Drop what was proposed to you."""
    return await _decided(ctx, warden, number, approved=False)


async def _decided(ctx: Context, warden: Warden, number: int, *, approved: bool) -> str:
    case = await warden.cases.get(number)
    group = None if case is None else await ctx.bot.find_group(case.group)
    # Whoever does not moderate the group does not even learn whether there is such a case.
    if case is None or group is None or not await warden.may_decide(group, ctx):
        raise UsageError(f"there is no proposal {number} for you to decide")
    if case.state != "proposed" or not await warden.cases.claim(case, ctx.user.id):
        return f"Case {number} was decided before."
    decided = await warden.decide(group, case, by=ctx.user.id, approved=approved)
    return outcome(decided) if approved else f"Case {number} is dropped."


def _described(case: Case) -> str:
    state = "" if case.state == "done" else f" ({case.state})"
    points = f" {counted(case.points)}" if case.points else ""
    forgeable = "" if case.proven else ", not proven"
    reason = f": {sanitise(case.reason, 80)}" if case.reason else ""
    return f"{case.kind}{points}{state}{forgeable}{reason}"
