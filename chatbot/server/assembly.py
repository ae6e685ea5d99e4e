"""The parts of the backend, put together."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web
from aiohttp.typedefs import Middleware

from chatbot.server.accounts import Accounts
from chatbot.server.admin import Admin
from chatbot.server.authentication import Guard
from chatbot.server.gate import Gate
from chatbot.server.gateway import Gateway
from chatbot.server.groups import Groups
from chatbot.server.http import add_headers, answer_errors
from chatbot.server.invites import Invites
from chatbot.server.keys import Keys
from chatbot.server.members import Members
from chatbot.server.messages import Messages
from chatbot.server.passwords import Passwords
from chatbot.server.presence import Presence
from chatbot.server.relay import Relay
from chatbot.server.resources import Resources
from chatbot.server.tokens import Tokens


@dataclass(frozen=True, slots=True)
class Parts:
    """What the server itself holds on to."""

    application: web.Application
    gate: Gate
    gateway: Gateway


class Assembly:
    """Builds the parts. Whoever wants one that behaves otherwise overrides the method it is of."""

    def presence(self) -> Presence:
        """Who is online."""
        return Presence()

    def guard(self, resources: Resources, tokens: Tokens, *, browser_compat: bool) -> Guard:
        """Who may call."""
        return Guard(resources.database, tokens, browser_compat=browser_compat)

    def keys(self, resources: Resources) -> Keys:
        """The calls about key material."""
        return Keys(resources)

    def groups(self, resources: Resources) -> Groups:
        """The calls about groups."""
        return Groups(resources)

    def messages(self, resources: Resources) -> Messages:
        """The calls about 1:1 messages."""
        return Messages(resources)

    def relay(self, resources: Resources, presence: Presence, messages: Messages) -> Relay:
        """What frames do."""
        return Relay(resources, presence, messages)

    def gateway(
        self, resources: Resources, guard: Guard, presence: Presence, relay: Relay
    ) -> Gateway:
        """The sockets."""
        return Gateway(resources, guard, presence, relay)

    def middlewares(self) -> list[Middleware]:
        """What stands around every handler, outermost first."""
        return [answer_errors]

    def build(
        self,
        resources: Resources,
        passwords: Passwords,
        tokens: Tokens,
        *,
        browser_compat: bool,
    ) -> Parts:
        """Return the whole, ready to listen."""
        gate = Gate(resources.limits)
        guard = self.guard(resources, tokens, browser_compat=browser_compat)
        presence = self.presence()
        messages = self.messages(resources)
        members = Members(resources)
        gateway = self.gateway(
            resources, guard, presence, self.relay(resources, presence, messages)
        )
        application = web.Application(middlewares=[gate.middleware, *self.middlewares()])
        application.on_response_prepare.append(add_headers)
        application.add_routes(
            [
                *Accounts(resources, passwords, tokens).routes(),
                *self.keys(resources).routes(guard),
                *messages.routes(guard),
                *Invites(resources, members).routes(guard),
                *self.groups(resources).routes(guard),
                *members.routes(guard),
                *Admin(resources, presence).routes(guard),
                *gateway.routes(),
            ]
        )
        return Parts(application, gate, gateway)
