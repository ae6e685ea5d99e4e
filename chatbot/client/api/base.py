"""What all parts of the client's interface stand on."""

from __future__ import annotations

from abc import ABC, abstractmethod

from chatbot.client.account import Account
from chatbot.client.options import ClientOptions


class Api(ABC):
    """A part of WhatsAppClient's interface."""

    _options: ClientOptions

    @property
    @abstractmethod
    def _account(self) -> Account:
        """The account that is logged in.

        Raises:
            ValidationError: none is.
        """
