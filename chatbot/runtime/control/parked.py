"""Messages and job runs that were given up (see retries.py), for a person to look at.

A message's id is its place in the inbox, `17`; a run's has a j before it, `j17`.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any, Final, Literal, Protocol

import msgspec

from chatbot.client.exceptions import ValidationError
from chatbot.client.storage.message_storage import MessageStorage
from chatbot.runtime.control.target import Target
from chatbot.runtime.handling import run_key
from chatbot.runtime.job_storage import JobStorage, RunRow
from chatbot.runtime.jobs import run_key as job_run_key


@dataclass(frozen=True, slots=True, kw_only=True)
class Parked:
    """Something that kept failing.

    Attributes:
        id: what retries and drops it.
        kind: where it came from: a chat of that kind, or a job's times.
        where: the peer's user id, the group's id, or the job.
        sender: who wrote it, by user id; None of a job.
        at: ms; when it was received, or meant to run.
        attempts: how often it was tried.
        error: what went wrong last, and under which reference the log tells more.
        text: what it says, or the job's arguments as JSON; None in a list.
    """

    id: str
    kind: Literal["direct", "group", "job"]
    where: str
    sender: str | None
    at: int
    attempts: int
    error: str
    text: str | None = field(default=None, repr=False)


async def parked(target: Target) -> list[Parked]:
    """All of them without their texts: messages, then runs, each the oldest first."""
    found = [*await _Messages(target).find(), *await _Runs(target).find()]
    return [replace(one, text=None) for one in found]


async def show(target: Target, parked_id: str) -> Parked:
    """One of them with its text.

    Raises:
        ValidationError: there is none with that id.
    """
    kind, seq = _place(target, parked_id)
    found = await kind.find(seq)
    if not found:
        raise _unknown(parked_id)
    return found[0]


async def retry(target: Target, parked_id: str) -> None:
    """Try it once more: now where the bot runs, else at its next start.

    What it did at once in earlier tries is not done again.

    Raises:
        ValidationError: there is none with that id.
    """
    kind, seq = _place(target, parked_id)
    if not await kind.retry(seq):
        raise _unknown(parked_id)


async def drop(target: Target, parked_id: str) -> None:
    """Never try it again; a message stays in the conversation's history.

    Raises:
        ValidationError: there is none with that id.
    """
    kind, seq = _place(target, parked_id)
    unit = kind.drop(seq)
    if not await target.account.database.write(unit):
        raise _unknown(parked_id)


class _Kind(Protocol):
    """One of the two things that are parked, by their seqs."""

    async def find(self, seq: int | None = None) -> list[Parked]: ...

    async def retry(self, seq: int) -> bool: ...

    def drop(self, seq: int) -> Callable[[sqlite3.Connection], bool]: ...


_SELECT: Final = (
    "SELECT inbox.seq, conversation, kind, from_user, received_at, attempts, ifnull(error, ''),"  # noqa: S608
    f" {MessageStorage.columns} FROM inbox JOIN messages ON messages.seq = message_seq"
    " WHERE state = 'parked' AND inbox.seq = ifnull(?, inbox.seq) ORDER BY inbox.seq"
)


class _Messages:
    def __init__(self, target: Target) -> None:
        self._target = target
        self._database = target.account.database

    async def find(self, seq: int | None = None) -> list[Parked]:
        rows = await self._database.read(
            lambda connection: connection.execute(_SELECT, (seq,)).fetchall()
        )
        return [self._parked(*row) for row in rows]

    def _parked(
        self,
        seq: int,
        where: str,
        kind: Literal["direct", "group"],
        sender: str,
        at: int,
        attempts: int,
        error: str,
        *message: Any,
    ) -> Parked:
        text = self._target.account.messenger.messages.from_row(message).content
        return Parked(
            id=str(seq),
            kind=kind,
            where=where,
            sender=sender,
            at=at,
            attempts=attempts,
            error=error,
            text=text,
        )

    async def retry(self, seq: int) -> bool:
        statement = (
            "UPDATE inbox SET state = 'ready', not_before = 0 WHERE seq = ? AND state = 'parked'"
        )
        found = await self._database.write(
            lambda connection: connection.execute(statement, (seq,)).rowcount
        )
        if found and self._target.parts is not None:
            self._target.parts.handling.again(seq)
        return bool(found)

    def drop(self, seq: int) -> Callable[[sqlite3.Connection], bool]:
        def unit(connection: sqlite3.Connection) -> bool:
            found = connection.execute(
                "SELECT 1 FROM inbox WHERE seq = ? AND state = 'parked'", (seq,)
            ).fetchone()
            if found:
                MessageStorage.done(seq)(connection)
                connection.execute("DELETE FROM steps WHERE run = ?", (run_key(seq),))
            return bool(found)

        return unit


class _Runs:
    def __init__(self, target: Target) -> None:
        self._target = target
        account = target.account
        self._storage = JobStorage(account.database, account.messenger.vault)

    async def find(self, seq: int | None = None) -> list[Parked]:
        return [_parked_run(run, error) for run, error in await self._storage.parked(seq)]

    async def retry(self, seq: int) -> bool:
        found = await self._target.account.database.write(self._storage.unpark(seq))
        if found and self._target.parts is not None:
            self._target.parts.jobs.changed()
        return found

    def drop(self, seq: int) -> Callable[[sqlite3.Connection], bool]:
        drop = self._storage.drop(seq)

        def unit(connection: sqlite3.Connection) -> bool:
            found = drop(connection)
            if found:
                connection.execute("DELETE FROM steps WHERE run = ?", (job_run_key(seq),))
            return found

        return unit


def _parked_run(run: RunRow, error: str) -> Parked:
    return Parked(
        id=f"j{run.seq}",
        kind="job",
        where=run.job.endpoint,
        sender=None,
        at=run.fire_time,
        attempts=run.attempts,
        error=error,
        text=msgspec.json.encode(run.job.arguments).decode(),
    )


def _place(target: Target, parked_id: str) -> tuple[_Kind, int]:
    digits = parked_id.removeprefix("j")
    if not (digits.isascii() and digits.isdecimal() and len(digits) < 19):  # noqa: PLR2004 - 64 bits
        raise _unknown(parked_id)
    kind: type[_Runs | _Messages] = _Runs if parked_id.startswith("j") else _Messages
    return kind(target), int(digits)


def _unknown(parked_id: str) -> ValidationError:
    return ValidationError(
        f"nothing with the id {parked_id} is parked. What to do: see `chatbot inbox CONFIG list`"
    )
