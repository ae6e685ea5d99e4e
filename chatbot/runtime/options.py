"""What one bot is told."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from pathlib import Path
from typing import Any, Final

from chatbot.client.options import ClientOptions
from chatbot.plugins.durations import Rate
from chatbot.plugins.errors import Problem
from chatbot.runtime.access import Appointments
from chatbot.runtime.arrivals import HandlingOptions
from chatbot.runtime.threads import THREADS

BUILT_IN: Final = tuple(f"chatbot.plugins.builtin.{name}" for name in ("help", "ping", "admin"))
"""Loaded whatever is listed, before what is listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class BotOptions:
    """What one bot is told.

    Attributes:
        name: the user name of its account.
        registers: make the account where it does not exist.
        storage_password: opens the account's files; None for the account's own.
        plugins: what is listed; the built-in ones load without.
        sections: `[plugins.NAME]` by name.
        base: the folder that relative paths of plugins count from.
        threads: how many blocking handlers run at once.
        user_rate: how many messages of one user are handled, None for all.
        chat_rate: how many of one chat.
        keep: how long (ms) messages are kept, None for ever.
    """

    name: str
    password: str = field(repr=False)
    server_url: str
    storage_path: Path
    storage_password: str | None = field(default=None, repr=False)
    registers: bool = False
    plugins: Sequence[str] = ()
    sections: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)
    base: Path = field(default_factory=Path.cwd)
    appointments: Appointments = field(default_factory=Appointments)
    timezone: tzinfo = UTC
    handling: HandlingOptions = field(default_factory=HandlingOptions)
    client: ClientOptions = field(default_factory=ClientOptions)
    threads: int = THREADS
    user_rate: Rate | None = None
    chat_rate: Rate | None = None
    keep: int | None = None

    @property
    def all_plugins(self) -> tuple[str, ...]:
        """What is loaded, each once, the built-in ones first."""
        return tuple(dict.fromkeys((*BUILT_IN, *self.plugins)))


class PluginsError(Exception):
    """None of the listed plugins can be used.

    Attributes:
        problems: everything that is wrong with them.
    """

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__("\n".join(map(str, problems)) or "no listed plugin can be used")
        self.problems = tuple(problems)
