"""One generation of plugins, ready to be used: the table, and the onions around it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from chatbot.client.models import Message
from chatbot.plugins.context import Context
from chatbot.plugins.onion import Outgoing
from chatbot.runtime.table import Table


@dataclass(frozen=True, slots=True, eq=False)
class Generation:
    """What a message takes with it when its handling begins.

    Attributes:
        inbound: the inbound middleware around dispatching.
        outbound: the outbound middleware around the outlet.
    """

    table: Table = field(default_factory=Table)
    inbound: Callable[[Context], Awaitable[None]] = field(kw_only=True)
    outbound: Callable[[Outgoing], Awaitable[Message | None]] = field(kw_only=True)
