"""`import chatbot` costs next to nothing, and gives everything when it is asked for."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

import chatbot

HEAVY = {
    "aiohttp",
    "aiosqlite",
    "apscheduler",
    "asyncio",
    "msgspec",
    "nacl",
    "pluggy",
    "pydantic",
    "typer",
    "websockets",
}


def modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nimport json\nprint(json.dumps(sorted(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    return set(json.loads(done.stdout))


def test_importing_the_package_imports_nothing_heavy() -> None:
    assert not modules_after("import chatbot, chatbot.client") & HEAVY


def test_importing_what_plugins_need_imports_no_network_and_no_pydantic() -> None:
    loaded = modules_after(
        "from chatbot import Bot, Context, Plugin, Range, Rest, Reply, filters, events"
    )
    assert not loaded & (HEAVY - {"asyncio", "msgspec", "pluggy"})


@pytest.mark.parametrize("name", [n for n in chatbot.__all__ if n != "WhatsAppClient"])
def test_every_public_name_is_there(name: str) -> None:
    assert getattr(chatbot, name) is not None


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="Nonsense"):
        chatbot.Nonsense  # noqa: B018 - the point
    assert dir(chatbot) == sorted(chatbot.__all__)
