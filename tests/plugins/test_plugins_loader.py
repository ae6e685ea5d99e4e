"""Finding, assembling and replacing plugins, with real files, packages and entry points."""

from __future__ import annotations

import gc
import os
import sys
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest
from doubles.plugin_world import say

from chatbot.plugins.assembly import Assembly
from chatbot.plugins.loader import Loader
from chatbot.runtime.table import build_table

Write = Callable[..., Path]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Writes a source file; what it imports is forgotten afterwards.

    All of it in the same second, where a cache of compiled code cannot tell old from new.
    """
    before = set(sys.modules)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", False)

    def write_file(name: str, source: str) -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(source))
        os.utime(path, (1e9, 1e9))
        return path

    yield write_file
    for name in set(sys.modules) - before:
        del sys.modules[name]


def plugin(name: str, *, answer: str = "", command: str = "", **options: Any) -> str:
    extra = "".join(f", {key}={value!r}" for key, value in options.items())
    return dedent(
        f"""
        from chatbot import Context, Plugin

        plugin = Plugin({name!r}{extra})

        @plugin.command({command or repr(name)})
        async def handle(ctx: Context) -> str:
            return {answer or repr(name)}
        """
    )


def names(assembly: Assembly) -> list[str]:
    return [assembled.name for assembled in assembly.plugins]


def texts(assembly: Assembly) -> list[str]:
    return [str(problem) for problem in assembly.problems]


async def answer(assembly: Assembly, text: str) -> list[str]:
    return await say(build_table(assembly.compiled), text)


# ---------------------------------------------------------------- finding


async def test_plugins_come_from_files_modules_folders_and_entry_points(
    write: Write, tmp_path: Path
) -> None:
    write("one.py", plugin("one"))
    write("two_module.py", plugin("two"))
    write("three_package/__init__.py", "from .inner import plugin")
    write("three_package/inner.py", plugin("three"))
    write("four_package.py", plugin("four").replace("plugin", "offered"))
    write("four-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: four\nVersion: 1.0\n")
    write(
        "four-1.0.dist-info/entry_points.txt", "[chatbot.plugins]\nfourth = four_package:offered\n"
    )
    loader = Loader(base=tmp_path)
    assembly = loader.load(["./one.py", "two_module", "./three_package", "fourth"])
    assert assembly.problems == ()
    assert names(assembly) == ["one", "two", "three", "four"]
    for name in names(assembly):
        assert await answer(assembly, f"/{name}") == [name]


async def test_a_module_may_implement_the_hooks_by_hand(write: Write, tmp_path: Path) -> None:
    write(
        "by_hand.py",
        """
        from chatbot import Context, Plugin, hookimpl

        async def now(ctx: Context) -> str:
            return "now"

        @hookimpl
        def chatbot_declare() -> Plugin:
            made = Plugin("clock")
            made.command("now")(now)
            return made
        """,
    )
    assembly = Loader(base=tmp_path).load(["by_hand"])
    assert assembly.problems == ()
    assert await answer(assembly, "/now") == ["now"]


@pytest.mark.parametrize(
    ("source", "message", "line"),
    [
        ("import nothing_of_that_name", "does not import: ModuleNotFoundError", 1),
        ("\n\nx = (", "does not import: SyntaxError", 3),
        ("def f():\n    return 1 / 0\n\nf()", "does not import: ZeroDivisionError", 2),
        ("raise SystemExit(3)", "does not import: SystemExit", 1),
        ("from chatbot import Nonsense", "does not import: ImportError", 1),
        ("x = 1", "the module has no Plugin", None),
        (
            "from chatbot import Plugin\na = Plugin('a')\nb = Plugin('b')",
            "the module has more than one Plugin",
            None,
        ),
        (
            "from chatbot import hookimpl\n@hookimpl\ndef chatbot_declare(wrong): ...",
            "its hooks do not fit",
            None,
        ),
        (
            "import chatbot\nh = chatbot.hookimpl\nchatbot_declare = chatbot_x = h(lambda: None)",
            "its hooks do not fit",
            None,
        ),
        (
            "from chatbot import hookimpl\n@hookimpl\ndef chatbot_declare(): return 5",
            "chatbot_declare returned int, not a Plugin",
            None,
        ),
    ],
)
def test_what_does_not_import_is_reported_and_left_out(
    write: Write, tmp_path: Path, source: str, message: str, line: int | None
) -> None:
    broken = write("broken.py", source)
    write("good.py", plugin("good"))
    before = set(sys.modules)
    assembly = Loader(base=tmp_path).load(["./broken.py", "./good.py"])
    assert names(assembly) == ["good"]
    (problem,) = assembly.problems
    assert problem.plugin == "./broken.py"
    assert problem.message.startswith(message)
    if line is not None:
        assert str(problem.source) == f"{broken}:{line}"
    leaked = {name for name in set(sys.modules) - before if name.startswith("_chatbot_broken")}
    assert not leaked


def test_what_is_not_there_is_reported(tmp_path: Path) -> None:
    assembly = Loader(base=tmp_path).load(["./missing.py", "no_such_plugin_anywhere"])
    first, second = assembly.problems
    assert "missing.py is not there" in first.message
    assert second.message == "is neither an entry point, nor a module, nor a path (./file.py)"


# ---------------------------------------------------------------- assembling


def test_what_is_required_starts_first(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a", requires=["c", "b"]))
    write("b.py", plugin("b", requires=["c"]))
    write("c.py", plugin("c"))
    write("d.py", plugin("d"))
    loader = Loader(base=tmp_path)
    assembly = loader.load(["./d.py", "./a.py", "./b.py", "./c.py"])
    assert assembly.problems == ()
    assert names(assembly) == ["d", "c", "b", "a"]
    assert [p.name for p in assembly.dependents("c")] == ["c", "b", "a"]


def test_cycles_and_missing_requirements_are_reported(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a", requires=["b"]))
    write("b.py", plugin("b", requires=["a"]))
    write("c.py", plugin("c", requires=["a"]))
    write("d.py", plugin("d", requires=["ghost"]))
    write("e.py", plugin("e", requires=["e"]))
    write("f.py", plugin("f"))
    assembly = Loader(base=tmp_path).load([f"./{name}.py" for name in "abcdef"])
    assert names(assembly) == ["f"]
    assert [(problem.plugin, problem.message) for problem in assembly.problems] == [
        ("a", "requires itself: a -> b -> a"),
        ("b", "requires itself: a -> b -> a"),
        ("c", "requires 'a', which cannot be used"),
        ("d", "requires 'ghost', which is not there"),
        ("e", "requires itself: e -> e"),
    ]


def test_whoever_requires_a_broken_plugin_is_left_out_with_it(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a", config="not a model"))
    write("b.py", plugin("b", requires=["a"]))
    assembly = Loader(base=tmp_path).load(["./a.py", "./b.py"])
    assert names(assembly) == []
    assert [problem.message for problem in assembly.problems] == [
        "config='not a model' is not a pydantic model",
        "requires 'a', left out itself",
    ]


async def test_of_two_that_clash_the_later_is_left_out(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a", command="'go', aliases=['Run']", answer="'first'"))
    write("b.py", plugin("b", command="'RUN'"))
    write("c.py", plugin("c", command="'walk', aliases=['go']"))
    write("d.py", plugin("a", command="'other'"))
    write("e.py", plugin("e", command="'x', aliases=['y', 'X']"))
    assembly = Loader(base=tmp_path).load([f"./{name}.py" for name in "abcde"])
    assert names(assembly) == ["a"]
    assert await answer(assembly, "/run") == ["first"]
    where = f"{tmp_path / 'a.py'}:6"
    assert [problem.message for problem in assembly.problems] == [
        "./d.py: ./a.py is a plugin of the same name",
        f"the command 'run' is declared at {where} too",
        f"the command 'go' is declared at {where} too",
        f"the command 'x' is declared at {tmp_path / 'e.py'}:6 too",
    ]
    for problem in assembly.problems:
        assert problem.source is not None
        assert Path(problem.source.file).parent == tmp_path


def test_every_problem_of_every_plugin_is_found_at_once(write: Write, tmp_path: Path) -> None:
    write("a.py", "import nothing_of_that_name")
    write("b.py", plugin("not a name"))
    write("c.py", plugin("c").replace("ctx: Context", "ctx: Context, x: bytes, y: object"))
    write("d.py", plugin("d") + "plugin.filter(regex='(')(handle)\nplugin.job(every='x')(handle)\n")
    loader = Loader(base=tmp_path, sections={"ghost": {}, "d": {"key": 1}})
    assembly = loader.load([f"./{name}.py" for name in "abcd"])
    assert names(assembly) == []
    assert [text.partition(": plugin ")[2].partition(":")[0] for text in texts(assembly)] == [
        "'./a.py'",
        "'not a name'",
        "'c'",
        "'c'",
        "",
        "'d'",
        "'d'",
        "",
    ]
    assert f"{tmp_path / 'c.py'}:6: plugin 'c': handle(): parameter 'x'" in texts(assembly)[2]


# ---------------------------------------------------------------- configuration

CONFIGURED = """
from pydantic import BaseModel, NonNegativeInt, field_validator
from chatbot import Plugin

class Inner(BaseModel):
    port: NonNegativeInt = 1

class Config(BaseModel):
    name: str
    inner: Inner = Inner()
    token: str = ""

    @field_validator("token")
    @classmethod
    def check(cls, value: str) -> str:
        if value == "boom":
            raise RuntimeError(value)
        return value

plugin = Plugin("configured", config=Config)

@plugin.command("show")
async def show(config: Config) -> str:
    return f"{config.name} {config.inner.port}"
"""


async def test_a_plugin_is_given_its_validated_configuration(write: Write, tmp_path: Path) -> None:
    write("configured.py", CONFIGURED)
    sections = {"configured": {"name": "x", "inner": {"port": "5"}}}
    assembly = Loader(base=tmp_path, sections=sections).load(["./configured.py"])
    assert assembly.problems == ()
    assert await answer(assembly, "/show") == ["x 5"]


@pytest.mark.parametrize(
    ("section", "messages"),
    [
        ({}, ["plugins.configured.name: missing; expected a value"]),
        (
            {"name": 5, "nome": "x", "inner": {"port": -4711, "prot": 2}},
            [
                "plugins.configured.name: expected a string",
                "plugins.configured.inner.port: expected greater than or equal to 0",
                "plugins.configured.inner.prot: unknown key; did you mean port?",
                "plugins.configured.nome: unknown key; did you mean name?",
            ],
        ),
        (
            {"name": "x", "token": "boom"},
            ["plugins.configured: its model failed with RuntimeError"],
        ),
    ],
)
def test_a_wrong_key_is_named_by_its_path_and_without_its_value(
    write: Write, tmp_path: Path, section: dict[str, Any], messages: list[str]
) -> None:
    write("configured.py", CONFIGURED)
    loader = Loader(base=tmp_path, sections={"configured": section})
    assembly = loader.load(["./configured.py"])
    assert names(assembly) == []
    assert [problem.message for problem in assembly.problems] == messages
    assert not any("4711" in text or "boom" in text for text in texts(assembly))


def test_sections_that_nobody_reads_are_reported(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a"))
    loader = Loader(base=tmp_path, sections={"a": {"key": 1}, "ghost": {}})
    assert [problem.message for problem in loader.load(["./a.py"]).problems] == [
        "plugins.a.key: the plugin takes no configuration",
        "[plugins.ghost] is configured, but there is no plugin of that name",
    ]


# ---------------------------------------------------------------- changing


async def test_a_reload_takes_the_code_as_it_is_now(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a", answer="'old'"))
    write("b.py", plugin("b"))
    loader = Loader(base=tmp_path)
    before = loader.load(["./a.py", "./b.py"])
    write("a.py", plugin("a", answer="'new'"))  # the same size, within the same second
    change = loader.reload("a")
    assert change.problems == ()
    assert [a.name for a in change.gone] == ["a"]
    assert [a.name for a in change.new] == ["a"]
    assert loader.assembly is before
    assert await answer(before, "/a") == ["old"]
    loader.commit(change)
    assert await answer(loader.assembly, "/a") == ["new"]
    assert loader.assembly.find("b") is before.find("b")


async def test_a_package_is_reloaded_with_what_lies_beside_its_plugin(
    write: Write, tmp_path: Path
) -> None:
    write("bot_package/__init__.py", "")
    write("bot_package/words.py", "WORD = 'old'")
    source = plugin("a", answer="words.WORD")
    write("bot_package/plugin.py", source.replace("import Context", "import Context", 1))
    write("bot_package/plugin.py", f"from bot_package import words\n{source}")
    loader = Loader(base=tmp_path)
    loader.load(["bot_package.plugin"])
    old = sys.modules["bot_package.words"]
    write("bot_package/words.py", "WORD = 'new'")
    change = loader.reload("a")
    assert await answer(change.assembly, "/a") == ["new"]
    change.roll_back()
    assert sys.modules["bot_package.words"] is old
    assert sys.modules["bot_package"].words is old
    assert await answer(loader.assembly, "/a") == ["old"]
    again = loader.reload("a")
    loader.commit(again)
    assert await answer(loader.assembly, "/a") == ["new"]
    assert sys.modules["bot_package.words"] is not old


async def test_another_plugin_of_the_same_package_stays_as_it_is(
    write: Write, tmp_path: Path
) -> None:
    write("shared/__init__.py", "")
    write("shared/one.py", plugin("one"))
    write("shared/two.py", plugin("two"))
    loader = Loader(base=tmp_path)
    before = loader.load(["shared.one", "shared.two"])
    two = sys.modules["shared.two"]
    loader.commit(loader.reload("one"))
    assert sys.modules["shared.two"] is two
    assert loader.assembly.find("two") is before.find("two")
    assert loader.assembly.find("one") is not before.find("one")


@pytest.mark.parametrize(
    "broken", ["x = (", "raise ValueError('no')", "from chatbot import Plugin", "MORE"]
)
async def test_a_reload_that_fails_changes_nothing(
    write: Write, tmp_path: Path, broken: str
) -> None:
    source = plugin("a", answer="'old'")
    write("a_module.py", source)
    loader = Loader(base=tmp_path)
    before = loader.load(["a_module"])
    modules = dict(sys.modules)
    write("a_module.py", source + "\nplugin.job(every='x')(handle)" if broken == "MORE" else broken)
    change = loader.reload("a")
    assert change.problems
    change.roll_back()
    assert {name: m for name, m in sys.modules.items() if name == "a_module"} == {
        "a_module": modules["a_module"]
    }
    assert loader.assembly is before
    assert await answer(before, "/a") == ["old"]


PROVIDING = """
from chatbot import Plugin, Bot
plugin = Plugin("base")
class Thing:
    text = "{text}"
@plugin.provider(Thing)
async def thing(bot: Bot) -> Thing:
    return Thing()
"""
USING = """
from chatbot import Plugin
from base_module import Thing
plugin = Plugin("user", requires=["base"])
@plugin.command("use")
async def use(thing: Thing) -> str:
    return thing.text
"""


async def test_whoever_requires_a_reloaded_plugin_is_reloaded_with_it(
    write: Write, tmp_path: Path
) -> None:
    write("base_module.py", PROVIDING.format(text="old"))
    write("user_module.py", USING)
    loader = Loader(base=tmp_path)
    assert loader.load(["user_module", "base_module"]).problems == ()
    write("base_module.py", PROVIDING.format(text="new"))
    change = loader.reload("base")
    assert change.problems == ()
    assert [a.name for a in change.new] == ["base", "user"]
    loader.commit(change)
    assert await answer(loader.assembly, "/use") == ["new"]


async def test_plugins_can_be_turned_off_and_on(write: Write, tmp_path: Path) -> None:
    write("base_module.py", PROVIDING.format(text="old"))
    write("user_module.py", USING)
    write("other.py", plugin("other"))
    loader = Loader(base=tmp_path)
    loader.load(["base_module", "user_module", "./other.py"])
    change = loader.disable("base")
    assert change.problems == ()
    assert [a.name for a in change.gone] == ["base", "user"]
    loader.commit(change)
    assert names(loader.assembly) == ["other"]
    assert "base_module" not in sys.modules
    write("base_module.py", PROVIDING.format(text="new"))
    for listed in ("base_module", "user_module"):
        change = loader.enable(listed)
        assert change.problems == ()
        loader.commit(change)
    assert await answer(loader.assembly, "/use") == ["new"]


async def test_a_plugin_that_was_left_out_is_tried_again(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a") + "\nplugin.job(every='x')(handle)")
    write("b.py", "x = (")
    loader = Loader(base=tmp_path)
    assert names(loader.load(["./a.py", "./b.py"])) == []
    write("a.py", plugin("a"))
    write("b.py", plugin("b"))
    for name in ("a", "./b.py"):
        change = loader.reload(name)
        assert change.problems == ()
        loader.commit(change)
    assert names(loader.assembly) == ["a", "b"]


def test_a_plugin_that_cannot_be_found_is_not_enabled(tmp_path: Path) -> None:
    loader = Loader(base=tmp_path)
    change = loader.enable("./missing.py")
    assert [problem.message for problem in change.problems]
    assert change.assembly is loader.assembly
    assert (change.gone, change.new) == ((), ())


def test_a_reload_of_several_is_all_or_nothing(write: Write, tmp_path: Path) -> None:
    write("base_module.py", PROVIDING.format(text="old"))
    write("user_module.py", USING)
    loader = Loader(base=tmp_path)
    loader.load(["base_module", "user_module"])
    before = {name: sys.modules[name] for name in ("base_module", "user_module")}
    write("user_module.py", "x = (")
    change = loader.reload("base")
    assert change.problems
    assert {name: sys.modules[name] for name in before} == before


def test_many_reloads_leave_nothing_behind(write: Write, tmp_path: Path) -> None:
    path = write("a.py", plugin("a"))
    loader = Loader(base=tmp_path)
    loader.load(["./a.py"])
    first = loader.assembly.find("a")
    assert first is not None
    old = weakref.ref(first.found.imported.module)
    del first

    def reload() -> None:
        change = loader.reload("a")
        assert change.problems == ()
        loader.commit(change)

    for _ in range(3):
        reload()
    gc.collect()
    modules, finders, objects = len(sys.modules), len(sys.meta_path), len(gc.get_objects())
    for _ in range(20):
        reload()
    gc.collect()
    assert (len(sys.modules), len(sys.meta_path)) == (modules, finders)
    assert len(gc.get_objects()) - objects < 200
    assert old() is None
    assert not list(path.parent.rglob("a.*.pyc"))


async def test_bots_in_one_process_have_copies_of_their_own(write: Write, tmp_path: Path) -> None:
    write("a.py", plugin("a", answer="'old'"))
    loaders = [Loader(base=tmp_path), Loader(base=tmp_path)]
    for loader in loaders:
        loader.load(["./a.py"])
    write("a.py", plugin("a", answer="'new'"))
    loaders[0].commit(loaders[0].reload("a"))
    assert await answer(loaders[0].assembly, "/a") == ["new"]
    assert await answer(loaders[1].assembly, "/a") == ["old"]
