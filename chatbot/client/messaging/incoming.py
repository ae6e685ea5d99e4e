"""The frames that the socket brings, dealt out to those whom they concern."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import msgspec

from chatbot import wire
from chatbot.client.exceptions import PermissionDeniedError
from chatbot.client.transport.errors import printable

from .catching_up import CatchUp
from .group_messages import GroupMessages
from .ports import Observer, Refusable
from .presence import Presence, TypingTimers
from .receiving import Receiver
from .sending import Sender

logger = logging.getLogger(__name__)


class IncomingFrames:
    """Decodes each frame and calls what handles it; called by the reader, so nothing waits.

    Args:
        me: our own user id.
    """

    def __init__(
        self,
        *,
        me: str,
        sender: Sender,
        receiver: Receiver,
        catch_up: CatchUp,
        groups: GroupMessages,
        presence: Presence,
        observer: Observer,
    ) -> None:
        self._me = me
        self._sender = sender
        self._receiver = receiver
        self._catch_up = catch_up
        self._groups = groups
        self._presence = presence
        self._observer = observer
        self._typing = TypingTimers(self._typing_ended)
        self._handlers = self._table()

    def disconnected(self) -> None:
        """Nobody types any more, for all we know."""
        self._typing.clear()

    def on_frame(self, frame: wire.Frame) -> None:
        """Take one frame from the socket; a malformed payload is dropped."""
        entry = self._handlers.get(frame.type)
        if entry is None:
            logger.debug("a frame of an unknown type was ignored")
            return
        decoder, handler = entry
        try:
            payload = decoder.decode(frame.payload)
        except (msgspec.MsgspecError, UnicodeError, RecursionError):
            logger.warning("dropped a malformed %s frame", frame.type)
            return
        handler(payload)

    def _table(self) -> dict[str, tuple[msgspec.json.Decoder[Any], Callable[[Any], None]]]:
        handlers: dict[str, tuple[Any, Callable[[Any], None]]] = {
            "message": (wire.MessageFrame, self._on_message),
            "online": (wire.OnlineFrame, self._on_online),
            "status": (wire.StatusFrame, self._on_status),
            "read": (wire.ReadFrame, self._on_read),
            "typing": (wire.TypingFrame, self._on_typing),
            "group_message": (wire.GroupMessageFrame, self._groups.accept),
            "group_typing": (wire.GroupTypingFrame, self._on_group_typing),
            "group_read": (wire.GroupReadFrame, self._on_group_read),
            "group_event": (dict[str, Any], self._on_group_event),
            "error": (wire.ErrorFrame, self._on_error),
        }
        return {kind: (msgspec.json.Decoder(t), h) for kind, (t, h) in handlers.items()}

    # ------------------------------------------------------------ one to one

    def _on_message(self, frame: wire.MessageFrame) -> None:
        if frame.from_ == self._me:
            self._sender.echoed(frame)
        elif frame.to == self._me:
            self._catch_up.heard_from(frame.from_)
            self._receiver.accept(frame)

    def _on_online(self, frame: wire.OnlineFrame) -> None:
        for user in frame.users or ():
            self._seen_online(user.user_id, online=user.online)
        if frame.user_id is not None and frame.online is not None:
            self._seen_online(frame.user_id, online=frame.online)

    def _seen_online(self, user_id: str, *, online: bool) -> None:
        if user_id == self._me:
            return
        self._presence.update(user_id, online=online)
        if online:
            self._sender.peer_online(user_id)

    def _on_status(self, frame: wire.StatusFrame) -> None:
        match frame.status:
            case "delivered" | "read" as status:
                self._sender.advance(frame.message_id, status)

    def _on_read(self, frame: wire.ReadFrame) -> None:
        for message_id in frame.message_ids[: wire.STATUS_BATCH * 10]:
            self._sender.advance(message_id, "read")

    def _on_typing(self, frame: wire.TypingFrame) -> None:
        if frame.from_ is not None and self._typing.set(frame.from_, typing=frame.typing):
            self._observer.typing(frame.from_, typing=frame.typing, group_id=None)

    def _typing_ended(self, key: str) -> None:
        group_id, _, user_id = key.rpartition("\x00")
        self._observer.typing(user_id, typing=False, group_id=group_id or None)

    # ------------------------------------------------------------ groups

    def _on_group_typing(self, frame: wire.GroupTypingFrame) -> None:
        user_id = frame.user_id
        if user_id is None or user_id == self._me:
            return
        if self._typing.set(f"{frame.group_id}\x00{user_id}", typing=frame.typing):
            self._observer.typing(user_id, typing=frame.typing, group_id=frame.group_id)

    def _on_group_read(self, frame: wire.GroupReadFrame) -> None:
        if frame.user_id is not None:
            self._observer.group_read(frame.group_id, frame.message_id, frame.user_id)

    def _on_group_event(self, payload: dict[str, Any]) -> None:
        group_id = payload.get("groupId")
        if isinstance(group_id, str):
            self._observer.group_event(group_id, payload)

    # ------------------------------------------------------------ errors

    def _on_error(self, frame: wire.ErrorFrame) -> None:
        words = printable(frame.message)
        if not self._blame(words):
            self._observer.error(words)

    def _blame(self, words: str) -> bool:
        """Find the message that the backend refuses; False if none can be meant.

        The error names none. But the backend serves the frames of a socket in order, so it is the
        oldest un-echoed one of those that can be refused in these words.
        """
        about_images = "images" in words
        grouped = self._groups.in_flight(images_only=about_images)
        if not about_images:
            return "group" in words.lower() and self._refuse(grouped, words)
        flights = [f for f in (grouped, self._sender.image_in_flight()) if f is not None]
        return self._refuse(min(flights, key=lambda f: f.sent_at, default=None), words)

    @staticmethod
    def _refuse(flight: Refusable | None, words: str) -> bool:
        if flight is None:
            return False
        flight.refuse(PermissionDeniedError(words))
        return True
