"""What moderators set for their group, and what everybody may ask for."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Final, Literal

from msgspec.structs import replace

from chatbot.plugins.builtin.moderation.declared import LIMITS, plugin
from chatbot.plugins.builtin.moderation.links import normal_host
from chatbot.plugins.builtin.moderation.settings import SWITCHES, Switch, save_settings
from chatbot.plugins.builtin.moderation.warden import Warden, counted
from chatbot.plugins.builtin.moderation.words import MAX_PHRASE, is_phrase
from chatbot.plugins.context import Group
from chatbot.plugins.durations import format_duration, milliseconds
from chatbot.plugins.errors import UsageError
from chatbot.plugins.markers import Range, Rest
from chatbot.plugins.text import quoted, sanitise

MAX_LISTED: Final = 500
"""Words, and hosts, that a group may have."""

MAX_TEXT: Final = 2_000
"""Characters of a greeting or of rules."""

_MAX_ENTRY: Final = 100

Wait = Annotated[timedelta, Range("1s", "1d")]

moderation = plugin.group(
    "moderation", chats="group", role="moderator", description="This group's settings"
)


@moderation
async def show(group: Group, warden: Warden) -> str:
    """Say what is set for this group, and what cannot be done."""
    settings = await warden.settings(group.id)
    on = [name for name in SWITCHES if settings.is_on(name)]
    steps = [
        f"{counted(step.points)}: {step.sanction}"
        + ("" if step.lasts is None else f" for {format_duration(step.lasts)}")
        for step in warden.config.all_steps
    ]
    role = "" if group.role != "member" else "I am no admin here and can do nothing but talk.\n"
    return (
        f"{role}On: {', '.join(on) or 'nothing'}\n"
        f"Slow mode: {format_duration(settings.slow) if settings.slow else 'off'}\n"
        f"Words: {len(settings.words) + len(warden.config.words)},"
        f" hosts: {len(settings.hosts) + len(warden.config.hosts)}\n"
        f"{'; '.join(steps) or 'Points lead to nothing.'}\n{LIMITS}"
    )


@moderation.command("switch")
async def switch(group: Group, warden: Warden, name: Switch, on: bool) -> str:
    """Switch words, links, flood, welcome or dry-run on or off in this group."""
    settings = await warden.settings(group.id)
    switches = {**settings.switches, name: on}
    await save_settings(warden.store, group.id, replace(settings, switches=switches))
    return f"{name} is {'on' if on else 'off'}."


@moderation.command("word")
async def word(group: Group, warden: Warden, change: Literal["add", "remove"], text: Rest) -> str:
    """Forbid a word or a phrase here, or allow it again."""
    if len(text) > _MAX_ENTRY or not is_phrase(text):
        raise UsageError(f"expected a word, or a phrase of up to {MAX_PHRASE}")
    settings = await warden.settings(group.id)
    words = _changed(settings.words, text.casefold(), change)
    await save_settings(warden.store, group.id, replace(settings, words=words))
    return f"Words forbidden here: {len(words)}."


@moderation.command("host")
async def host(group: Group, warden: Warden, change: Literal["add", "remove"], name: str) -> str:
    """Allow links to a host and what is below it, or forbid them again."""
    normal = normal_host(name[:_MAX_ENTRY])
    if normal is None:
        raise UsageError(f"expected a host such as example.org, got {quoted(name)}")
    settings = await warden.settings(group.id)
    hosts = _changed(settings.hosts, normal, change)
    await save_settings(warden.store, group.id, replace(settings, hosts=hosts))
    return f"Hosts that links may lead to here: {len(hosts)}."


@moderation.command("welcome")
async def welcome(group: Group, warden: Warden, text: Rest) -> str:
    """Greet whoever joins with this text; `{name}` in it is who it is."""
    settings = await warden.settings(group.id)
    switches = {**settings.switches, "welcome": True}
    greeting = _short(text)
    await save_settings(
        warden.store, group.id, replace(settings, greeting=greeting, switches=switches)
    )
    return "Whoever joins is greeted, within half a minute."


@moderation.command("rules")
async def set_rules(group: Group, warden: Warden, text: Rest) -> str:
    """Write this group's rules, which /rules says."""
    settings = await warden.settings(group.id)
    await save_settings(warden.store, group.id, replace(settings, rules=_short(text)))
    return "These are the rules now."


@plugin.command("slow", chats="group", role="moderator")
async def slow(group: Group, warden: Warden, wait: Wait | Literal["off"]) -> str:
    """Ask everybody to wait so long between two messages."""
    settings = await warden.settings(group.id)
    ms = 0 if wait == "off" else milliseconds(wait)
    await save_settings(warden.store, group.id, replace(settings, slow=ms))
    return "Slow mode is off." if not ms else f"One message every {format_duration(ms)}."


@plugin.command("rules", chats="group", cooldown="5/1m")
async def rules(group: Group, warden: Warden) -> str:
    """Say this group's rules."""
    return (await warden.settings(group.id)).rules or "This group has no rules yet."


def _changed(
    before: tuple[str, ...], entry: str, change: Literal["add", "remove"]
) -> tuple[str, ...]:
    kept = tuple(other for other in before if other != entry)
    if change == "remove":
        if kept == before:
            raise UsageError(f"{quoted(entry)} is not in the list")
        return kept
    if len(kept) >= MAX_LISTED:
        raise UsageError(f"the list is full: it holds {MAX_LISTED}")
    return (*kept, entry)


def _short(text: str) -> str:
    if len(text) > MAX_TEXT:
        raise UsageError(f"expected at most {MAX_TEXT} characters")
    return "\n".join(sanitise(line, MAX_TEXT) for line in text.splitlines())
