"""What every part of the backend works with."""

from __future__ import annotations

from dataclasses import dataclass

from chatbot.server.database import Database
from chatbot.server.http import BodyReader
from chatbot.server.limits import Clock, Limits


@dataclass(frozen=True, slots=True)
class Resources:
    """Handed to each part when the backend starts.

    Attributes:
        bodies: reads the bodies of calls.
        clock: the time in ms since the epoch; it never goes back.
    """

    database: Database
    bodies: BodyReader
    limits: Limits
    clock: Clock
