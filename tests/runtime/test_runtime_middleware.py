from __future__ import annotations

from collections.abc import Awaitable, Callable

from chatbot import Context, InboundNext, OutboundNext, Outgoing, Plugin
from chatbot.client.models import Message
from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.endpoints import MiddlewareEntry
from chatbot.plugins.people import Chat
from chatbot.plugins.replies import Reply
from chatbot.runtime.middleware import Layer, bound, compose
from chatbot.runtime.table import build_table


def marking(name: str) -> Layer[str, str]:
    async def layer(value: str, call_next: Callable[[str], Awaitable[str]]) -> str:
        return f"{name}({await call_next(value + name)})"

    return layer


async def core(value: str) -> str:
    return f"[{value}]"


async def test_the_first_layer_is_the_outermost() -> None:
    onion = compose([marking("a"), marking("b")], core)
    assert await onion("x") == "a(b([xab]))"
    assert await onion("y") == "a(b([yab]))"


async def test_without_layers_there_is_only_the_core() -> None:
    assert await compose([], core)("x") == "[x]"


async def test_a_layer_may_hold_back_change_and_look_at_what_was_raised() -> None:
    seen: list[str] = []

    async def closed(_value: str, _next: Callable[[str], Awaitable[str]]) -> str:
        return "closed"

    async def watching(value: str, call_next: Callable[[str], Awaitable[str]]) -> str:
        try:
            return await call_next(value)
        except ValueError as error:
            seen.append(str(error))
            return "mended"

    async def failing(value: str) -> str:
        raise ValueError(value)

    assert await compose([closed, marking("a")], failing)("x") == "closed"
    assert await compose([watching, marking("a")], failing)("x") == "mended"
    assert seen == ["xa"]


async def outermost(ctx: Context, call_next: InboundNext) -> None:
    await call_next(ctx)


async def inner(ctx: Context, call_next: InboundNext) -> None:
    await call_next(ctx)


async def innermost(ctx: Context, call_next: InboundNext) -> None:
    await call_next(ctx)


async def signing(out: Outgoing, call_next: OutboundNext) -> Message | None:
    return await call_next(out.with_text(f"{out.reply.text} - {out.plugin}"))


def test_the_order_is_given_and_otherwise_that_of_loading() -> None:
    first, second = Plugin("first"), Plugin("second")
    first.middleware("inbound")(inner)
    first.middleware("outbound")(signing)
    second.middleware("inbound")(innermost)
    second.middleware("inbound", order=-1)(outermost)
    table = build_table([compile_plugin(first)[0], compile_plugin(second)[0]])
    assert [entry.function for entry in table.inbound] == [outermost, inner, innermost]
    assert [entry.function for entry in table.outbound] == [signing]


async def test_each_middleware_is_called_in_its_own_plugins_name() -> None:
    plugins = [Plugin("first"), Plugin("second")]
    for plugin in plugins:
        plugin.middleware("outbound")(signing)
    table = build_table([compile_plugin(plugin)[0] for plugin in plugins])
    sent: list[str] = []

    async def send(out: Outgoing) -> None:
        sent.append(out.reply.text)

    def bind(out: Outgoing, entry: MiddlewareEntry) -> Outgoing:
        return Outgoing(chat=out.chat, reply=out.reply, plugin=entry.plugin)

    onion = compose(bound(table.outbound, bind), send)
    await onion(Outgoing(chat=Chat("x", "direct"), reply=Reply("hi", private=True), plugin="any"))
    assert sent == ["hi - first - second"]
