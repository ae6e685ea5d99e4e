"""For plugin authors: test a plugin the way people will meet it.

Installing this package gives pytest the fixtures of `chatbot.testing.plugin`: a backend, a bot with
your plugins, and people who talk to it. Nothing is mocked: every message goes through the ratchet,
the backend, the middleware and the journal.

    @pytest.fixture
    def bot_plugins() -> list[str]:
        return ["dice"]

    async def test_roll(alice: Person) -> None:
        assert 1 <= int(await alice.says("/roll 6")) <= 6
"""

from __future__ import annotations

from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from chatbot.testing.clock import MovableClock
    from chatbot.testing.world import ChatGroup, ChatWorld, Person

__all__ = ["ChatGroup", "ChatWorld", "MovableClock", "Person"]

_HOMES: Final = MappingProxyType(
    {"MovableClock": "chatbot.testing.clock"}
    | dict.fromkeys(("ChatGroup", "ChatWorld", "Person"), "chatbot.testing.world")
)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
