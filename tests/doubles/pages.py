"""The pages of the documentation, for tests that do what they say."""

from __future__ import annotations

import ast
import inspect
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import FunctionType
from typing import Any, Final, cast

ROOT: Final = Path(__file__).parents[2]
DOCS: Final = ROOT / "docs"

_BLOCK: Final = re.compile(r"^```(\w+)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def page(name: str) -> str:
    """A page's text, by its path in docs/."""
    return (DOCS / name).read_text(encoding="utf-8")


def blocks(name: str, language: str = "python") -> list[str]:
    """A page's blocks of code in one language, in order."""
    return [code for kind, code in _BLOCK.findall(page(name)) if kind == language]


async def run(code: str, names: dict[str, Any]) -> None:
    """Run a block as at the prompt of `python -m asyncio`: it may await, and leaves its names."""
    compiled = compile(code, "<documentation>", "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    if compiled.co_flags & inspect.CO_COROUTINE:
        await cast("Callable[[], Awaitable[None]]", FunctionType(compiled, names))()
    else:
        exec(compiled, names)  # noqa: S102 - it is our own documentation


def rows(name: str) -> list[list[str]]:
    """The cells of every row of a page's tables, without their heads."""
    found: list[list[str]] = []
    for table in re.findall(r"(?:^\|.*\|\n)+", page(name), re.MULTILINE):
        lines = [line.strip().strip("|") for line in table.strip().splitlines()]
        found += [[cell.strip() for cell in line.split(" | ")] for line in lines[2:]]
    return found
