"""The reference pages leave nothing out: names, errors, settings, commands and their options."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from doubles.pages import DOCS, ROOT, blocks, page, rows
from pydantic import BaseModel
from typer.main import get_command

import chatbot
import chatbot.client
import chatbot.server
import chatbot.testing
from chatbot.cli.app import COMMANDS, app
from chatbot.cli.errors import exit_code
from chatbot.client import ClientSettings, WhatsAppClient, exceptions
from chatbot.plugins import errors as plugin_errors
from chatbot.settings import BotSettings

PAGES = sorted(
    str(path.relative_to(DOCS)) for path in DOCS.rglob("*.md") if "_build" not in path.parts
)
API = "\n".join(page(name) for name in PAGES if name.startswith("api/"))


def exceptions_in(module: Any) -> set[str]:
    return {
        name
        for name, value in vars(module).items()
        if inspect.isclass(value)
        and issubclass(value, Exception)
        and value.__module__ == module.__name__
    }


def test_every_error_is_explained() -> None:
    explained = {name for row in rows("errors.md") for name in re.findall(r"`(\w+)`", row[0])}
    exported = {name for name in chatbot.__all__ if inspect.isclass(_of(chatbot, name))}
    raised = {name for name in exported if issubclass(_of(chatbot, name), Exception)}
    assert explained >= exceptions_in(exceptions) | exceptions_in(plugin_errors) | raised


def _of(module: Any, name: str) -> Any:
    return getattr(module, name)


def test_every_error_row_says_what_to_do() -> None:
    assert [row for row in rows("errors.md") if not all(row)] == []


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    told = {row[1]: re.findall(r"`(\w+)`", row[0]) for row in rows("errors.md") if len(row) == 2}
    ours = exceptions_in(exceptions)
    for code, names in told.items():
        for kind in (_of(exceptions, name) for name in names if name in ours):
            error = kind.__new__(kind)  # whatever its own arguments are
            assert str(int(exit_code(error) or 0)) == code, kind


def test_every_reason_is_listed() -> None:
    said = inspect.getdoc(exceptions.DecryptionError) or ""
    for reason in re.findall(r"`([a-z-]+)`", said):
        assert f"`{reason}`" in page("errors.md")


@pytest.mark.parametrize("module", [chatbot.client, chatbot.testing, chatbot])
def test_every_public_name_is_in_the_reference(module: Any) -> None:
    described = API + "automodule:: chatbot.client.exceptions __version__"
    errors = exceptions_in(exceptions)  # shown by the automodule
    names = {name for name in module.__all__ if name not in errors and name != "__version__"}
    missing = {name for name in names if not re.search(rf"\b{name}\b", described)}
    assert missing == set()


def test_everything_a_client_can_do_is_described() -> None:
    """The reference shows all members of the class with their docstrings."""
    assert ":inherited-members:" in page("api/client.md")
    public = {n: v for n, v in inspect.getmembers(WhatsAppClient) if not n.startswith("_")}
    assert {name for name, value in public.items() if not inspect.getdoc(value)} == set()


# ---------------------------------------------------------------- settings


def keys(settings: type[BaseModel]) -> Iterator[tuple[str, str]]:
    """Every section of some settings with each of its keys, as they are written."""
    for section, field in settings.model_fields.items():
        model = field.annotation
        assert inspect.isclass(model)
        assert issubclass(model, BaseModel)
        for key, inner in model.model_fields.items():
            yield field.alias or section, inner.alias or key


def documented(name: str) -> set[tuple[str, str]]:
    """Section and key of every row of a page's tables."""
    found: set[tuple[str, str]] = set()
    for part in re.split(r"^## ", page(name), flags=re.MULTILINE)[1:]:
        title, _, text = part.partition("\n")
        section = title.strip("`[]")
        for cell in re.findall(r"^\| ([^|]*) \|", text, re.MULTILINE):
            found |= {(section, key) for key in re.findall(r"`(\w+)`", cell)}
    return found


@pytest.mark.parametrize(
    ("name", "settings"),
    [("configuration.md", BotSettings), ("client-settings.md", ClientSettings)],
)
def test_every_key_is_described_and_no_other(name: str, settings: type[BaseModel]) -> None:
    assert documented(name) == set(keys(settings))


# ---------------------------------------------------------------- the command line

COMMAND = re.compile(r"^\$ chatbot (\S+)(.*)$", re.MULTILINE)


def typed() -> list[tuple[str, str, str]]:
    """Every `chatbot` command line of the documentation: page, command, the rest."""
    texts = {name: "\n".join(blocks(name, "console")) for name in PAGES}
    texts["README.md"] = (ROOT / "README.md").read_text(encoding="utf-8")
    return [(name, *found) for name, text in texts.items() for found in COMMAND.findall(text)]


@pytest.mark.parametrize(("name", "command", "rest"), typed())
def test_what_is_typed_exists(name: str, command: str, rest: str) -> None:
    group = get_command(app)
    assert isinstance(group, typer.core.TyperGroup), name
    found = group.get_command(typer.Context(group), command)
    assert found is not None
    known = {option for parameter in found.params for option in parameter.opts}
    assert set(re.findall(r"(?<= )--[a-z-]+", rest)) <= known


def test_every_command_is_described() -> None:
    described = set(re.findall(r"^## `chatbot ([a-z]+)`$", page("command-line.md"), re.MULTILINE))
    assert described >= COMMANDS.keys()
