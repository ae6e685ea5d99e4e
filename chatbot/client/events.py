"""The decorators of SRS 5.3 and what stands behind them.

Handlers never run in the receive loop. Those of one conversation run one after the other, in the
order of the messages; one that raises is logged and harms nobody else. A message that arrives
before there is a handler stays in the inbox until there is one.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from typing import Any, Final, TypeVar

from chatbot.client.crypto.identity import fingerprint
from chatbot.client.lanes import Lanes
from chatbot.client.messaging.inbox import Inbox
from chatbot.client.models import ConnectionState, Message, MessageStatus
from chatbot.client.storage.database import Database
from chatbot.client.storage.message_storage import InboxEntry, MessageStorage

Handler = TypeVar("Handler", bound=Callable[..., Any])

logger = logging.getLogger(__name__)

_MESSAGE_EVENTS: Final = {"direct": "message", "group": "group_message"}


class EventHandlers:
    """Registers handlers; each method is a decorator that returns its handler unchanged."""

    def __init__(self) -> None:
        self._handlers: dict[str, list[Callable[..., Any]]] = defaultdict(list)
        self.on_register: Callable[[], None] | None = None

    def on_message(self, handler: Handler) -> Handler:
        """Call `handler(message)` for every 1:1 message."""
        return self._register("message", handler)

    def on_group_message(self, handler: Handler) -> Handler:
        """Call `handler(message)` for every group message; `message.group_id` says where."""
        return self._register("group_message", handler)

    def on_message_status(self, handler: Handler) -> Handler:
        """Call `handler(message_id, status)` when a message of ours got further."""
        return self._register("message_status", handler)

    def on_typing(self, handler: Handler) -> Handler:
        """Call `handler(user_id, is_typing)`; silence for 5 s ends typing."""
        return self._register("typing", handler)

    def on_group_typing(self, handler: Handler) -> Handler:
        """Call `handler(group_id, user_id, is_typing)`."""
        return self._register("group_typing", handler)

    def on_presence(self, handler: Handler) -> Handler:
        """Call `handler(user_id, online)` when somebody came or went."""
        return self._register("presence", handler)

    def on_connection_change(self, handler: Handler) -> Handler:
        """Call `handler(connected)` when the connection is up or lost."""
        return self._register("connection_change", handler)

    def on_connection_state(self, handler: Handler) -> Handler:
        """Call `handler(state)`: connecting, connected, reconnecting or disconnected."""
        return self._register("connection_state", handler)

    def on_undecryptable(self, handler: Handler) -> Handler:
        """Call `handler(peer_id, reason)` for a message that could not be decrypted."""
        return self._register("undecryptable", handler)

    def on_identity_changed(self, handler: Handler) -> Handler:
        """Call `handler(peer_id, old, new)` with fingerprints when a peer's identity changed.

        Under the identity policy `ask` its boolean decides; no answer within 60 s means no.
        """
        return self._register("identity_changed", handler)

    def on_group_event(self, handler: Handler) -> Handler:
        """Call `handler(group_id, payload)`; any member can send anything as an event."""
        return self._register("group_event", handler)

    def on_group_read(self, handler: Handler) -> Handler:
        """Call `handler(group_id, message_id, user_id)` when somebody read a group message."""
        return self._register("group_read", handler)

    def on_send_failed(self, handler: Handler) -> Handler:
        """Call `handler(message, error)` for a queued message that cannot be sent."""
        return self._register("send_failed", handler)

    def on_error(self, handler: Handler) -> Handler:
        """Call `handler(text)` when the backend complains about some frame of ours."""
        return self._register("error", handler)

    def handles(self, event: str) -> bool:
        """Whether anybody listens."""
        return bool(self._handlers.get(event))

    async def emit(self, event: str, *arguments: Any) -> list[Any]:
        """Call an event's handlers one after the other; returns what they returned."""
        results = []
        for handler in tuple(self._handlers.get(event, ())):
            try:
                result = handler(*arguments)
                if inspect.isawaitable(result):
                    result = await result
                results.append(result)
            except Exception:
                logger.exception("a handler of %s failed", event)
        return results

    def _register(self, event: str, handler: Handler) -> Handler:
        self._handlers[event].append(handler)
        if self.on_register is not None:
            self.on_register()
        return handler


class EventDispatcher:
    """Takes what the engine reports to the handlers, and messages from the inbox to theirs.

    Args:
        consumer: takes every stored message instead of the handlers; a bot's runtime is one.
    """

    def __init__(
        self,
        handlers: EventHandlers,
        *,
        consumer: Callable[[InboxEntry], None] | None = None,
    ) -> None:
        self._handlers = handlers
        self._consumer = consumer
        self._lanes = Lanes()
        self._inboxes: dict[str, Inbox] = {}
        self._waiters: dict[tuple[str, str], asyncio.Future[Message]] = {}
        self._database: Database | None = None

    def attach(self, database: Database, messages: MessageStorage) -> None:
        """Begin to hand out what is stored, to whoever listens."""
        self._database = database
        self._inboxes = {
            "direct": Inbox(messages, partial(self._handle, "message"), kind="direct"),
            "group": Inbox(messages, partial(self._handle, "group_message"), kind="group"),
        }
        self.listeners_changed()

    def listeners_changed(self) -> None:
        """Somebody registered a handler: what waited for one is handed out."""
        for kind, event in _MESSAGE_EVENTS.items():
            if self._consumer is None and self._handlers.handles(event) and kind in self._inboxes:
                self._inboxes[kind].start()

    async def close(self) -> None:
        """Stop; messages whose handlers have not finished stay in the inbox."""
        for inbox in self._inboxes.values():
            await inbox.close()
        await self._lanes.close()

    async def wait_for(self, from_user: str, message_id: str) -> Message:
        """The message with this id, once it is received."""
        key = (from_user, message_id)
        waiter = self._waiters.setdefault(key, asyncio.get_running_loop().create_future())
        try:
            return await asyncio.shield(waiter)
        finally:
            self._waiters.pop(key, None)

    async def _handle(self, event: str, entry: InboxEntry) -> None:
        await self._handlers.emit(event, entry.message)
        if self._database is not None:
            await self._database.write(MessageStorage.done(entry.seq))

    # ------------------------------------------------------------ what the engine reports

    def arrived(self, entry: InboxEntry) -> None:
        """A message is stored."""
        waiter = self._waiters.get((entry.message.from_user, entry.message.id))
        if waiter is not None and not waiter.done():
            waiter.set_result(entry.message)
        if self._consumer is not None:
            self._consumer(entry)
        elif self._handlers.handles(_MESSAGE_EVENTS[entry.kind]):
            self._inboxes[entry.kind].arrived(entry)

    def status_changed(self, message_id: str, status: MessageStatus) -> None:
        """One of our messages got further."""
        self._emit(message_id, "message_status", message_id, status)

    def undecryptable(self, peer_id: str, reason: str) -> None:
        """A message could not be decrypted."""
        logger.warning("a message from %s could not be decrypted: %s", peer_id, reason)
        self._emit(peer_id, "undecryptable", peer_id, reason)

    def identity_changed(self, peer_id: str, old: bytes, new: bytes) -> None:
        """A peer published another identity."""
        logger.warning("the identity of %s changed", peer_id)
        self._emit(peer_id, "identity_changed", peer_id, fingerprint(old), fingerprint(new))

    async def accepts_identity(self, peer_id: str, old: bytes, new: bytes) -> bool:
        """The handlers' word on a changed identity: one that says True, and none that says False.

        A handler that returns something else has only been told.
        """
        logger.warning("the identity of %s changed", peer_id)
        said = await self._handlers.emit(
            "identity_changed", peer_id, fingerprint(old), fingerprint(new)
        )
        return True in said and False not in said

    def failed(self, message: Message, error: Exception) -> None:
        """A queued message cannot be sent."""
        logger.warning("a message to %s cannot be sent: %s", message.to_user, error)
        self._emit(message.to_user, "send_failed", message, error)

    def typing(self, user_id: str, *, typing: bool, group_id: str | None) -> None:
        """Somebody started or stopped typing."""
        if group_id is None:
            self._emit(user_id, "typing", user_id, typing)
        else:
            self._emit(group_id, "group_typing", group_id, user_id, typing)

    def presence(self, user_id: str, online: bool) -> None:
        """Somebody came or went."""
        self._emit(user_id, "presence", user_id, online)

    def group_event(self, group_id: str, payload: dict[str, Any]) -> None:
        """Somebody sent an event to a group."""
        self._emit(group_id, "group_event", group_id, payload)

    def group_read(self, group_id: str, message_id: str, user_id: str) -> None:
        """Somebody read a group message."""
        self._emit(group_id, "group_read", group_id, message_id, user_id)

    def error(self, message: str) -> None:
        """The backend complained."""
        logger.warning("the backend complains: %s", message[:200])
        self._emit("", "error", message)

    def connection(self, state: ConnectionState) -> None:
        """The connection is in another state."""
        self._emit("", "connection_state", state)
        if state in {"connected", "reconnecting", "disconnected"}:
            self._emit("", "connection_change", state == "connected")

    def _emit(self, key: str, event: str, *arguments: Any) -> None:
        if self._handlers.handles(event):
            self._lanes.submit(key, lambda: self._run(event, *arguments))

    async def _run(self, event: str, *arguments: Any) -> None:
        await self._handlers.emit(event, *arguments)
