"""The two pages about writing plugins: their code is run, and their tests pass."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from importlib.metadata import entry_points
from pathlib import Path

import pytest
from doubles.pages import ROOT, blocks
from typer.testing import CliRunner

from chatbot.cli.app import app
from chatbot.testing import ChatWorld, Person

TUTORIAL = "writing-plugins/tutorial.md"
REFERENCE = "writing-plugins/reference.md"

INSTALLED = entry_points(group="pytest11", name="chatbot")
FIXTURES = () if INSTALLED else ("-p", "chatbot.testing.plugin")
"""pytest finds the fixtures by itself where the package is installed."""


def is_test(code: str) -> bool:
    return "import pytest" in code


def module(page: str) -> str:
    """The plugin that a page's blocks are the pieces of."""
    pieces = [code for code in blocks(page) if not is_test(code) and "@hookimpl" not in code]
    return "\n\n".join(pieces)


def its_tests(page: str) -> str:
    return next(code for code in blocks(page) if is_test(code))


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """What `chatbot new plugin lunch` writes, with the modules and tests of both pages in it."""
    begun = CliRunner().invoke(app, ["new", "plugin", "lunch", "--in", str(tmp_path)])
    assert begun.exit_code == 0, begun.output
    folder = tmp_path / "lunch"
    (folder / "lunch.py").write_text(module(TUTORIAL))
    (folder / "showcase.py").write_text(module(REFERENCE))
    (folder / "tests" / "test_lunch.py").write_text(its_tests(TUTORIAL))
    (folder / "tests" / "test_showcase.py").write_text(its_tests(REFERENCE))
    return folder


def test_their_tests_pass(package: Path) -> None:
    finished = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *FIXTURES],
        cwd=package,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
        timeout=110,
    )
    assert finished.returncode == 0, finished.stdout + finished.stderr
    assert "5 passed" in finished.stdout


def test_the_configuration_is_a_good_one(package: Path) -> None:
    config, *_ = blocks(TUTORIAL, "toml")
    assert tomllib.loads(config)["plugins"]["lunch"]["cook"] == "alice"
    (package / "config.toml").write_text(config)
    checked = CliRunner().invoke(app, ["check", str(package / "config.toml")])
    assert checked.exit_code == 0, checked.output


async def test_the_tutorials_error_is_what_is_answered(
    chat_world: ChatWorld, package: Path
) -> None:
    await chat_world.start_bot(["./lunch.py"], base=package)
    alice = await chat_world.person("alice")
    typed, expected = blocks(TUTORIAL, "text")[0].split("\n", 1)
    assert await alice.says(typed) == expected.strip()


@pytest.fixture
async def showcase(chat_world: ChatWorld, package: Path) -> tuple[Person, Person]:
    """Somebody, and the owner of a bot with the reference's plugins."""
    by_hand = next(code for code in blocks(REFERENCE) if "@hookimpl" in code)
    (package / "by_hand.py").write_text(by_hand)
    await chat_world.start_bot(["./showcase.py", "./by_hand.py"], base=package, owners=["bob"])
    return await chat_world.person("alice"), await chat_world.person("bob")


async def test_what_the_reference_shows(showcase: tuple[Person, Person]) -> None:
    alice, _ = showcase
    for typed, answer in {
        "/convert 10 Fahrenheit": "50.0",
        "/c 0": "273.15",
        "/note add milk two litres": "noted: milk",
        "/pizza large ham olives": "large with ham and olives",
        "/pizza --until 2027-01-31 small ham": "small with ham by 2027-01-31",
        "/mix #000000 #204060": "#102030",
        "see issue #77": "https://issues.example/77",
        "/greet": "Hello, alice, nice to see you",
        "/visit": "visit 1",
        "/hand": "made by hand",
    }.items():
        assert await alice.says(typed) == answer
    assert "a colour such as #ff8800" in await alice.says("/mix #000000 blue")
    assert "milk" in await alice.says("/note")
    await alice.writes("/greet!!!")
    await alice.hears_nothing()
    assert [await alice.says("/count 2"), await alice.hears()] == ["1", "2"]


async def test_dialogs_and_permissions_of_the_reference(showcase: tuple[Person, Person]) -> None:
    alice, owner = showcase
    assert await alice.says("/guess") == await alice.says("3")
    assert await alice.says("7") == "Yes! Wrong before that: 1"
    await owner.says("/note add milk two litres")
    assert "owner" in await alice.says("/wipe")
    assert "verif" in await alice.says("/vault")
    assert await owner.says("/wipe") == "wiped"
