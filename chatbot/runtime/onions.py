"""The onions of one generation: plugins' middleware around dispatching, and around the outlet."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import cast

from chatbot.client.models import Message
from chatbot.plugins.context import Context
from chatbot.plugins.endpoints import MiddlewareEntry
from chatbot.plugins.onion import Inbound, Outgoing
from chatbot.runtime.context import Layers, MessageContext
from chatbot.runtime.dispatch import dispatch
from chatbot.runtime.generation import Generation
from chatbot.runtime.middleware import bound, compose
from chatbot.runtime.table import Table


def build_generation(
    table: Table,
    outlet: Callable[[Outgoing], Awaitable[Message | None]],
    shipped: Sequence[Inbound] = (),
) -> Generation:
    """Compose the onions of a table, once.

    Args:
        outlet: the inside of the outbound one.
        shipped: inbound middleware outside of what plugins declare, outermost first.
    """

    async def inside(ctx: Context) -> None:
        await dispatch(table, ctx, _of(ctx).incoming.routed, _layers(ctx))

    return Generation(
        table,
        inbound=compose((*shipped, *bound(table.inbound, _inbound)), inside),
        outbound=compose(bound(table.outbound, _outbound), outlet),
    )


def _inbound(ctx: Context, entry: MiddlewareEntry) -> Context:
    return _layers(ctx).layer(entry)


def _outbound(out: Outgoing, entry: MiddlewareEntry) -> Outgoing:
    if not isinstance(out.cause, MessageContext):
        return out
    return replace(out, cause=_layers(out.cause).layer(entry))


def _of(ctx: Context) -> MessageContext:
    return cast("MessageContext", ctx)


def _layers(ctx: Context) -> Layers:
    host = _of(ctx).incoming.host
    assert host is not None  # noqa: S101 - set before the onion is entered
    return host
