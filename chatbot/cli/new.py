"""`chatbot new`: a package to start from, which passes its own tests at once."""

from __future__ import annotations

import keyword
import re
from enum import StrEnum
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path
from string import Template
from typing import Annotated, Final

import typer

from chatbot.client.exceptions import StorageError, ValidationError

_NAME: Final = re.compile(r"[a-z][a-z0-9]*(-[a-z0-9]+)*")
_SUFFIX: Final = ".tmpl"
"""Ends the names of templates: they would pass for our own files otherwise."""


class Kind(StrEnum):
    """What there are templates of."""

    PLUGIN = "plugin"
    BOT = "bot"


def new(
    kind: Annotated[Kind, typer.Argument(help="What to begin: a plugin, or a bot with one.")],
    name: Annotated[str, typer.Argument(metavar="NAME", help="Lower case, e.g. lunch-menu.")],
    *,
    directory: Annotated[
        Path, typer.Option("--in", metavar="DIR", help="Where the package's folder goes.")
    ] = Path(),
) -> None:
    """Write a package that passes its own tests, ruff and mypy."""
    target = directory / name
    words = _words(name)
    if target.exists():
        raise ValidationError(f"{target} exists already. What to do: choose another name")
    try:
        _write(files("chatbot.cli") / "templates" / kind.value, target, words)
    except OSError as error:
        raise StorageError(f"{target} cannot be written: {error.strerror}") from error
    typer.echo(f"{target}: begun. Next: cd {target} && pip install -e '.[test]' && pytest")


def _words(name: str) -> dict[str, str]:
    module = name.replace("-", "_")
    if not _NAME.fullmatch(name) or keyword.iskeyword(module):
        raise ValidationError(
            f"{name!r} is no name for a package. What to do: use lower-case letters, digits and"
            " single hyphens, e.g. lunch-menu"
        )
    return {"name": name, "module": module, "title": name.replace("-", " ").capitalize()}


def _write(source: Traversable, target: Path, words: dict[str, str]) -> None:
    target.mkdir(parents=True)
    for item in source.iterdir():
        path = target / Template(item.name.removesuffix(_SUFFIX)).substitute(words)
        if item.is_dir():
            _write(item, path, words)
        else:
            text = Template(item.read_text(encoding="utf-8")).substitute(words)
            path.write_text(text, encoding="utf-8")
