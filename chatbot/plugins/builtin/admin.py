"""Admin: the bot's plugins, permissions and condition, for its owners."""

from __future__ import annotations

from collections.abc import Awaitable
from datetime import datetime
from typing import Annotated, Final, Literal, TypeAlias

from chatbot.client.models import User
from chatbot.plugins.access import Grant, PrivilegedUse
from chatbot.plugins.context import Bot
from chatbot.plugins.control import (
    ControlError,
    PermissionControl,
    PluginControl,
    PluginInfo,
    Status,
)
from chatbot.plugins.errors import UsageError
from chatbot.plugins.markers import Range
from chatbot.plugins.plugin import Plugin
from chatbot.plugins.text import sanitise

Effect: TypeAlias = Literal["allow", "deny"]
_EFFECTS: Final[tuple[Effect, ...]] = ("allow", "deny")

plugin = Plugin("admin", description="Plugins, permissions and condition of the bot")


@plugin.command("status", role="owner")
async def status(condition: Status) -> str:
    """Say how the bot is doing."""
    return "\n".join(f"{name}: {fact}" for name, fact in (await condition.summary()).items())


# ---------------------------------------------------------------- plugins

plugins = plugin.group("plugins", role="owner", description="The bot's plugins")


@plugins
async def list_plugins(control: PluginControl) -> str:
    """Say which plugins there are."""
    return "\n".join(map(_described, control.listed()))


@plugins.command("enable", timeout="2m")
async def enable(control: PluginControl, name: str) -> str:
    """Load and start a plugin that is off."""
    return await _changed(control.enable(name), f"{name} is in use now.")


@plugins.command("disable", timeout="2m")
async def disable(control: PluginControl, name: str) -> str:
    """Stop a plugin, with whatever requires it."""
    if name == plugin.name:
        raise UsageError(f"without {name} nobody could switch anything on again")
    return await _changed(control.disable(name), f"{name} is off now.")


@plugins.command("reload", timeout="2m")
async def reload(control: PluginControl, name: str) -> str:
    """Load a plugin's code as it is now; the old one stays where the new one fails."""
    return await _changed(control.reload(name), f"{name} is the new one now.")


async def _changed(change: Awaitable[None], success: str) -> str:
    try:
        await change
    except ControlError as error:
        return "\n".join((f"Not done: {error}", *(sanitise(str(p), 300) for p in error.problems)))
    return success


def _described(info: PluginInfo) -> str:
    name = " ".join(part for part in (info.name, info.version) if part)
    what = f" - {info.description}" if info.description else ""
    lines = [f"{name}{what}{'' if info.enabled else ' (off)'}"]
    return "\n  ".join((*lines, *(sanitise(str(p), 300) for p in info.problems)))


# ---------------------------------------------------------------- permissions

permissions = plugin.group("permissions", role="owner", description="Who may do what")


@permissions
async def list_permissions(control: PermissionControl, bot: Bot) -> str:
    """Say who is more than a member, and what is allowed and denied."""
    lines = [f"{await _name(bot, user)}: {role}" for user, role in control.roles().items()]
    lines += [await _line(bot, grant) for grant in control.grants()]
    return "\n".join(lines) or "Nobody is more than a member, and nothing is allowed or denied."


@permissions.command("allow")
async def allow(
    control: PermissionControl,
    permission: str,
    user: User | None = None,
    *,
    chat: str | None = None,
) -> str:
    """Allow a permission ("dice.roll", "dice.*") to a user or to everybody, in a chat by its id."""
    return await _add(control, "allow", permission, user, chat)


@permissions.command("deny")
async def deny(
    control: PermissionControl,
    permission: str,
    user: User | None = None,
    *,
    chat: str | None = None,
) -> str:
    """Deny a permission; a denial always wins over what is allowed."""
    return await _add(control, "deny", permission, user, chat)


@permissions.command("forget")
async def forget(
    control: PermissionControl,
    permission: str,
    user: User | None = None,
    *,
    chat: str | None = None,
) -> str:
    """Take back what was allowed or denied in these very words."""
    grants = [_grant(effect, permission, user, chat) for effect in _EFFECTS]
    removed = [await control.remove(grant) for grant in grants]
    return "Done." if any(removed) else "There is no such line in the list."


@permissions.command("role")
async def set_role(
    control: PermissionControl, user: User, role: Literal["member", "moderator", "admin"]
) -> str:
    """Make somebody a moderator or an admin, or a plain member again."""
    try:
        await control.set_role(user.id, role)
    except ValueError as error:
        raise UsageError(str(error)) from None
    return f"{sanitise(user.username)} is {role} now."


async def _add(
    control: PermissionControl, effect: Effect, permission: str, user: User | None, chat: str | None
) -> str:
    added = await control.add(_grant(effect, permission, user, chat))
    return "Done." if added else "That is in the list already."


def _grant(effect: Effect, permission: str, user: User | None, chat: str | None) -> Grant:
    return Grant(
        effect=effect,
        permission=permission,
        user=None if user is None else user.id,
        chat=chat,
    )


async def _line(bot: Bot, grant: Grant) -> str:
    who = "everybody" if grant.user is None else await _name(bot, grant.user)
    where = "" if grant.chat is None else f" in {sanitise(grant.chat)}"
    return f"{grant.effect} {sanitise(grant.permission)} to {who}{where}"


async def _name(bot: Bot, user_id: str) -> str:
    user = await bot.find_user(user_id)
    return sanitise(user_id if user is None else f"@{user.username}")


# ---------------------------------------------------------------- why


@plugin.command("why", role="owner")
async def why(control: PermissionControl, message_id: str | None = None) -> str:
    """Say why the last command, or that of a message by its id, did or did not run."""
    decision = await control.why(message_id)
    return "\n".join(decision.explain()) if decision is not None else "Nothing was decided."


@plugin.command("audit", role="owner")
async def audit(
    bot: Bot, control: PermissionControl, count: Annotated[int, Range(1, 50)] = 10
) -> str:
    """Show the last COUNT uses of privileged commands, the newest first."""
    return "\n".join([await _use(bot, use) for use in await control.audit(count)]) or "None yet."


async def _use(bot: Bot, use: PrivilegedUse) -> str:
    when = datetime.fromtimestamp(use.at / 1000, bot.now().tzinfo).isoformat(" ", "seconds")
    where = "" if use.chat == use.user else f" in {await _group_name(bot, use.chat)}"
    who = await _name(bot, use.user)
    return f"{when} {who}{where} {use.permission}: {use.outcome} ({use.reason})"


async def _group_name(bot: Bot, group_id: str) -> str:
    group = await bot.find_group(group_id)
    return sanitise(group_id if group is None else group.name)
