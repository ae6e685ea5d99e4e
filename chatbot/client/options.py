"""What a client may be told, as plain values: `ClientSettings` reads them from files."""

from __future__ import annotations

from dataclasses import dataclass, field

from chatbot.client.crypto.key_manager import PrekeyPolicy
from chatbot.client.crypto.vault import Argon2Parameters
from chatbot.client.messaging.composing import ImagePolicy
from chatbot.client.messaging.messenger import MessagingOptions

__all__ = ["ClientOptions", "ImagePolicy"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClientOptions:
    """How a client behaves.

    Attributes:
        ws_url: the socket's URL where it is not the server's with `/ws`.
        allow_insecure: accept clear text to other machines than this.
        trusted_server: believe a backend that says it authenticates its sockets.
        auto_reconnect: connect again when the connection is lost.
        reconnect_delay: seconds before the second attempt; then it doubles, up to 30 s.
        max_reconnect_attempts: None to go on for ever.
        images: `auto` encrypts for peers known to read it, `encrypted` refuses rather than sends
            in clear, `browser` always sends the form that browsers show.
        argon2: what deriving the storage key costs; cheap ones are for tests.
    """

    ws_url: str | None = None
    allow_insecure: bool = False
    trusted_server: bool = False
    auto_reconnect: bool = True
    reconnect_delay: float = 3.0
    max_reconnect_attempts: int | None = None
    images: ImagePolicy = "auto"
    messaging: MessagingOptions = field(default_factory=MessagingOptions)
    prekeys: PrekeyPolicy = field(default_factory=PrekeyPolicy)
    argon2: Argon2Parameters | None = None
