"""WhatsAppClient: one account of the messenger, usable with no bot at all.

    from chatbot.client import WhatsAppClient

Nothing is imported before its name is used.
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chatbot.client.client import WhatsAppClient
    from chatbot.client.exceptions import (
        AuthenticationError,
        BackendError,
        ConnectionError,
        DecryptionError,
        HalfMadeGroupError,
        IdentityError,
        MessageSkipError,
        NotSupportedByBackendError,
        PermissionDeniedError,
        SessionNotFoundError,
        StorageError,
        StorageLockedError,
        UsernameExistsError,
        ValidationError,
        WhatsAppClientError,
        WrongPasswordError,
    )
    from chatbot.client.models import (
        ConnectionState,
        ConversationSummary,
        Group,
        GroupEvent,
        GroupMember,
        GroupRole,
        GroupSettings,
        Image,
        Invite,
        ManagedAccount,
        Message,
        MessageStatus,
        PendingIdentity,
        User,
        Verification,
    )
    from chatbot.client.options import ClientOptions
    from chatbot.client.settings import ClientSettings

__all__ = [
    "AuthenticationError",
    "BackendError",
    "ClientOptions",
    "ClientSettings",
    "ConnectionError",
    "ConnectionState",
    "ConversationSummary",
    "DecryptionError",
    "Group",
    "GroupEvent",
    "GroupMember",
    "GroupRole",
    "GroupSettings",
    "HalfMadeGroupError",
    "IdentityError",
    "Image",
    "Invite",
    "ManagedAccount",
    "Message",
    "MessageSkipError",
    "MessageStatus",
    "NotSupportedByBackendError",
    "PendingIdentity",
    "PermissionDeniedError",
    "SessionNotFoundError",
    "StorageError",
    "StorageLockedError",
    "User",
    "UsernameExistsError",
    "ValidationError",
    "Verification",
    "WhatsAppClient",
    "WhatsAppClientError",
    "WrongPasswordError",
]

_MODELS: Final = frozenset(
    {
        "ConnectionState",
        "ConversationSummary",
        "Group",
        "GroupEvent",
        "GroupMember",
        "GroupRole",
        "GroupSettings",
        "Image",
        "Invite",
        "ManagedAccount",
        "Message",
        "MessageStatus",
        "PendingIdentity",
        "User",
        "Verification",
    }
)
_HOMES: Final = MappingProxyType(
    {
        "WhatsAppClient": "chatbot.client.client",
        "ClientOptions": "chatbot.client.options",
        "ClientSettings": "chatbot.client.settings",
    }
    | dict.fromkeys(_MODELS, "chatbot.client.models")
)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    home = _HOMES.get(name, "chatbot.client.exceptions")
    value = globals()[name] = getattr(import_module(home), name)
    return value


def __dir__() -> list[str]:
    """The public names, whether imported yet or not."""
    return __all__
