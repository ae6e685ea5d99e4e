from __future__ import annotations

import base64
import hashlib
import hmac
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chatbot.server.errors import Refused
from chatbot.server.tokens import LIFETIME_SECONDS, Tokens

SECRET = bytes(range(32))
NOW = 1_700_000_000


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signed(header: Any, claims: Any) -> str:
    """A token as somebody who knows the secret would make it."""
    text = f"{encode(json.dumps(header).encode())}.{encode(json.dumps(claims).encode())}"
    return f"{text}.{encode(hmac.digest(SECRET, text.encode(), hashlib.sha256))}"


def tokens(now: int = NOW) -> Tokens:
    return Tokens(SECRET, lambda: now * 1000)


def test_a_token_names_its_user_for_24_hours() -> None:
    token = tokens().issue("alice")

    assert tokens(NOW + LIFETIME_SECONDS - 1).verify(token) == "alice"
    with pytest.raises(Refused):
        tokens(NOW + LIFETIME_SECONDS).verify(token)


def test_a_token_is_what_other_programs_call_one() -> None:
    claims = {"sub": "alice", "iat": NOW, "exp": NOW + 60}

    assert tokens().verify(signed({"alg": "HS256", "typ": "JWT"}, claims)) == "alice"


@pytest.mark.parametrize("algorithm", ["none", "HS512", "hs256", ""])
def test_no_other_algorithm_is_accepted_even_with_the_secret(algorithm: str) -> None:
    claims = {"sub": "alice", "iat": NOW, "exp": NOW + 60}

    with pytest.raises(Refused, match="Unauthorized"):
        tokens().verify(signed({"alg": algorithm, "typ": "JWT"}, claims))


def test_another_secret_opens_nothing() -> None:
    with pytest.raises(Refused):
        Tokens(bytes(32), lambda: NOW * 1000).verify(tokens().issue("alice"))


@given(st.text(max_size=200) | st.from_regex(r"[\w-]{0,40}\.[\w-]{0,40}\.[\w-]{0,43}"))
def test_no_text_is_a_token(text: str) -> None:
    with pytest.raises(Refused):
        tokens().verify(text)


@given(st.data())
def test_no_changed_token_is_accepted(data: st.DataObject) -> None:
    token = tokens().issue("alice")
    place = data.draw(st.integers(0, len(token) - 1))
    character = data.draw(st.characters(codec="ascii").filter(lambda c: c != token[place]))

    with pytest.raises(Refused):
        tokens().verify(token[:place] + character + token[place + 1 :])
