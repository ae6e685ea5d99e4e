from __future__ import annotations

import pytest

from chatbot import Image, Reply
from chatbot.plugins.replies import as_reply

PICTURE = Image(data=b"\x89PNG", mime="image/png")


def test_what_a_handler_returns_becomes_a_reply() -> None:
    assert as_reply("hi") == Reply("hi")
    assert as_reply(PICTURE) == Reply(image=PICTURE)
    reply = Reply("psst", private=True)
    assert as_reply(reply) is reply


def test_nothing_sends_nothing() -> None:
    for value in (None, "", Reply(), Reply("")):
        assert as_reply(value) is None


@pytest.mark.parametrize("value", [5, b"bytes", ["a"], object()])
def test_anything_else_is_refused_without_repeating_it(value: object) -> None:
    with pytest.raises(TypeError, match=rf"not {type(value).__name__}$"):
        as_reply(value)
