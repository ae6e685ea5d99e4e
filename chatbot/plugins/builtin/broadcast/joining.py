"""`/audience` for admins, `/subscribe` and `/unsubscribe` for everybody.

All of them 1:1 and encrypted: in a group anybody could subscribe somebody else.
"""

from __future__ import annotations

from typing import Final

from chatbot.client.models import User
from chatbot.plugins.builtin.broadcast.audiences import GROUP, Audiences, NoAudienceError
from chatbot.plugins.builtin.broadcast.config import BroadcastConfig
from chatbot.plugins.builtin.broadcast.declared import plugin
from chatbot.plugins.context import Context
from chatbot.plugins.errors import UsageError
from chatbot.plugins.text import quoted, sanitise

_SHOWN: Final = 100


@plugin.command("subscribe", chats="direct", privileged=True)
async def subscribe(
    ctx: Context, audiences: Audiences, config: BroadcastConfig, audience: str | None = None
) -> str:
    """Get what is announced to an audience from now on."""
    name = _one_of_the_open(config, audience)
    await audiences.set_member(name, ctx.user.id, member=True)
    return f"You get what is announced to {name}. {ctx.prefix}unsubscribe {name} ends that."


@plugin.command("unsubscribe", chats="direct", privileged=True)
async def unsubscribe(
    ctx: Context, audiences: Audiences, config: BroadcastConfig, audience: str | None = None
) -> str:
    """Get it no more."""
    name = _one_of_the_open(config, audience)
    await audiences.set_member(name, ctx.user.id, member=False)
    return f"You no longer get what is announced to {name}."


def _one_of_the_open(config: BroadcastConfig, audience: str | None) -> str:
    names = config.open
    if not names:
        raise UsageError("there is nothing to subscribe to")
    if audience is None and len(names) == 1:
        return names[0]
    if audience is None or audience.casefold() not in names:
        got = "" if audience is None else f"\ngot: {quoted(audience)}"
        raise UsageError(f"audience: expected {' or '.join(names)}{got}")
    return audience.casefold()


# ---------------------------------------------------------------- for admins

audience_group = plugin.group(
    "audience", chats="direct", role="admin", description="Who gets announcements"
)


@audience_group
async def list_audiences(audiences: Audiences, config: BroadcastConfig) -> str:
    """Say which audiences there are, and how many are in each."""
    lines = []
    for name in await audiences.names():
        joined = ", open to all" if name in config.open else ""
        lines.append(f"{name}: {await _size(audiences, name)}{joined}")
    return "\n".join(lines) or "There is no audience yet."


async def _size(audiences: Audiences, name: str) -> str:
    try:
        return f"{len(await audiences.expand(name))}"
    except NoAudienceError as error:
        return str(error)


@audience_group.command("show")
async def show(audiences: Audiences, audience: str) -> str:
    """Say who is in one."""
    try:
        found = await audiences.expand(await audiences.check(audience))
    except NoAudienceError as error:
        raise UsageError(str(error)) from None
    lines = [
        f"{sanitise(one.name)}{f': {one.reason}' if one.reason else ''}" for one in found.values()
    ]
    more = [f"… and {len(lines) - _SHOWN} more"] if len(lines) > _SHOWN else []
    return "\n".join((*lines[:_SHOWN], *more)) or "Nobody."


@audience_group.command("create")
async def create(audiences: Audiences, name: str) -> str:
    """Make an empty one."""
    try:
        created = await audiences.create(name)
    except NoAudienceError as error:
        raise UsageError(str(error)) from None
    return f"There is an audience {created} now, with nobody in it."


@audience_group.command("add")
async def add(audiences: Audiences, audience: str, users: list[User]) -> str:
    """Put people into one."""
    return await _changed(audiences, audience, users, member=True)


@audience_group.command("remove")
async def remove(audiences: Audiences, audience: str, users: list[User]) -> str:
    """Take people out, even those whom the configuration names."""
    return await _changed(audiences, audience, users, member=False)


async def _changed(audiences: Audiences, audience: str, users: list[User], *, member: bool) -> str:
    if audience.startswith(GROUP):
        raise UsageError("who is in a group is up to the group")
    try:
        name = await audiences.check(audience)
    except NoAudienceError as error:
        raise UsageError(str(error)) from None
    for user in users:
        await audiences.set_member(name, user.id, member=member)
    return f"{name} has {len(await audiences.expand(name))} people now."
