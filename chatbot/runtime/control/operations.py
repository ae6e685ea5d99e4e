"""The operations: each says what it needs, what it gives, and what it does to its target."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

from msgspec import Struct

from chatbot.client.crypto.identity import normalize_fingerprint
from chatbot.client.exceptions import IdentityError
from chatbot.runtime.control import parked
from chatbot.runtime.control.findings import Finding, examine
from chatbot.runtime.control.parked import Parked
from chatbot.runtime.control.target import Target
from chatbot.runtime.status import Status, snapshot

T = TypeVar("T")


class Operation(Struct, Generic[T], frozen=True, tag_field="operation", forbid_unknown_fields=True):
    """One thing that an operator does.

    Attributes:
        result: the type of what it gives.
        needs_backend: whether it asks the backend.
    """

    result: ClassVar[Any] = None
    needs_backend: ClassVar[bool] = False

    @abstractmethod
    async def run(self, target: Target) -> T:
        """Do it; raises a WhatsAppClientError where it cannot be done."""


class ListParked(Operation[list[Parked]], frozen=True, tag="inbox.list"):
    """The messages and job runs that were given up, the oldest first."""

    result: ClassVar = list[Parked]

    async def run(self, target: Target) -> list[Parked]:
        """Read them."""
        return await parked.parked(target)


class ShowParked(Operation[Parked], frozen=True, tag="inbox.show"):
    """One of them with its text."""

    result: ClassVar = Parked
    id: str

    async def run(self, target: Target) -> Parked:
        """Read it."""
        return await parked.show(target, self.id)


class RetryParked(Operation[None], frozen=True, tag="inbox.retry"):
    """Try one of them once more."""

    id: str

    async def run(self, target: Target) -> None:
        """Put it back."""
        await parked.retry(target, self.id)


class DropParked(Operation[None], frozen=True, tag="inbox.drop"):
    """Never try one of them again."""

    id: str

    async def run(self, target: Target) -> None:
        """Forget it."""
        await parked.drop(target, self.id)


class ReadStatus(Operation[Status], frozen=True, tag="status"):
    """How the bot is doing."""

    result: ClassVar = Status

    async def run(self, target: Target) -> Status:
        """Look."""
        return await snapshot(target)


class Examine(Operation[list[Finding]], frozen=True, tag="examine"):
    """What is wrong with the account, its keys and its queues, and whether the backend answers."""

    result: ClassVar = list[Finding]
    needs_backend: ClassVar = True

    async def run(self, target: Target) -> list[Finding]:
        """Look at all of it."""
        return await examine(target)


class WriteBackup(Operation[None], frozen=True, tag="backup"):
    """Seal the whole account into one new file.

    Attributes:
        path: absolute.
        password: of the backup.
    """

    path: str
    password: str

    def __repr__(self) -> str:
        return f"<WriteBackup {self.path}>"

    async def run(self, target: Target) -> None:
        """Write it."""
        await target.account.backup(Path(self.path), self.password)


class ChangePassword(Operation[None], frozen=True, tag="password"):
    """Change the storage password."""

    old: str
    new: str

    def __repr__(self) -> str:
        return "<ChangePassword>"

    async def run(self, target: Target) -> None:
        """Wrap the data key anew."""
        await target.account.keys.change_password(self.old, self.new)


class Trust(Operation[str], frozen=True, tag="trust"):
    """Accept somebody's changed identity and give it the privileges of the old one.

    Attributes:
        peer: a user id, or else an exact user name.
        fingerprint: trust this one only, in any spacing and case.
    """

    result: ClassVar = str
    needs_backend: ClassVar = True
    peer: str
    fingerprint: str | None = None

    async def run(self, target: Target) -> str:
        """Trust it; gives the fingerprint that is trusted now."""
        client = target.client
        user = await target.account.directory.resolve(self.peer)
        pending: Sequence[str] = [p.peer_id for p in await client.list_pending_identities()]
        if user.id in pending:
            await client.accept_identity(user.id, self.fingerprint)
        trusted = await client.get_peer_fingerprint(user.id)
        if self.fingerprint is not None and normalize_fingerprint(self.fingerprint) != trusted:
            raise IdentityError(
                f"{self.peer} has another fingerprint: {trusted}. What to do: compare it with them"
            )
        await client.trust(user.id)
        if target.parts is not None:
            target.parts.world.people.forget(user.id)
        return trusted


AnyOperation = (
    ListParked
    | ShowParked
    | RetryParked
    | DropParked
    | ReadStatus
    | Examine
    | WriteBackup
    | ChangePassword
    | Trust
)
