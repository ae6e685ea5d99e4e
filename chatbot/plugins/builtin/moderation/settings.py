"""What a group's moderators have set for it."""

from __future__ import annotations

from typing import Literal, TypeAlias, get_args

from msgspec import Struct

from chatbot.plugins.services import Store

Switch: TypeAlias = Literal["words", "links", "flood", "welcome", "dry-run"]
"""What can be switched on and off, group by group."""

SWITCHES: tuple[Switch, ...] = get_args(Switch)


class GroupSettings(Struct, frozen=True, kw_only=True):
    """One group's settings.

    Attributes:
        switches: by name; what is not in it has its default (see `is_on`).
        words: forbidden here, besides those of the configuration.
        hosts: that may be linked to here, besides those of the configuration.
        slow: ms between two messages of one person; 0 where slow mode is off.
        greeting: said to whoever joins; `{name}` is who it is.
        rules: what `/rules` says.
    """

    switches: dict[str, bool] = {}
    words: tuple[str, ...] = ()
    hosts: tuple[str, ...] = ()
    slow: int = 0
    greeting: str = ""
    rules: str = ""

    def is_on(self, switch: Switch) -> bool:
        """Words and floods are looked for unless that was switched off; the rest waits for it."""
        return self.switches.get(switch, switch in {"words", "flood"})


async def load_settings(store: Store, group: str) -> GroupSettings:
    """A group's settings; the defaults where nobody has set any."""
    return await store.get(_key(group), GroupSettings, GroupSettings())


async def save_settings(store: Store, group: str, settings: GroupSettings) -> None:
    """Keep them; they commit with the handler."""
    await store.set(_key(group), settings)


def _key(group: str) -> str:
    return f"settings\x1f{group}"
