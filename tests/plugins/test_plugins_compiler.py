from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import pytest
from doubles.plugin_world import MemoryContext, MemoryGroup, make_context, make_message, on_the_loop
from pydantic import BaseModel

from chatbot import (
    Bot,
    Context,
    Cooldown,
    Group,
    InboundNext,
    Message,
    Plugin,
    Rest,
    Role,
    Scheduler,
    Sql,
    Store,
    UsageError,
    User,
    events,
    filters,
)
from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.declarations import FilterDeclaration
from chatbot.plugins.durations import Limit, Rate
from chatbot.plugins.endpoints import CommandEndpoint, CompiledPlugin, Schedule


class Config(BaseModel):
    greeting: str = "hello"


@dataclass(frozen=True)
class Colour:
    name: str


@dataclass(frozen=True)
class Database:
    owner: str


@dataclass(frozen=True)
class Repository:
    database: Database
    prefix: str = "r"


class Unknown:
    pass


def compiled(plugin: Plugin, **options: Any) -> CompiledPlugin:
    result, problems = compile_plugin(plugin, **options)
    assert problems == ()
    return result


def problems(plugin: Plugin, **options: Any) -> list[str]:
    return [problem.message for problem in compile_plugin(plugin, **options)[1]]


async def run(endpoint: CommandEndpoint, text: str = "", ctx: MemoryContext | None = None) -> Any:
    call = await endpoint.bind(text, ctx or make_context())
    return await call.run(on_the_loop)


# ---------------------------------------------------------------- commands


def described(ctx: Context, name: str, count: int = 1) -> None:
    """Say NAME.

    As often as COUNT says.
    """


def test_a_command_is_all_that_its_declaration_says() -> None:
    plugin = Plugin("demo")
    plugin.command(
        "Say",
        aliases=["S"],
        cooldown=Cooldown("1/1m", per="chat"),
        chats="group",
        role="moderator",
        timeout="30s",
    )(described)
    (command,) = compiled(plugin).commands
    assert command.key == "demo:/say"
    assert (command.path, command.aliases) == (("say",), ("s",))
    assert command.limit == Limit(Rate(1, 60_000), "chat")
    assert command.timeout == 30_000
    assert command.rule.permission == "demo.say"
    assert (command.rule.role, command.rule.chats) == (Role.MODERATOR, "group")
    assert command.rule.privileged
    assert command.usage("!") == "!say <name> [count=1]"
    info = command.info()
    assert (info.summary, info.usage) == ("Say NAME.", "say <name> [count=1]")
    assert info.description == "Say NAME.\n\nAs often as COUNT says."
    assert info.arguments == ("name - text", "count - a whole number (default 1)")


def test_a_command_is_called_like_its_function_and_asks_nothing_by_itself() -> None:
    plugin = Plugin("demo")
    plugin.command()(described)
    (command,) = compiled(plugin).commands
    assert command.name == "described"
    assert command.rule.role is Role.MEMBER
    assert not command.rule.privileged


def test_the_underscore_that_frees_a_name_of_python_is_not_typed() -> None:
    def list_() -> None: ...

    plugin = Plugin("p")
    plugin.command()(list_)
    assert [command.name for command in compiled(plugin).commands] == ["list"]


def test_being_privileged_can_be_said_apart_from_the_role() -> None:
    plugin = Plugin("demo")
    plugin.command("a", role="moderator", privileged=False)(described)
    plugin.command("b", privileged=True, verified=True, permission="demo.special")(described)
    first, second = compiled(plugin).commands
    assert (first.rule.role, first.rule.privileged) == (Role.MODERATOR, False)
    assert (second.rule.privileged, second.rule.verified) == (True, True)
    assert second.rule.permission == "demo.special"


def test_what_a_group_asks_its_commands_ask_too() -> None:
    plugin = Plugin("notes")

    @plugin.group("tag", aliases=["t"], role="moderator", chats="group", description="Notes.")
    async def tag(ctx: Context) -> str:
        return ctx.args

    add = tag.group("add", verified=True, hidden=True)
    tag.command("show")(described)
    add.command("one", role="admin")(described)
    result = compiled(plugin)
    rules = {command.name: command.rule for command in result.commands}
    assert {name: (r.role, r.chats, r.verified) for name, r in rules.items()} == {
        "tag": (Role.MODERATOR, "group", False),
        "tag show": (Role.MODERATOR, "group", False),
        "tag add one": (Role.ADMIN, "group", True),
    }
    assert rules["tag add one"].permission == "notes.tag.add.one"
    assert [group.path for group in result.groups] == [("tag",), ("tag", "add")]
    by_name = {command.name: command for command in result.commands}
    assert by_name["tag add one"].hidden
    assert by_name["tag"].description == "Notes."


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": ""}, "the name ''"),
        ({"name": "two words"}, "the name 'two words'"),
        ({"name": "x" * 33}, "the name 'x"),
        ({"name": "a", "aliases": ["-b"]}, "the name '-b'"),
        ({"name": "a", "role": "king"}, "role='king' is none of member, moderator, admin, owner"),
        ({"name": "a", "chats": "forum"}, "chats='forum' is none of any, direct, group"),
        ({"name": "a", "cooldown": "often"}, "cooldown='often'"),
        ({"name": "a", "cooldown": Cooldown("x")}, "cooldown=Cooldown"),
        ({"name": "a", "timeout": "soon"}, "timeout='soon'"),
    ],
)
def test_wrong_options_are_found_at_load(options: dict[str, Any], message: str) -> None:
    plugin = Plugin("demo")
    plugin.command(**options)(described)
    (problem,) = compile_plugin(plugin)[1]
    assert problem.message.startswith(f"described(): {message}")
    assert problem.source is not None
    assert problem.source.file == __file__
    assert problem.source.line == described.__code__.co_firstlineno


def test_a_group_and_its_command_cannot_exclude_each_other() -> None:
    plugin = Plugin("demo")
    group = plugin.group("a", chats="group")
    group.command("b", chats="direct")(described)
    plugin.group("c", role="king", aliases=["!"])  # type: ignore[arg-type] # the point
    assert [text.partition(": ")[0] for text in problems(plugin)] == ["group 'c'", "described()"]


# ---------------------------------------------------------------- injection


async def everything(
    ctx: Context,
    bot: Bot,
    message: Message,
    group: Group | None,
    store: Store,
    sql: Sql,
    scheduler: Scheduler,
    logger: logging.Logger,
    config: Config,
    word: str,
) -> dict[str, Any]:
    return dict(locals())


async def test_values_are_given_by_type_and_the_rest_is_read() -> None:
    plugin = Plugin("demo", config=Config)
    plugin.command("all")(everything)
    (command,) = compiled(plugin, config=Config(greeting="hey")).commands
    ctx = make_context()
    given = await run(command, "typed", ctx)
    services = ctx.services("demo")
    assert given == {
        "ctx": ctx,
        "bot": ctx.bot,
        "message": ctx.message,
        "group": None,
        "store": services.store,
        "sql": services.sql,
        "scheduler": services.scheduler,
        "logger": services.logger,
        "config": Config(greeting="hey"),
        "word": "typed",
    }


class Greeter:
    """A plugin whose handlers are methods."""

    def __init__(self) -> None:
        self.plugin = Plugin("greeter")
        self.plugin.command("hi")(self.hi)
        self.plugin.command("part")(partial(self.greet, "good day"))
        self.plugin.command("object")(self)

    async def hi(self, name: str) -> str:
        return f"hi {name}"

    def greet(self, words: str, name: str) -> str:
        return f"{words} {name}"

    async def __call__(self, name: Rest) -> str:
        return f"called {name}"


async def test_methods_partials_and_objects_are_handlers() -> None:
    commands = {command.name: command for command in compiled(Greeter().plugin).commands}
    assert await run(commands["hi"], "bob") == "hi bob"
    assert await run(commands["part"], "bob") == "good day bob"
    assert await run(commands["object"], "b o b") == "called b o b"
    assert {name: command.handler.kind for name, command in commands.items()} == {
        "hi": "async",
        "part": "sync",
        "object": "async",
    }


async def stream(ctx: Context, count: int) -> AsyncIterator[str]:
    for number in range(count):
        yield f"{ctx.prefix}{number}"


def wrapped(ctx: Context) -> Any:
    return everything_is_well(ctx.user)


async def everything_is_well(user: User) -> str:
    return f"all is well, {user.username}"


async def test_handlers_may_stream_block_and_return_awaitables() -> None:
    plugin = Plugin("demo")
    plugin.command("stream")(stream)
    plugin.command("wrapped")(wrapped)
    streaming, blocking = compiled(plugin).commands
    assert streaming.handler.kind == "stream"
    assert [item async for item in await run(streaming, "3")] == ["/0", "/1", "/2"]
    assert blocking.handler.kind == "sync"
    assert await run(blocking) == "all is well, alice"


async def test_positional_only_spread_and_options_reach_the_handler() -> None:
    plugin = Plugin("demo")

    @plugin.command("mix")
    async def mix(ctx: Context, first: int, /, *names: str, bot: Bot, loud: bool = False) -> Any:
        return first, names, bot is ctx.bot, loud

    (command,) = compiled(plugin).commands
    assert await run(command, "1 a b --loud") == (1, ("a", "b"), True, True)


async def alone(group: Group) -> str:
    return group.name


async def test_a_group_is_there_where_only_groups_are_served() -> None:
    plugin = Plugin("demo")
    plugin.command("alone", chats="group")(alone)
    (command,) = compiled(plugin).commands
    assert await run(command, ctx=make_context(group=MemoryGroup())) == "Dev Team"


async def unresolved(ctx: Missing) -> None: ...  # type: ignore[name-defined] # noqa: F821 - the point
async def unannotated(ctx, word) -> None: ...  # type: ignore[no-untyped-def] # noqa: ANN001 - the point
async def anything(ctx: Context, **options: str) -> None: ...
async def unknown(ctx: Context, what: Unknown) -> None: ...
async def twice(*contexts: Context) -> None: ...
def generator(ctx: Context) -> Any:
    yield ctx.args


@pytest.mark.parametrize(
    ("function", "messages"),
    [
        (unresolved, ["the annotation 'Missing' names nothing at run time"]),
        (unannotated, ["parameter 'ctx' has no annotation", "parameter 'word' has no annotation"]),
        (anything, [r"parameter '\*\*options' cannot be filled"]),
        (unknown, ["parameter 'what': nothing gives or reads Unknown .given: .*Store.*timedelta"]),
        (twice, [r"parameter '\*contexts': a Context is given once"]),
        (alone, ["parameter 'group': in 1:1 there is no Group: chats=\"group\""]),
        (generator, ["a generator must be async"]),
    ],
)
def test_a_wrong_signature_fails_at_load(function: Callable[..., Any], messages: list[str]) -> None:
    plugin = Plugin("demo")
    plugin.command("bad")(function)
    found = compile_plugin(plugin)[1]
    assert len(found) == len(messages)
    for problem, message in zip(found, messages, strict=True):
        assert problem.plugin == "demo"
        assert str(problem.source).startswith(f"{__file__}:")
        with pytest.raises(AssertionError, match=message):
            raise AssertionError(str(problem))


def test_all_problems_of_a_plugin_are_found_at_once() -> None:
    plugin = Plugin("demo")
    for function in (unresolved, unannotated, unknown):
        plugin.command(function.__name__)(function)
    plugin.filter(regex="(")(described)
    assert len(problems(plugin)) == 5


# ---------------------------------------------------------------- providers and converters


def providing() -> Plugin:
    plugin = Plugin("base")

    @plugin.provider(Repository)
    def repository(database: Database, prefix: str = "r") -> Repository:
        return Repository(database, prefix)

    @plugin.provider(Database)
    async def database(store: Store) -> Database:
        return Database(await store.get("owner", str, "nobody"))

    @plugin.converter(Colour, expected="a colour such as red")
    def colour(text: str) -> Colour:
        if not text.isalpha():
            raise ValueError(text)
        return Colour(text)

    return plugin


async def paint(repository: Repository, colour: Colour, others: list[Colour] | None = None) -> Any:
    return repository, colour, others


async def test_providers_and_converters_serve_their_plugin_and_those_that_require_it() -> None:
    base = compiled(providing())
    plugin = Plugin("painter", requires=["base"])
    plugin.command("paint")(paint)
    (command,) = compiled(plugin, required=[base]).commands
    ctx = make_context()
    await ctx.services("base").store.set("owner", "base")
    await ctx.services("painter").store.set("owner", "painter")
    expected = (Repository(Database("base")), Colour("red"), [Colour("blue")])
    assert await run(command, "red blue", ctx) == expected
    with pytest.raises(UsageError, match="expected a colour such as red"):
        await run(command, "12")


def test_they_serve_nobody_else() -> None:
    plugin = Plugin("painter")
    plugin.command("paint")(paint)
    assert [text.partition(" (")[0] for text in problems(plugin)] == [
        "paint(): parameter 'repository': nothing gives or reads Repository",
        "paint(): parameter 'colour': nothing gives or reads Colour",
        "paint(): parameter 'others': nothing gives or reads Colour",
    ]


async def test_a_converter_may_ask_and_await() -> None:
    plugin = Plugin("demo")

    @plugin.converter(Colour)
    async def colour(text: str, ctx: Context, store: Store) -> Colour:
        if (known := await store.get(text, str)) is None:
            raise UsageError(f"no colour for {ctx.user.username}")
        return Colour(known)

    @plugin.command("show")
    async def show(colour: Colour) -> str:
        return colour.name

    (command,) = compiled(plugin).commands
    ctx = make_context()
    await ctx.services("demo").store.set("r", "red")
    assert await run(command, "r", ctx) == "red"
    with pytest.raises(UsageError, match="no colour for alice"):
        await run(command, "b", ctx)


async def first(bot: Bot) -> User:
    return bot.user


def second(text: str) -> Colour:
    return Colour(text)


@pytest.mark.parametrize(
    ("declare", "message"),
    [
        (lambda p: p.provider(User)(first), "User has a converter already"),
        (lambda p: p.provider(Store)(first), "Store has a provider already"),
        (lambda p: p.converter(Bot)(second), "Bot has a provider already"),
        (lambda p: p.converter(int)(second), "int has a converter already"),
        (lambda p: p.converter(Config)(second), "Config has a provider already"),
        (lambda p: p.converter(Colour)(first), "a converter's first parameter takes the text"),
        (lambda p: p.provider(Colour)(second), "parameter 'text': nothing gives str"),
    ],
)
def test_a_type_has_a_provider_or_a_converter(
    declare: Callable[[Plugin], Any], message: str
) -> None:
    plugin = Plugin("demo", config=Config)
    declare(plugin)
    (found,) = problems(plugin, config=Config())
    assert message in found


def test_of_two_for_one_type_the_second_is_wrong() -> None:
    plugin = Plugin("demo")
    plugin.provider(Unknown)(first)
    plugin.converter(Unknown)(second)
    assert problems(plugin) == ["second(): Unknown has a provider already"]


def test_what_two_required_plugins_both_give_is_reported() -> None:
    bases = [compiled(providing()), compiled(providing())]
    plugin = Plugin("painter", requires=["base", "other"])
    (found,) = problems(plugin, required=bases)
    assert found == "requires 'base': Database has a provider already"


async def here(ctx: Context) -> Database:
    return Database(ctx.chat.id)


async def where(group: Group) -> Repository:
    return Repository(Database(group.id))


async def use(database: Database) -> None: ...
async def use_group(repository: Repository) -> None: ...


def test_what_a_provider_needs_its_users_need() -> None:
    plugin = Plugin("demo")
    plugin.provider(Database)(here)
    plugin.provider(Repository)(where)
    plugin.command("fine", chats="group")(use_group)
    plugin.command("not")(use_group)
    plugin.job(every="1m")(use)
    assert [text.partition(" ")[0] for text in problems(plugin)] == ["use_group():", "use():"]


# ---------------------------------------------------------------- filters


async def issue(ctx: Context, number: int, word: str = "none") -> str:
    return f"{ctx.prefix}{number} {word}"


async def test_named_groups_become_arguments() -> None:
    plugin = Plugin("demo")
    plugin.filter(regex=r"#(?P<number>\d+)(?P<word>\w+)?", priority=5, stop=False)(issue)
    (endpoint,) = compiled(plugin).filters
    assert (endpoint.key, endpoint.priority, endpoint.stop) == ("demo:filter:issue", 5, False)
    assert endpoint.rule.permission == "demo.issue"
    ctx = make_context("see #12")
    captures: dict[str, str | None] = {}
    assert endpoint.check(ctx, captures)
    call = await endpoint.bind(captures, ctx)
    assert call is not None
    assert await call.run(on_the_loop) == "/12 none"
    assert await endpoint.bind({"number": "9" * 30, "word": None}, ctx) is None
    assert await endpoint.bind({"number": None}, ctx) is None


def test_all_given_conditions_must_hold() -> None:
    plugin = Plugin("demo")
    plugin.filter(filters.encrypted, chats="direct", text="Hi")(described_filter)
    (endpoint,) = compiled(plugin).filters
    assert endpoint.check(make_context("hi"), {})
    assert not endpoint.check(make_context("hi there"), {})
    assert not endpoint.check(make_context("hi", group=MemoryGroup()), {})


async def test_a_filter_for_groups_is_given_the_group() -> None:
    plugin = Plugin("demo")
    plugin.filter(chats="group")(alone)
    (endpoint,) = compiled(plugin).filters
    call = await endpoint.bind({}, make_context(group=MemoryGroup()))
    assert call is not None
    assert repr(call).startswith("Call(<function alone")
    assert await call.run(on_the_loop) == "Dev Team"
    plugin.filter(~filters.group)(alone)
    (found,) = problems(plugin)
    assert "in 1:1 there is no Group" in found


async def described_filter(ctx: Context) -> None: ...
async def needs(ctx: Context, number: int) -> None: ...
async def many(ctx: Context, number: list[int]) -> None: ...


@pytest.mark.parametrize(
    ("condition", "function", "message"),
    [
        (filters.group, needs, "neither given nor a named group of the condition .groups: none"),
        (filters.regex("(?P<n>.)"), needs, "groups: n;"),
        (filters.regex("(?P<number>.)") | filters.group, needs, "needs a default"),
        (filters.regex("(?P<number>.)"), many, "a named group is one value"),
    ],
)
def test_parameters_that_no_group_fills_fail_at_load(
    condition: filters.Filter, function: Callable[..., Any], message: str
) -> None:
    plugin = Plugin("demo")
    plugin.filter(condition)(function)
    (found,) = problems(plugin)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found)


def test_keys_are_unique_and_the_same_each_time() -> None:
    def declared() -> list[str]:
        plugin = Plugin("demo")
        for text in ("a", "b", "c"):
            plugin.filter(text=text)(described_filter)
        return [endpoint.key for endpoint in compiled(plugin).filters]

    name = "demo:filter:described_filter"
    assert declared() == [name, f"{name}#2", f"{name}#3"] == declared()


# ---------------------------------------------------------------- jobs and hooks


async def remind(bot: Bot, to: str, times: int = 1) -> str:
    return f"{bot.user.username} {to} {times}"


async def test_a_scheduled_job_takes_its_arguments_by_name() -> None:
    plugin = Plugin("demo")
    plugin.job(timeout="1m", misfire="run-all")(remind)
    (job,) = compiled(plugin).jobs
    assert (job.key, job.schedule, job.misfire) == ("demo:job:remind", None, "run-all")
    call = await job.bind(make_context(), {"to": "alice"})
    assert await call.run(on_the_loop) == "dicebot alice 1"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({}, "job 'remind' needs to"),
        ({"to": "a", "other": 1, "more": 2}, "job 'remind' takes no more, other"),
        ({"to": 5}, "job 'remind', to: Expected `str`"),
    ],
)
def test_arguments_that_do_not_fit_a_job_are_refused(
    arguments: dict[str, Any], message: str
) -> None:
    plugin = Plugin("demo")
    plugin.job()(remind)
    (job,) = compiled(plugin).jobs
    with pytest.raises(TypeError, match=message):
        job.read(arguments)


async def tick(bot: Bot, store: Store) -> None: ...
async def spread(*names: str) -> None: ...


def test_when_a_job_runs() -> None:
    plugin = Plugin("demo")
    plugin.job("a", cron="0 9 * * mon", timezone="Europe/Berlin", jitter="30s")(tick)
    plugin.job("b", every="10m")(tick)
    plugin.job("c", at="2026-03-01 09:00")(tick)
    assert [job.schedule for job in compiled(plugin).jobs] == [
        Schedule(cron="0 9 * * mon", timezone="Europe/Berlin", jitter=30_000),
        Schedule(every=600_000),
        Schedule(at="2026-03-01 09:00"),
    ]


@pytest.mark.parametrize(
    ("options", "function", "message"),
    [
        ({"cron": "* * * * *", "every": "1m"}, tick, "only one of cron, every and at"),
        ({"every": "often"}, tick, "every='often'"),
        ({"every": "1m", "misfire": "shrug"}, tick, "misfire='shrug'"),
        ({"every": "1m"}, remind, "parameter 'to': nothing gives it"),
        (
            {"every": "1m"},
            described_filter,
            "parameter 'ctx': there is no Context where no message",
        ),
        ({"name": "no good"}, tick, "the name 'no good'"),
        ({}, spread, "no \\*args"),
    ],
)
def test_wrong_jobs_fail_at_load(
    options: dict[str, Any], function: Callable[..., Any], message: str
) -> None:
    plugin = Plugin("demo")
    plugin.job(**options)(function)
    (found,) = problems(plugin)
    with pytest.raises(AssertionError, match=message):
        raise AssertionError(found)


class EventScope(MemoryContext):
    event: object


async def changed(event: events.IdentityChanged, bot: Bot) -> str:
    return f"{event.user_id} {bot.user.username}"


async def test_observers_are_given_the_event() -> None:
    plugin = Plugin("demo")
    plugin.on(events.IdentityChanged)(changed)
    plugin.startup(tick)
    plugin.shutdown(tick)
    observer, *others = compiled(plugin).hooks
    assert [hook.hook for hook in others] == ["startup", "shutdown"]
    assert observer.event is events.IdentityChanged
    scope = EventScope(make_message("x"))
    scope.event = events.IdentityChanged("alice-id", "F" * 60)
    call = await observer.handler.bind(scope)
    assert await call.run(on_the_loop) == "alice-id dicebot"


def test_wrong_hooks_fail_at_load() -> None:
    plugin = Plugin("demo")
    plugin.on(str)(changed)
    plugin.on(events.PresenceChanged)(changed)
    plugin.startup(described_filter)
    for text, message in zip(
        problems(plugin),
        ("is no event", "nothing gives IdentityChanged", "there is no Context"),
        strict=True,
    ):
        assert message in text


async def layer(ctx: Context, call_next: InboundNext) -> None:
    await call_next(ctx)


def blocking_layer(ctx: Context, call_next: InboundNext) -> None: ...


def test_middleware() -> None:
    plugin = Plugin("demo")
    plugin.middleware("inbound", order=-5)(layer)
    (entry,) = compiled(plugin).middleware
    assert (entry.direction, entry.order, entry.function) == ("inbound", -5, layer)
    plugin.middleware("sideways")(layer)  # type: ignore[arg-type] # the point
    plugin.middleware("outbound")(tick_once)
    plugin.middleware("inbound")(blocking_layer)
    assert problems(plugin) == [
        "layer(): direction='sideways' is none of inbound, outbound",
        "tick_once(): a middleware takes (out, call_next)",
        "blocking_layer(): a middleware must be async: async def",
    ]


async def tick_once(bot: Bot) -> None: ...


# ---------------------------------------------------------------- declarations


def test_what_reads_arguments_reads_answers_too() -> None:
    assert set(compiled(providing()).converters) == {Colour}


def test_a_declaration_made_by_hand_can_be_taken_out_again() -> None:
    plugin = Plugin("demo")
    declaration = FilterDeclaration(
        function=described_filter, source=plugin.source, condition=filters.direct
    )
    undo = plugin.add(declaration)
    assert list(plugin.declarations) == [declaration]
    undo()
    assert not plugin.declarations


def test_a_plugin_knows_where_it_was_made() -> None:
    plugin = Plugin("demo", description="Shows", version="1.2")
    assert plugin.source.file == __file__
    assert repr(plugin) == "Plugin('demo')"
