from __future__ import annotations

import asyncio
import base64
import gc
import json
import math
from typing import Any

import pytest

from chatbot.client import exceptions
from chatbot.client.transport.tokens import TokenSource, expiry

NOW = 1_700_000_000_000
HOUR = 3_600_000


def jwt(claims: Any) -> str:
    part = base64.urlsafe_b64encode(json.dumps(claims).encode()).rstrip(b"=").decode()
    return f"e30.{part}.c2ln"


def ending(at: int) -> str:
    return jwt({"exp": at // 1000, "sub": "me"})


class Login:
    """A backend's login: gives the tokens it was made with, when it is let."""

    def __init__(self, *results: str | Exception) -> None:
        self.results = list(results)
        self.calls = 0
        self.allowed = asyncio.Event()
        self.allowed.set()

    async def __call__(self) -> str:
        self.calls += 1
        await self.allowed.wait()
        result = self.results.pop(0)
        if isinstance(result, Exception):
            raise result
        return result


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> int:
        return self.now


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "a.!!!.c",
        jwt({}),
        jwt({"exp": None}),
        jwt({"exp": "1"}),
        jwt([1]),
        "é.é.é",
    ],
)
def test_a_token_that_does_not_say_when_it_ends(token: str) -> None:
    assert expiry(token) == math.inf


def test_a_token_too_deep_to_read() -> None:
    bomb = base64.urlsafe_b64encode(b'{"a":' * 100_000).decode()
    assert expiry(f"e30.{bomb}.c2ln") == math.inf


def test_when_a_token_ends() -> None:
    assert expiry(ending(NOW)) == NOW
    assert expiry(jwt({"exp": 1.5})) == 1500


async def test_a_token_is_used_until_a_minute_before_its_end() -> None:
    clock, login = Clock(), Login(ending(NOW + 48 * HOUR))
    tokens = TokenSource(login, clock=clock)
    first = ending(NOW + 24 * HOUR)
    tokens.set(first)
    clock.now += 24 * HOUR - 60_001
    assert await tokens.current() == first
    clock.now += 1
    assert await tokens.current() == ending(NOW + 48 * HOUR)
    assert login.calls == 1


async def test_without_a_token_the_first_call_logs_in() -> None:
    login = Login("opaque")
    tokens = TokenSource(login)
    assert await tokens.current() == "opaque"
    assert await tokens.current() == "opaque"
    assert login.calls == 1


@pytest.mark.parametrize("token", ["a\r\nX-Evil: 1", "a\x00", "é"])
async def test_a_token_unfit_for_a_header_is_refused(token: str) -> None:
    tokens = TokenSource(Login(token))
    with pytest.raises(exceptions.BackendError, match="cannot be used"):
        await tokens.current()


async def test_nobody_can_log_in() -> None:
    tokens = TokenSource()
    with pytest.raises(exceptions.AuthenticationError, match="log in again"):
        await tokens.current()
    tokens.set("refused")
    with pytest.raises(exceptions.AuthenticationError):
        await tokens.replace("refused")


async def test_everybody_waits_for_one_login() -> None:
    login = Login("new", "newer")
    login.allowed.clear()
    tokens = TokenSource(login)
    tokens.set("old")
    waiting = [asyncio.create_task(tokens.replace("old")) for _ in range(10)]
    await asyncio.sleep(0)
    waiting[0].cancel()
    login.allowed.set()
    assert await asyncio.gather(*waiting[1:]) == ["new"] * 9
    assert await tokens.replace("old") == "new"  # a latecomer whose call used the old one
    assert login.calls == 1


async def test_a_failed_login_is_everybodys_and_the_next_call_tries_again() -> None:
    login = Login(exceptions.ConnectionError("down"), "new")
    login.allowed.clear()
    tokens = TokenSource(login)
    waiting = [asyncio.create_task(tokens.current()) for _ in range(3)]
    await asyncio.sleep(0)
    login.allowed.set()
    results = await asyncio.gather(*waiting, return_exceptions=True)
    assert all(isinstance(result, exceptions.ConnectionError) for result in results)
    assert login.calls == 1
    assert await tokens.current() == "new"


async def test_a_login_nobody_waits_for_any_more_fails_quietly() -> None:
    login = Login(exceptions.ConnectionError("down"))
    login.allowed.clear()
    tokens = TokenSource(login)
    waiting = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    login.allowed.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()


async def test_a_wrong_clock_does_not_log_in_for_every_call() -> None:
    login = Login(ending(NOW - 24 * HOUR), "newer")
    tokens = TokenSource(login, clock=Clock())
    assert await tokens.current() == await tokens.current() == ending(NOW - 24 * HOUR)
    assert login.calls == 1
    assert await tokens.replace(ending(NOW - 24 * HOUR)) == "newer"


async def test_closing_gives_up_a_login() -> None:
    login = Login("never")
    login.allowed.clear()
    tokens = TokenSource(login)
    waiting = asyncio.create_task(tokens.current())
    await asyncio.sleep(0)
    await tokens.close()
    with pytest.raises(exceptions.ConnectionError, match="closed"):
        await waiting
    await tokens.close()
