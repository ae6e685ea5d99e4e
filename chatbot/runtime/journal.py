"""What has happened in a run already, so that another try neither repeats nor forgets it.

A *run* is one message on its way through its handlers, or one job at one fire time. What a handler
returns and sets waits in its `Steps` and commits together with the run's end. What it does at once
(`ctx.reply`, `ctx.ask`, `store.incr`) commits together with a row that says so, with its result:
when the run is tried again, after a crash or an error, the row is found and nothing is done twice.

Steps are known by the handler, their kind, and how many of that kind came before, so a handler has
to do the same things in the same order when it is run again. What it does in the world outside
happens as often as it is run.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol, TypeVar, cast

import msgspec

from chatbot.client.crypto.vault import Vault
from chatbot.client.messaging.message_ids import MessageIds
from chatbot.client.models import Message
from chatbot.client.storage.batch import Unit
from chatbot.client.storage.database import Database
from chatbot.runtime.schema import COMPONENT, MIGRATIONS
from chatbot.runtime.values import ValueKey, Values

T = TypeVar("T")

Missing: Final = msgspec.UNSET
"""In place of a value that is not known here; None is one that was deleted."""

MAX_STEPS: Final = 1000
"""How many steps and messages one handler may have in one run: one that floods is stopped."""

_END: Final = "end"

Post = Callable[[Sequence[Message], Unit[Any]], Awaitable[Any]]
"""Commits messages of ours together with a unit, and sends them; returns what the unit gave."""


class FloodError(Exception):
    """A handler has done more in one run than any honest one does."""


class Work(Protocol):
    """What a handler, job or hook does its doings through."""

    def claim(self, kind: str) -> int:
        """The number of the next step of that kind."""

    def message_id(self, kind: str, n: int) -> str:
        """The id of the message that this step sends."""

    def has(self, kind: str, n: int) -> bool:
        """Whether an earlier try has done this step."""

    async def once(
        self,
        kind: str,
        n: int,
        act: Unit[T],
        result: type[T],
        messages: Sequence[Message] = (),
    ) -> T:
        """Do a step at once, unless an earlier try has; its result."""

    def pending(self, key: ValueKey) -> bytes | msgspec.UnsetType | None:
        """What was set and is not committed yet."""

    def pending_keys(self) -> Sequence[ValueKey]:
        """All keys that `pending` knows something of."""

    def settled(self, key: ValueKey) -> None:
        """Forget what was set: a step has taken it up."""

    async def put(self, key: ValueKey, value: bytes | None) -> None:
        """Set a value, or delete it."""

    async def later(
        self,
        messages: Sequence[Message],
        unit: Unit[Any] | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Commit this with the handler's end; call `then` once it is committed."""


@dataclass(slots=True, eq=False)
class Effects:
    """What commits with a handler's end."""

    values: dict[ValueKey, bytes | None] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)
    units: list[Unit[Any]] = field(default_factory=list)
    then: list[Callable[[], None]] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Run:
    """One try of a run.

    Attributes:
        key: names it in the journal.
        cause: what the ids of its messages follow from.
        recorded: sealed results of the steps that earlier tries have done, by name and number.
        ended: the handlers that have ended in this try, and what they left to be committed.
    """

    key: str
    cause: tuple[str | int, ...]
    recorded: dict[tuple[str, int], bytes] = field(default_factory=dict)
    ended: list[Steps] = field(default_factory=list)


class Journal:
    """The steps of all runs that have not ended.

    Args:
        post: commits messages and sends them.
        ids: makes message ids.
        clock: ms since the epoch.
    """

    def __init__(
        self,
        database: Database,
        vault: Vault,
        *,
        post: Post,
        ids: MessageIds,
        clock: Callable[[], int],
    ) -> None:
        self._database = database
        self._vault = vault
        self._ids = ids
        self._unended: set[str] = set()
        self.post: Final = post
        self.clock: Final = clock
        self.values: Final = Values(database, vault, clock)

    async def open(self) -> frozenset[str]:
        """Make the tables; returns the runs that a crash or a stop has left in the middle."""
        await self._database.migrate(COMPONENT, MIGRATIONS)
        self._unended = set(await self._database.read(_unended))
        return frozenset(self._unended)

    async def begin(self, key: str, cause: tuple[str | int, ...]) -> Run:
        """A try of a run, with what earlier tries have done."""
        if key not in self._unended:
            return Run(key, cause)
        rows = await self._database.read(lambda connection: _steps(connection, key))
        return Run(key, cause, {(name, n): result for name, n, result in rows})

    async def flush(self, run: Run) -> None:
        """Commit what handlers have left that ended, so that another one's failure cannot undo it.

        They are not run again in the run's next try.
        """
        if run.ended:
            ended, run.ended = run.ended, []
            ends = [self.record(run.key, steps.name(_END), 0, b"") for steps in ended]
            await self._commit(ended, ends)

    async def end(self, run: Run, *units: Unit[Any], messages: Sequence[Message] = ()) -> None:
        """Commit what all handlers have left, forget the run's steps, and what `units` do."""
        ended, run.ended = run.ended, []
        forget = [self.forget(run.key)] if run.key in self._unended else []
        await self._commit(ended, [*units, *forget], messages)
        self._unended.discard(run.key)

    def forget(self, key: str) -> Unit[None]:
        """Forget a run's steps."""
        return lambda connection: _forget(connection, key)

    def record(self, key: str, name: str, n: int, result: bytes) -> Unit[None]:
        """Note a step and its result."""
        self._unended.add(key)
        sealed = self._vault.seal("steps", _place(key, name, n), "result", result)
        row = (key, name, n, sealed, self.clock())

        def unit(connection: sqlite3.Connection) -> None:
            connection.execute("INSERT OR REPLACE INTO steps VALUES (?, ?, ?, ?, ?)", row)

        return unit

    def result(self, run: Run, name: str, n: int) -> bytes | None:
        """The recorded result of a step, None where it was not done yet."""
        sealed = run.recorded.get((name, n))
        if sealed is None:
            return None
        return self._vault.open("steps", _place(run.key, name, n), "result", sealed)

    async def step(
        self,
        run: Run,
        name: str,
        n: int,
        act: Unit[T],
        messages: Sequence[Message] = (),
    ) -> T:
        """Do a step and note its result, in one transaction."""
        self._unended.add(run.key)
        now = self.clock()

        def unit(connection: sqlite3.Connection) -> T:
            result = act(connection)
            encoded = msgspec.msgpack.encode(result)
            sealed = self._vault.seal("steps", _place(run.key, name, n), "result", encoded)
            connection.execute(
                "INSERT INTO steps VALUES (?, ?, ?, ?, ?)", (run.key, name, n, sealed, now)
            )
            return result

        done: T = await self.post(messages, unit)
        return done

    def new_message_id(self, *step: str | int) -> str:
        """The id of the message that a step sends; a new one where no step is named."""
        return self._ids.of_step(*step) if step else self._ids.new()

    async def _commit(
        self,
        ended: Sequence[Steps],
        units: Sequence[Unit[Any]],
        messages: Sequence[Message] = (),
    ) -> None:
        effects = [steps.effects for steps in ended]
        values = {key: value for e in effects for key, value in e.values.items()}
        every = [unit for e in effects for unit in e.units]
        if values:
            every.append(self.values.write(values))
        # Whatever was said twice under one key is one message.
        said = {message.id: message for e in effects for message in e.messages}
        await self.post([*said.values(), *messages], _joined([*every, *units]))
        for call in (call for e in effects for call in e.then):
            call()


class Steps:
    """What one handler does in one try of a run: `Work` with a journal."""

    __slots__ = ("_counts", "_endpoint", "_journal", "_run", "effects")

    def __init__(self, journal: Journal, run: Run, endpoint: str) -> None:
        self._journal = journal
        self._run = run
        self._endpoint = endpoint
        self._counts: Counter[str] = Counter()
        self.effects = Effects()

    @property
    def has_ended(self) -> bool:
        """Whether the handler came to its end in an earlier try."""
        return (self.name(_END), 0) in self._run.recorded

    def end(self) -> None:
        """The handler has ended well: what it left commits with the run's end."""
        self._run.ended.append(self)

    def name(self, kind: str) -> str:
        """What the journal calls a kind of step of this handler."""
        return f"{self._endpoint}\x1f{kind}"

    def claim(self, kind: str) -> int:
        """The number of the next step of that kind.

        Raises:
            FloodError: there were too many.
        """
        n = self._counts[kind]
        if n >= MAX_STEPS:
            raise FloodError(f"{self._endpoint} has done {kind!r} {n} times in one run")
        self._counts[kind] = n + 1
        return n

    def message_id(self, kind: str, n: int) -> str:
        """The id of the message that this step sends: the same in every try."""
        return self._journal.new_message_id(*self._run.cause, self._endpoint, kind, n)

    def has(self, kind: str, n: int) -> bool:
        """Whether an earlier try has done this step."""
        return (self.name(kind), n) in self._run.recorded

    async def once(
        self,
        kind: str,
        n: int,
        act: Unit[T],
        result: type[T],
        messages: Sequence[Message] = (),
    ) -> T:
        """Do a step at once, unless an earlier try has; its result."""
        recorded = self.recorded(kind, n, result)
        if recorded is not None or self.has(kind, n):
            return cast("T", recorded)
        return await self._journal.step(self._run, self.name(kind), n, act, messages)

    def recorded(self, kind: str, n: int, result: type[T]) -> T | None:
        """The result of a step that an earlier try has done."""
        encoded = self._journal.result(self._run, self.name(kind), n)
        return None if encoded is None else msgspec.msgpack.decode(encoded, type=result)

    def pending(self, key: ValueKey) -> bytes | msgspec.UnsetType | None:
        """What this handler, or one before it in this try, has set."""
        for steps in (self, *reversed(self._run.ended)):
            if key in steps.effects.values:
                return steps.effects.values[key]
        return Missing

    def pending_keys(self) -> Sequence[ValueKey]:
        """All keys that `pending` knows something of."""
        return [key for steps in (self, *self._run.ended) for key in steps.effects.values]

    def settled(self, key: ValueKey) -> None:
        """Forget what was set: a step has taken it up."""
        for steps in (self, *self._run.ended):
            steps.effects.values.pop(key, None)

    async def put(self, key: ValueKey, value: bytes | None) -> None:
        """Set a value, or delete it, with the handler's end."""
        self.effects.values[key] = value

    async def later(
        self,
        messages: Sequence[Message],
        unit: Unit[Any] | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Commit this with the handler's end; call `then` once it is committed."""
        self.effects.messages += messages
        self.effects.units += [unit] if unit is not None else []
        self.effects.then += [then] if then is not None else []


class AtOnce:
    """`Work` of hooks and observers: no run, so nothing to be done once; everything commits now."""

    __slots__ = ("_journal",)

    def __init__(self, journal: Journal) -> None:
        self._journal = journal

    def claim(self, kind: str) -> int:
        """Steps are not counted."""
        del kind
        return 0

    def message_id(self, kind: str, n: int) -> str:
        """A new one every time."""
        del kind, n
        return self._journal.new_message_id()

    def has(self, kind: str, n: int) -> bool:
        """There are no earlier tries."""
        del kind, n
        return False

    async def once(
        self,
        kind: str,
        n: int,
        act: Unit[T],
        result: type[T],
        messages: Sequence[Message] = (),
    ) -> T:
        """Do it; its result."""
        del kind, n, result
        done: T = await self._journal.post(messages, act)
        return done

    def pending(self, key: ValueKey) -> bytes | msgspec.UnsetType | None:
        """Nothing waits."""
        del key
        return Missing

    def pending_keys(self) -> Sequence[ValueKey]:
        """Nothing waits."""
        return ()

    def settled(self, key: ValueKey) -> None:
        """Nothing waits."""

    async def put(self, key: ValueKey, value: bytes | None) -> None:
        """Set a value, or delete it."""
        await self._journal.post((), self._journal.values.write({key: value}))

    async def later(
        self,
        messages: Sequence[Message],
        unit: Unit[Any] | None = None,
        then: Callable[[], None] | None = None,
    ) -> None:
        """Commit it now."""
        await self._journal.post(messages, _joined([] if unit is None else [unit]))
        if then is not None:
            then()


def _joined(units: Sequence[Unit[Any]]) -> Unit[None]:
    def unit(connection: sqlite3.Connection) -> None:
        for each in units:
            each(connection)

    return unit


def _place(key: str, name: str, n: int) -> str:
    return f"{key}\x1f{name}\x1f{n}"


def _unended(connection: sqlite3.Connection) -> list[str]:
    return [key for (key,) in connection.execute("SELECT DISTINCT run FROM steps")]


def _steps(connection: sqlite3.Connection, key: str) -> list[tuple[str, int, bytes]]:
    return connection.execute("SELECT name, n, result FROM steps WHERE run = ?", (key,)).fetchall()


def _forget(connection: sqlite3.Connection, key: str) -> None:
    connection.execute("DELETE FROM steps WHERE run = ?", (key,))
