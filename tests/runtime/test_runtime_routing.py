from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot import Context, Plugin
from chatbot.plugins.compiler import compile_plugin
from chatbot.plugins.tokens import first_word
from chatbot.runtime.routing import Commands, Invocation, Node, Route, Unknown, build_commands

SLASH = Invocation("/", "DiceBot")


async def handler(ctx: Context) -> None: ...


def commands() -> Commands:
    plugin = Plugin("demo")
    plugin.command("roll", aliases=["r", "würfeln"])(handler)
    plugin.command("secret", hidden=True)(handler)
    plugin.command("ban", role="moderator")(handler)
    tag = plugin.group("tag", aliases=["t"])
    tag(handler)
    tag.command("add", aliases=["new"])(handler)
    deep = tag.group("list", aliases=["ls"])
    deep.command("all")(handler)
    compiled, problems = compile_plugin(plugin)
    assert problems == ()
    return build_commands([compiled])


COMMANDS = commands()


def routed(text: str, invocation: Invocation = SLASH) -> tuple[str, str] | str | None:
    found = COMMANDS.route(text, invocation)
    if isinstance(found, Route):
        return " ".join(found.node.path), found.arguments
    return found.name if isinstance(found, Unknown) else None


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/roll 6  2", ("roll", "6  2")),
        ("/ROLL", ("roll", "")),
        ("/R\n6", ("roll", "6")),
        ("/WÜRFELN", ("roll", "")),
        ("/tag", ("tag", "")),
        ("/tag add x y", ("tag add", "x y")),
        ("/t NEW x", ("tag add", "x")),
        ("/tag something else", ("tag", "something else")),
        ("/t ls all 5", ("tag list all", "5")),
        ("/tag list", ("tag list", "")),
        ("@dicebot roll 6", ("roll", "6")),
        ("@DiceBot: roll 6", ("roll", "6")),
        ("@dicebot,/roll 6", ("roll", "6")),
        ("@dicebot\u00a0roll 6", ("roll", "6")),
        ("@dicebot / roll", None),
        ("@dicebot \x1f", None),
        ("/nothing here", "nothing"),
        ("@dicebot how are you", "how"),
        ("/" + "x" * 50, "x" * 50),
        ("/tag " + "x" * 50, ("tag", "x" * 50)),
        ("roll 6", None),
        ("/", None),
        ("/ roll", None),
        (" /roll", None),
        ("@dicebot", None),
        ("@dicebot,", None),
        ("@dicebottle roll", None),
        ("@other roll", None),
        ("", None),
    ],
)
def test_text_becomes_a_command(text: str, expected: object) -> None:
    assert routed(text) == expected


def test_every_chat_may_have_its_own_prefix() -> None:
    bang = Invocation("!", "DiceBot")
    word = Invocation("Hey Bot ", "")
    assert routed("!roll", bang) == ("roll", "")
    assert routed("/roll", bang) is None
    assert routed("@dicebot !roll", bang) == ("roll", "")
    assert routed("hey bot roll", word) == ("roll", "")
    assert routed("@roll", word) is None


def test_without_a_prefix_every_word_may_be_a_command() -> None:
    assert routed("roll 6", Invocation("", "dicebot")) == ("roll", "6")


@given(st.text(max_size=60))
def test_any_text_is_routed_somewhere(text: str) -> None:
    for line in (text, f"/{text}", f"@dicebot {text}"):
        found = COMMANDS.route(line, SLASH)
        if isinstance(found, Route):
            assert found.arguments in line
        if isinstance(found, Unknown):
            assert found.name
            assert found.name == first_word(found.name)[0]


def test_unknown_commands_get_a_suggestion() -> None:
    assert COMMANDS.suggest("rol") == ("roll",)
    assert COMMANDS.suggest("TAAG") == ("tag",)
    assert COMMANDS.suggest("xyz") == ()
    assert COMMANDS.suggest("roll" * 20) == ()


def test_what_nobody_should_know_of_is_not_suggested() -> None:
    assert COMMANDS.suggest("secre") == ()
    assert COMMANDS.suggest("bann") == ("ban",)
    assert COMMANDS.suggest("bann", lambda endpoint: endpoint.rule.role < 1) == ()
    assert COMMANDS.suggest("tagg", lambda _endpoint: False) == ()


def test_every_command_is_listed_once() -> None:
    names = [endpoint.name for endpoint in COMMANDS.endpoints()]
    assert names == ["ban", "roll", "secret", "tag", "tag add", "tag list all"]


def test_a_command_is_found_by_its_full_name() -> None:
    found = COMMANDS.find("Tag add")
    assert found is not None
    assert COMMANDS.find(found.info().name) is found
    for name in ("tag nothing", "tag list", "roll add"):
        assert COMMANDS.find(name) is None


def test_the_tree_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        COMMANDS.roots["new"] = Node(("new",))  # type: ignore[index] # the point
