"""What moderation does to people: warnings, removals, bans; proposals where nothing is proven."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from msgspec import Struct

from chatbot.client.exceptions import StorageError, WhatsAppClientError
from chatbot.client.models import Message, User
from chatbot.plugins.access import Role
from chatbot.plugins.builtin.moderation.cases import Case, CaseKind, CaseLog
from chatbot.plugins.builtin.moderation.config import ModerationConfig
from chatbot.plugins.builtin.moderation.points import Step, Tally, consequence, tally
from chatbot.plugins.builtin.moderation.settings import GroupSettings, load_settings
from chatbot.plugins.context import Bot, Context, Group
from chatbot.plugins.control import PermissionControl
from chatbot.plugins.durations import format_duration
from chatbot.plugins.errors import UsageError
from chatbot.plugins.people import Member
from chatbot.plugins.services import Store
from chatbot.plugins.text import sanitise

PROPOSED_AGAIN: Final = 24 * 3_600_000
"""How long (ms) a proposal keeps another one about the same person back, unless it is harder."""

_PAST: Final = {"kick": "removed", "ban": "banned", "unban": "let in again", "warn": "warned"}


class Ban(Struct, frozen=True, kw_only=True):
    """Somebody who is to stay out of a group.

    Attributes:
        case: the number of what it was for.
        until: ms, None for good.
    """

    case: int
    name: str
    until: int | None = None


@dataclass(frozen=True, slots=True)
class Warned:
    """A warning, and what followed.

    Attributes:
        sanction: the case of the step that was reached, perhaps only proposed.
    """

    case: Case
    tally: Tally
    sanction: Case | None = None


@dataclass(frozen=True, slots=True)
class Warden:
    """Acts in the bot's groups, for one handler's call."""

    bot: Bot
    store: Store
    config: ModerationConfig
    control: PermissionControl
    logger: logging.Logger

    @property
    def cases(self) -> CaseLog:
        """The log."""
        return CaseLog(self.store)

    @property
    def now(self) -> int:
        """Ms since the epoch."""
        return round(self.bot.now().timestamp() * 1000)

    async def settings(self, group: str) -> GroupSettings:
        """What the group's moderators have set."""
        return await load_settings(self.store, group)

    async def rehearses(self, group: str) -> bool:
        """Whether nothing is to be done in that group, but said."""
        return self.config.dry_run or (await self.settings(group)).is_on("dry-run")

    # ------------------------------------------------------------ who is immune, who decides

    def is_appointed(self, user: User | Member) -> bool:
        """Whether the configuration or an owner made them more than a member, in all groups."""
        roles = self.control.roles()
        return user.id in roles or user.username in roles

    async def is_immune(self, group: Group, user: User) -> bool:
        """Whether they moderate here themselves, or are this bot."""
        if user.id == self.bot.user.id or self.is_appointed(user):
            return True
        member = await group.find_member(user.id)
        return member is not None and member.role != "member"

    async def check_target(self, group: Group, user: User) -> None:
        """Refuse to act against moderators.

        Raises:
            UsageError: they are immune.
        """
        if await self.is_immune(group, user):
            raise UsageError(f"{shown(user.username)} moderates here and is immune")

    async def finds_here(self, group: Group, user: User, *, for_message: Message) -> bool:
        """Whether they are in the group, or were when the message was handled first.

        It may be handled again because the bot died when it had removed them.
        """
        key = f"here\x1f{for_message.from_user}\x1f{for_message.id}"
        if await group.find_member(user.id) is not None:
            await self.store.compare_and_set(key, None, self.now)
        seen_at = await self.store.get(key, int)
        await self.store.delete(key)
        return seen_at is not None

    async def may_decide(self, group: Group, ctx: Context) -> bool:
        """Whether whoever wrote this (who must be proven) moderates that group."""
        if ctx.role >= Role.MODERATOR:
            return True
        member = await group.find_member(ctx.user.id)
        return member is not None and member.role != "member"

    # ------------------------------------------------------------ warnings

    async def warn(
        self,
        group: Group,
        user: User,
        reason: str,
        *,
        points: int,
        proven: bool,
        by: str = "",
    ) -> Warned:
        """Log a warning, and do or propose what its points lead to."""
        rehearsal = await self.rehearses(group.id)
        before = await self.points(group.id, user.id)
        case = await self._open(group, user, "warn", reason)
        case = await self.cases.save(
            case, points=points, proven=proven, by=by, state="dry" if rehearsal else "done"
        )
        added = Tally(
            before.proven + (points if proven else 0),
            before.claimed + points,
        )
        follows = consequence(before, added, self.config.all_steps)
        if follows is None:
            return Warned(case, added)
        what = counted(added.claimed) + (f", the last for: {case.reason}" if case.reason else "")
        opened = await self._open(group, user, follows.step.sanction, what)
        if follows.certain or rehearsal:
            done = await self.carry_out(group, opened, lasts=follows.step.lasts)
            return Warned(case, added, done)
        return Warned(case, added, await self._propose(group, opened, follows.step))

    async def points(self, group: str, user: str) -> Tally:
        """Somebody's points now; in a dry run with those that it would have given."""
        found = await self.cases.of(group, user)
        rehearsed = await self.rehearses(group)
        return tally(found, self.now, self.config.points_lifetime, rehearsed=rehearsed)

    # ------------------------------------------------------------ removing people

    async def sanction(
        self,
        group: Group,
        user: User,
        kind: CaseKind,
        reason: str,
        *,
        by: str,
        lasts: int | None = None,
    ) -> Case:
        """Remove or ban somebody, as a moderator said."""
        case = await self._open(group, user, kind, reason)
        return await self.carry_out(group, case, by=by, lasts=lasts)

    async def carry_out(
        self, group: Group, case: Case, *, by: str = "", lasts: int | None = None
    ) -> Case:
        """Do it, or rehearse it. Doing it twice does no more than doing it once."""
        if await self.rehearses(group.id):
            return await self.cases.save(case, by=by, lasts=lasts, state="dry")
        if case.kind == "ban":
            until = None if lasts is None else self.now + lasts
            ban = Ban(case=case.number, name=case.name, until=until)
            await self.store.set(ban_key(group.id, case.user), ban)
        note = await self.put_out(group, case.user)
        state = "failed" if note else "done"
        return await self.cases.save(case, by=by, lasts=lasts, state=state, note=note)

    async def put_out(self, group: Group, user: str) -> str:
        """Remove somebody who may be gone already; why it could not be done, or nothing."""
        try:
            if await group.find_member(user) is not None:
                await group.remove(user)
        except StorageError:
            raise
        except WhatsAppClientError as error:
            self.logger.warning("somebody could not be removed from a group: %s", error)
            return str(error)
        return ""

    async def keep_out(self, group: Group, user: str) -> None:
        """Remove somebody who is banned and found back."""
        if not await self.rehearses(group.id) and not await self.put_out(group, user):
            self.logger.info("somebody who is banned is kept out of a group")

    async def ban_of(self, group: str, user: str) -> Ban | None:
        """The ban that is in force."""
        ban = await self.store.get(ban_key(group, user), Ban)
        return None if ban is None or self.has_ended(ban) else ban

    def has_ended(self, ban: Ban) -> bool:
        """Whether its time is over."""
        return ban.until is not None and ban.until <= self.now

    async def unban(self, group: Group, user: User, *, by: str) -> Case | None:
        """Let somebody come back; None where no ban keeps them out."""
        if await self.ban_of(group.id, user.id) is None:
            return None
        case = await self._open(group, user, "unban", "")
        if await self.rehearses(group.id):
            return await self.cases.save(case, by=by, state="dry")
        await self.store.delete(ban_key(group.id, user.id))
        return await self.cases.save(case, by=by)

    async def undo(self, group: Group, case: Case) -> Case:
        """Take a case back: points count no more, whoever was put out is taken in again."""
        if case.kind == "warn":
            return await self.cases.save(case, state="undone")
        ban = await self.ban_of(group.id, case.user)
        if ban is not None and ban.case == case.number:
            await self.store.delete(ban_key(group.id, case.user))
            ban = None
        note = await self._take_in(group, case.user, ban)
        return await self.cases.save(case, state="undone", note=note)

    async def _take_in(self, group: Group, user: str, ban: Ban | None) -> str:
        """Add somebody again; why it was not done, or nothing."""
        if ban is not None:
            return f"case {ban.case} still keeps them out"
        try:
            if await group.find_member(user) is None:
                await group.add(user)
        except StorageError:
            raise
        except WhatsAppClientError as error:
            return f"could not be added again: {error}"
        return ""

    # ------------------------------------------------------------ proposals

    async def decide(self, group: Group, case: Case, *, by: str, approved: bool) -> Case:
        """Do what was proposed, or drop it."""
        await self.store.delete(_open_key(group.id, case.user))
        if not approved:
            return await self.cases.save(case, state="rejected", by=by)
        return await self.carry_out(group, case, by=by, lasts=case.lasts)

    async def _propose(self, group: Group, case: Case, step: Step) -> Case | None:
        """Ask the group's moderators, each in the encrypted chat; None where they were before."""
        key = _open_key(group.id, case.user)
        asked_at, asked_points = await self.store.get(key, tuple[int, int], (0, 0))
        if step.points <= asked_points and self.now - asked_at < PROPOSED_AGAIN:
            return None
        await self.store.set(key, (self.now, step.points))
        case = await self.cases.save(case, state="proposed", proven=False, lasts=step.lasts)
        text = _proposal(case, group)
        asked = [await self._tell(m, text) for m in await self._deciders(group)]
        if not any(asked):
            self.logger.warning("case %d: nobody could be asked", case.number)
        return case

    async def _deciders(self, group: Group) -> Sequence[Member]:
        members = await group.members()
        return [
            member
            for member in members
            if member.id != self.bot.user.id
            and (member.role != "member" or self.is_appointed(member))
        ]

    async def _tell(self, member: Member, text: str) -> bool:
        try:
            await self.bot.send(member.id, text)
        except StorageError:
            raise
        except WhatsAppClientError as error:
            self.logger.warning("a moderator cannot be written to: %s", error)
            return False
        return True

    async def _open(self, group: Group, user: User, kind: CaseKind, reason: str) -> Case:
        return await self.cases.open(group.id, user.id, user.username, kind, reason, self.now)


def shown(username: str) -> str:
    """A name that is safe to say: its owner has chosen it."""
    return sanitise(f"@{username}")


def counted(points: int) -> str:
    """So many points, in words."""
    return "1 point" if points == 1 else f"{points} points"


def outcome(case: Case) -> str:
    """What has become of a case, as a sentence for its group."""
    name = shown(case.name)
    if case.state == "failed":
        return f"{name} could not be removed: {sanitise(case.note, 200)} (case {case.number})"
    if case.state == "proposed":
        return f"The moderators decide about {name} (case {case.number})."
    would = "would be" if case.state == "dry" else "is"
    lasts = "" if case.lasts is None else f" for {format_duration(case.lasts)}"
    dry = ", dry run" if case.state == "dry" else ""
    return f"{name} {would} {_PAST[case.kind]}{lasts} (case {case.number}{dry})."


def ban_key(group: str, user: str) -> str:
    """Where a ban lies; without a user what all bans of the group begin with."""
    return f"ban\x1f{group}\x1f{user}"


def _open_key(group: str, user: str) -> str:
    return f"open\x1f{group}\x1f{user}"


def _proposal(case: Case, group: Group) -> str:
    lasts = "" if case.lasts is None else f" for {format_duration(case.lasts)}"
    deed = "Ban" if case.kind == "ban" else "Remove"
    return (
        f"{deed} {shown(case.name)}{lasts} from {sanitise(group.name)}?"
        f" ({sanitise(case.reason, 200)})\n"
        "Group messages can be forged, so I do not do it by myself.\n"
        f"/approve {case.number} or /reject {case.number}"
    )
