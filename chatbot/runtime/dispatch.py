"""A message's way through the table: filters that come first, the command, the other filters.

Here is only the order of things. What it means to run a handler (journal, time limit, lane), to
admit somebody or to answer is the host's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol, TypeAlias

from chatbot.plugins.context import Context
from chatbot.plugins.endpoints import Call, CommandEndpoint, FilterEndpoint
from chatbot.plugins.errors import UsageError
from chatbot.plugins.filters import Captures
from chatbot.plugins.text import quoted
from chatbot.runtime.routing import Node, Route, Routed, Unknown
from chatbot.runtime.table import Table

Target: TypeAlias = CommandEndpoint | FilterEndpoint

_MAX_LISTED: Final = 20


class Host(Protocol):
    """What dispatching needs of the running bot."""

    def bind(self, ctx: Context, endpoint: Target) -> Context:
        """The context for that endpoint's handler: with its plugin's store, logger and so on."""

    async def admit(self, endpoint: Target, ctx: Context) -> bool:
        """Whether the writer may use it now; where not, and it is a command, says so."""

    def visible(self, endpoint: CommandEndpoint, ctx: Context) -> bool:
        """Whether the writer may know of that command."""

    async def run(self, endpoint: Target, ctx: Context, call: Call) -> None:
        """Run a handler and send what it answers; what it raises stays here."""

    async def answer(self, ctx: Context, text: str) -> None:
        """Answer in the bot's own name."""

    def failed(self, endpoint: FilterEndpoint, error: Exception) -> None:
        """Report a filter that raised; it counts as one that does not let the message through."""


async def dispatch(table: Table, ctx: Context, routed: Routed, host: Host) -> None:
    """Bring a message to its handlers.

    Args:
        table: the generation that handles it.
        ctx: the message.
        routed: what `table.commands.route` made of its text.
        host: the running bot.
    """
    for endpoint in table.before:
        if await _offer(endpoint, ctx, host):
            return
    if isinstance(routed, Route):
        await _command(routed, ctx, host)
        return
    for endpoint in table.after:
        if await _offer(endpoint, ctx, host):
            return
    if isinstance(routed, Unknown) and ctx.chat.kind == "direct":
        await host.answer(ctx, _unknown(table, routed, ctx, host))


async def _offer(endpoint: FilterEndpoint, ctx: Context, host: Host) -> bool:
    """Let one filter have the message; whether the message is done with then."""
    captures: Captures = {}
    try:
        if not endpoint.check(ctx, captures):
            return False
    except Exception as error:  # noqa: BLE001 - an author's predicate may raise anything
        host.failed(endpoint, error)
        return False
    own = host.bind(ctx, endpoint)
    if not await host.admit(endpoint, own):
        return False
    call = await endpoint.bind(captures, own)
    if call is None:
        return False
    await host.run(endpoint, own, call)
    return endpoint.stop


async def _command(route: Route, ctx: Context, host: Host) -> None:
    endpoint = route.node.endpoint
    if endpoint is None:
        await host.answer(ctx, _listing(route, ctx, host))
        return
    own = host.bind(ctx, endpoint)
    if not await host.admit(endpoint, own):
        return
    try:
        call = await endpoint.bind(route.arguments, own)
    except UsageError as error:
        await host.answer(own, usage_answer(error, endpoint, ctx.prefix))
    else:
        await host.run(endpoint, own, call)


def usage_answer(error: UsageError, endpoint: CommandEndpoint, prefix: str) -> str:
    """What is answered to arguments that do not fit: what is wrong, and how it is meant."""
    return f"{error}\nusage: {endpoint.usage(prefix)}"


def _unknown(table: Table, unknown: Unknown, ctx: Context, host: Host) -> str:
    near = table.commands.suggest(unknown.name, lambda endpoint: host.visible(endpoint, ctx))
    text = f"There is no command {quoted(unknown.name)}."
    if near:
        text += f" Did you mean {' or '.join(ctx.prefix + name for name in near)}?"
    return text


def _listing(route: Route, ctx: Context, host: Host) -> str:
    """What is below a name that does nothing by itself."""
    path = " ".join(route.node.path)
    below = sorted({c.path: c for c in route.node.children.values()}.items())
    shown = [child for _, child in below if _may_see(child, lambda e: host.visible(e, ctx))]
    lines = [f"{ctx.prefix}{' '.join(child.path)}" for child in shown[:_MAX_LISTED]]
    if not lines:
        return f"There is nothing for you below {ctx.prefix}{path}."
    return "\n".join((f"Below {ctx.prefix}{path} there are:", *lines))


def _may_see(node: Node, visible: Callable[[CommandEndpoint], bool]) -> bool:
    if node.endpoint is not None:
        return not node.endpoint.hidden and visible(node.endpoint)
    return any(_may_see(child, visible) for child in node.children.values())
