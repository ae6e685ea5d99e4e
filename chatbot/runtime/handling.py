"""From an inbox entry to its handlers, and to the commit of all that they did."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from chatbot.client.exceptions import StorageError
from chatbot.client.models import Message
from chatbot.client.storage.message_storage import InboxEntry, MessageStorage
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Reply
from chatbot.runtime.activity import Activity
from chatbot.runtime.admission import Admission
from chatbot.runtime.arrivals import Arrivals, HandlingOptions
from chatbot.runtime.awaited import Awaited, Recovery
from chatbot.runtime.confirmations import Confirmations
from chatbot.runtime.dialogs import Dialogs, InTurn
from chatbot.runtime.handlers import MessageHost, OutdatedError
from chatbot.runtime.journal import Run
from chatbot.runtime.retries import Due, delay, park, put_off, reference
from chatbot.runtime.threads import Threads
from chatbot.runtime.watch import Watch
from chatbot.runtime.world import World

__all__ = ["Handling", "HandlingOptions"]

logger = logging.getLogger(__name__)


class Handling:
    """Handles inbox entries; `handle` is what the inbox calls, one at a time for each conversation.

    Args:
        awaited: takes the messages that handlers wait for.
        in_turn: does something in a conversation's turn.
    """

    def __init__(
        self,
        world: World,
        arrivals: Arrivals,
        awaited: Awaited,
        *,
        admission: Admission,
        dialogs: Dialogs,
        confirmations: Confirmations,
        recovery: Recovery,
        threads: Threads,
        options: HandlingOptions,
        in_turn: InTurn,
    ) -> None:
        self._world = world
        self._arrivals = arrivals
        self._awaited = awaited
        self._admission = admission
        self._dialogs = dialogs
        self._confirmations = confirmations
        self._recovery = recovery
        self._threads = threads
        self._options = options
        self._in_turn = in_turn
        self._activities: dict[Activity, InboxEntry] = {}
        self._rereading: set[asyncio.Task[None]] = set()
        self._stopping = False
        self._watch = Watch()
        self._due = Due(world.clock, self.again)

    @property
    def running(self) -> int:
        """Messages that are being handled now, those that wait for somebody among them."""
        return len(self._activities)

    @property
    def put_off(self) -> int:
        """Messages that failed and are tried again later."""
        return len(self._due)

    async def handle(self, entry: InboxEntry) -> None:
        """Handle an entry until its handlers have ended or wait for somebody's answer."""
        if self._stopping:
            return  # it stays in the inbox
        if entry.attempts or not await self._awaited.take(entry):
            activity = Activity(lambda own: self._work(entry, own), self._watch)
            self._activities[activity] = entry
            await activity.go()
        self._recovery.reached(run_key(entry.seq))

    # ------------------------------------------------------------ ending

    async def drain(self, but: asyncio.Task[Any] | None = None) -> None:
        """Wait until what has begun by now has ended, or waits for somebody."""
        for activity in list(self._activities):
            if activity.task is not but:
                await activity.rest()

    def begin_anew(self, but: asyncio.Task[Any] | None = None) -> None:
        """Cancel what runs, and handle its messages again at once."""
        for activity, entry in list(self._activities.items()):
            if activity.task is not but and not activity.paused:
                activity.cancel()
                self._submit(entry)

    def stop(self) -> None:
        """Begin nothing more."""
        self._stopping = True
        self._due.close()

    async def close(self) -> None:
        """Stop where it is; what has not ended is handled again after the next start."""
        self.stop()
        tasks = [activity.task for activity in self._activities if activity.task is not None]
        tasks += self._rereading
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        self._watch.close()

    # ------------------------------------------------------------ one entry

    async def _work(self, entry: InboxEntry, activity: Activity) -> None:
        journal = self._world.journal
        try:
            run = await journal.begin(run_key(entry.seq), _cause(entry))
            while not await self._attempt(entry, run, activity):
                await journal.flush(run)
                run = await journal.begin(run.key, run.cause)
        except StorageError as error:
            logger.error("a message cannot be handled: %s", error)  # noqa: TRY400 - no surprise
        finally:
            del self._activities[activity]

    async def _attempt(self, entry: InboxEntry, run: Run, activity: Activity) -> bool:
        """Try to handle a message; whether it need not begin anew."""
        try:
            host = await self._host(entry, run, activity)
            with activity.limited(self._options.timeout):
                await host.incoming.generation.inbound(host.outermost())
            if host.failed_with is not None:
                await self._failed(entry, run, host.failed_with, quiet=host.failed_with.quiet)
                return True
            host.end_layers()
            await self._world.journal.end(run, MessageStorage.done(entry.seq))
        except OutdatedError:
            return False
        except Exception as error:  # noqa: BLE001 - middleware may raise anything, and disks fail
            await self._failed(entry, run, error, quiet=entry.kind == "group")
        else:
            self._world.metrics.messages_in[entry.kind] += 1
        return True

    async def _host(self, entry: InboxEntry, run: Run, activity: Activity) -> MessageHost:
        return MessageHost(
            self._world,
            await self._arrivals.incoming(entry, run, activity, self._dialogs),
            self._admission,
            self._confirmations,
            self._threads,
            self._options.timeout,
        )

    # ------------------------------------------------------------ failures

    async def _failed(self, entry: InboxEntry, run: Run, error: Exception, *, quiet: bool) -> None:
        """Put a message off, or park it; the chat hears of it once, the log all of it."""
        attempts, now = entry.attempts + 1, self._world.clock.now()
        ticket = reference()
        cause = error.__cause__ or error
        what = f"[{ticket}] a message in {entry.kind} chat failed (try {attempts}): {error}"
        logger.error(what, exc_info=cause)
        problem = f"{error}: {type(cause).__name__} [{ticket}]"
        parked = attempts >= self._options.tries
        wait = delay(attempts)
        note = (
            park(entry.seq, attempts, problem)
            if parked
            else put_off(entry.seq, attempts, now + wait, problem)
        )
        try:
            await self._world.journal.flush(run)
            apology = [] if quiet or entry.attempts else [await self._apology(entry, run, ticket)]
            await self._world.journal.post(apology, note)
        except StorageError as failure:
            logger.error("the failure of a message cannot be noted: %s", failure)  # noqa: TRY400
            return
        if parked:
            logger.error("[%s] the message is parked", ticket)
            self._world.metrics.parked += 1
        else:
            self._world.metrics.retried += 1
            self._due.add(wait, entry.seq)

    def again(self, seq: int) -> None:
        """Its time has come: bring a message that failed into its lane once more."""
        task = asyncio.create_task(self._reread(seq), name="retry")
        self._rereading.add(task)
        task.add_done_callback(self._rereading.discard)

    async def _reread(self, seq: int) -> None:
        try:
            entries = await self._world.account.messenger.messages.pending(seq - 1, 1)
        except StorageError as error:
            logger.error("the inbox cannot be read: %s", error)  # noqa: TRY400 - no surprise
            return
        for entry in entries:
            if entry.seq == seq:
                self._submit(entry)

    def _submit(self, entry: InboxEntry) -> None:
        self._in_turn(entry.conversation, lambda: self.handle(entry))

    async def _apology(self, entry: InboxEntry, run: Run, ticket: str) -> Message:
        more = " I will try again." if self._options.tries > 1 else ""
        text = f"Sorry, something went wrong (reference {ticket}).{more}"
        message_id = self._world.journal.new_message_id(*run.cause, "apology")
        chat = Chat(entry.conversation, entry.kind)
        return await self._world.outlet.post.compose(chat, Reply(text), message_id)


def run_key(seq: int) -> str:
    """What the journal calls the run of an inbox entry."""
    return f"m:{seq}"


def _cause(entry: InboxEntry) -> tuple[str | int, ...]:
    """What the ids of all answers to a message follow from."""
    message = entry.message
    where = entry.conversation if entry.kind == "group" else ""
    return "m", where, message.from_user, message.id, int(message.is_encrypted)
