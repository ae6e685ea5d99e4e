"""Every error the client raises on purpose (SRS 10.3), as one tree.

Messages name what was wrong and what to do; none holds a secret or a message's text.
"""

from __future__ import annotations

from collections.abc import Sequence


class WhatsAppClientError(Exception):
    """Base of all errors of this package."""


class AuthenticationError(WhatsAppClientError):
    """The backend did not accept who we say we are: wrong password, disabled account."""


class PermissionDeniedError(WhatsAppClientError):
    """The backend knows us but does not allow this; the text is the backend's own."""


class ConnectionError(WhatsAppClientError):  # noqa: A001 - the SRS names it so
    """The backend cannot be reached, or the connection broke before the work was done."""


class BackendError(WhatsAppClientError):
    """The backend answered with an error that is not the caller's to mend.

    Attributes:
        status: the HTTP status, or 0 where the answer came over the socket.
    """

    def __init__(self, message: str, *, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class HalfMadeGroupError(BackendError):
    """The backend failed while it made a group, and the group is there all the same.

    Attributes:
        group_id: the group's.
        missing: the user ids that did not become members.
    """

    def __init__(
        self, message: str, *, group_id: str, missing: Sequence[str], status: int = 500
    ) -> None:
        super().__init__(message, status=status)
        self.group_id = group_id
        self.missing = tuple(missing)


class NotSupportedByBackendError(WhatsAppClientError):
    """The SRS names this call, but the backend has no way to do it."""


class ValidationError(WhatsAppClientError):
    """An argument cannot be used: empty, too long, malformed, unknown."""


class UsernameExistsError(ValidationError):
    """Registration: somebody else has this username."""


class SessionNotFoundError(WhatsAppClientError):
    """There is no session with that peer and none can be opened: unknown user, or no keys."""


class DecryptionError(WhatsAppClientError):
    """A message did not decrypt; nothing was changed by trying.

    Attributes:
        reason: one word for programs: `malformed`, `forged`, `used-key`, `no-session`, `replay`,
            `unknown-prekey`, `skip-limit`, `identity`, or the general `undecryptable`.
    """

    def __init__(self, message: str, *, reason: str = "undecryptable") -> None:
        super().__init__(message)
        self.reason = reason


class MessageSkipError(DecryptionError):
    """A message would skip more than 1000 keys in one step."""

    def __init__(self, message: str, *, reason: str = "skip-limit") -> None:
        super().__init__(message, reason=reason)


class IdentityError(WhatsAppClientError):
    """A peer's identity key is not the one that is pinned or published."""


class StorageError(WhatsAppClientError):
    """The local databases cannot be read or written: permissions, a full disk, damage."""


class WrongPasswordError(StorageError):
    """The storage password does not open the vault; nothing on disk was changed."""


class StorageLockedError(StorageError):
    """Another process has this account open.

    Attributes:
        pid: that process's id, or None where it could not be read.
    """

    def __init__(self, message: str, *, pid: int | None = None) -> None:
        super().__init__(message)
        self.pid = pid
