"""What moderation does by itself: every group message, and every half minute who is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from chatbot.client.exceptions import StorageError, WhatsAppClientError
from chatbot.plugins.builtin.moderation.declared import plugin
from chatbot.plugins.builtin.moderation.links import forbidden
from chatbot.plugins.builtin.moderation.pace import Breach, Pace, observe
from chatbot.plugins.builtin.moderation.settings import GroupSettings
from chatbot.plugins.builtin.moderation.warden import (
    Ban,
    Warden,
    ban_key,
    counted,
    outcome,
    shown,
)
from chatbot.plugins.builtin.moderation.words import word_list
from chatbot.plugins.context import Bot, Context, Group
from chatbot.plugins.people import Member
from chatbot.plugins.text import sanitise

FIRST: Final = 100
"""The priority: before commands, so that they count as messages too."""

_GREETED_AT_ONCE: Final = 20


@dataclass(frozen=True, slots=True)
class Offence:
    """Something that a message is warned for."""

    points: int
    reason: str


@plugin.filter(chats="group", priority=FIRST, stop=False)
async def look_at_message(ctx: Context, group: Group, warden: Warden) -> str | None:
    """Look at every message: whether its writer is banned, and what it is like."""
    if group.role == "member":
        return None
    if await warden.ban_of(group.id, ctx.user.id) is not None:
        # That they are a member is the backend's word; the message alone would prove nothing.
        await warden.keep_out(group, ctx.user.id)
        return None
    settings = await warden.settings(group.id)
    offences = [*_in_text(ctx.message.content, settings, warden)]
    offences += await _in_pace(ctx, settings, warden)
    if not offences or await warden.is_immune(group, ctx.user):
        return None
    return await _warn(ctx, group, warden, offences)


def _in_text(text: str, settings: GroupSettings, warden: Warden) -> Iterator[Offence]:
    config = warden.config
    if settings.is_on("words"):
        listed = word_list((*config.words, *settings.words))
        if listed.find(text) is not None:
            yield Offence(config.word_points, "a word that is not said here")
    if settings.is_on("links"):
        host = forbidden(text, {*config.hosts, *settings.hosts})
        if host is not None:
            yield Offence(config.link_points, f"a link to {sanitise(host)}")


async def _in_pace(ctx: Context, settings: GroupSettings, warden: Warden) -> Sequence[Offence]:
    rate = warden.config.flood_rate if settings.is_on("flood") else None
    if rate is None and not settings.slow:
        return ()
    key = f"pace\x1f{ctx.chat.id}\x1f{ctx.user.id}"
    before = await warden.store.get(key, Pace, Pace())
    # The backend's time of the message: what is read after an outage was not written at once.
    pace, breach = observe(before, ctx.message.timestamp, flood=rate, slow=settings.slow)
    await warden.store.set(key, pace)
    return () if breach is None else (_too_fast(breach, warden),)


def _too_fast(breach: Breach, warden: Warden) -> Offence:
    if breach == "flood":
        return Offence(warden.config.flood_points, "too many messages at once")
    return Offence(warden.config.slow_points, "slow mode is on: please wait between messages")


async def _warn(ctx: Context, group: Group, warden: Warden, offences: Sequence[Offence]) -> str:
    reason = "; ".join(offence.reason for offence in offences)
    points = sum(offence.points for offence in offences)
    name = shown(ctx.user.username)
    if not points:
        return f"{name}: {reason}."
    warned = await warden.warn(group, ctx.user, reason, points=points, proven=ctx.is_proven)
    dry = ", dry run" if warned.case.state == "dry" else ""
    text = f"{name}: {reason}. ({counted(warned.tally.claimed)}, case {warned.case.number}{dry})"
    if warned.sanction is None:
        return text
    return f"{text}\n{outcome(warned.sanction)}"


# ---------------------------------------------------------------- who is there


@plugin.job(every="30s", misfire="run-once")
async def patrol(bot: Bot, warden: Warden) -> None:
    """Look who is in each group: put out who is banned, greet who is new."""
    groups: Sequence[Group] = ()
    with _until_next_round(warden):
        groups = await bot.groups()
    for group in groups:
        if group.role != "member":
            with _until_next_round(warden):
                await _look_around(group, warden)


@contextmanager
def _until_next_round(warden: Warden) -> Iterator[None]:
    """What the backend does not do now waits, and keeps nothing else waiting."""
    try:
        yield
    except StorageError:
        raise
    except WhatsAppClientError as error:
        warden.logger.warning("a group is not looked after until the next round: %s", error)


async def _look_around(group: Group, warden: Warden) -> None:
    members = {member.id: member for member in await group.members()}
    for user in await _in_force(group, warden):
        if members.pop(user, None) is not None:
            await warden.keep_out(group, user)
    key = f"members\x1f{group.id}"
    known = await warden.store.get(key, set[str])
    if known == members.keys():
        return
    await warden.store.set(key, sorted(members))
    if known is not None:
        new = [member for user, member in members.items() if user not in known]
        await _greet(group, new, warden)


async def _in_force(group: Group, warden: Warden) -> Sequence[str]:
    """Whom a ban keeps out of the group; bans that have ended are forgotten."""
    prefix, kept = ban_key(group.id, ""), []
    async for key, ban in warden.store.range(prefix, Ban):
        if not warden.has_ended(ban):
            kept.append(key.removeprefix(prefix))
        else:
            await warden.store.compare_and_set(key, ban, None)  # it may be another one by now
    return kept


async def _greet(group: Group, new: Sequence[Member], warden: Warden) -> None:
    settings = await warden.settings(group.id)
    if not new or not settings.is_on("welcome") or not settings.greeting:
        return
    names = ", ".join(shown(member.username) for member in new[:_GREETED_AT_ONCE])
    if len(new) > _GREETED_AT_ONCE:
        names += f" and {len(new) - _GREETED_AT_ONCE} more"
    rules = f"\n{settings.rules}" if settings.rules else ""
    await group.send(settings.greeting.replace("{name}", names) + rules)
