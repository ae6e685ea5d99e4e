"""What the broadcast plugin says of a broadcast, as something to wait for."""

from __future__ import annotations

from chatbot.testing import Person


async def report(admin: Person, number: int, *parts: str) -> str:
    """The report, once all of these stand in it."""
    for _ in range(200):  # each one takes a message and its answer: no busy loop
        told = await admin.says(f"/broadcast report {number}")
        if all(part in told for part in parts):
            return told
    raise AssertionError(told)
