"""What all parts of the client's interface stand on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable

from chatbot.client.account import Account
from chatbot.client.exceptions import ValidationError
from chatbot.client.models import Message, User
from chatbot.client.options import ClientOptions


class Api(ABC):
    """A part of WhatsAppClient's interface.

    Wherever a user is asked for, an exact username does as well as a user id.
    """

    _options: ClientOptions

    @property
    @abstractmethod
    def _account(self) -> Account:
        """The account that is logged in.

        Raises:
            ValidationError: none is.
        """

    async def _user_id(self, name: str) -> str:
        """The id of a user given by id or exact username.

        Raises:
            ValidationError: there is no such user.
        """
        user = await self._account.directory.find(name)
        if user is None:
            raise ValidationError(f"there is no user {name!r}: give a user id or exact username")
        return user.id

    async def _user_ids(self, names: Iterable[str]) -> list[str]:
        """The ids of several users, each once; raises like `_user_id`."""
        if isinstance(names, str):
            raise ValidationError(f"give a list of users, not the text {names!r}")
        return list(dict.fromkeys([await self._user_id(name) for name in names]))

    async def _recipient(self, name: str) -> User:
        """Somebody to write to.

        Raises:
            SessionNotFoundError: there is no such user.
            ValidationError: it is ourselves.
        """
        account = self._account
        user = await account.directory.resolve(name)
        if user.id == account.user.id:
            raise ValidationError(
                "a message to oneself cannot be encrypted: name another user, or register a second"
                " account to write to"
            )
        return user

    def _expires_at(self, message: Message) -> int:
        """When (ms) a message is given up."""
        return message.timestamp + self._account.messenger.options.outbox_age
