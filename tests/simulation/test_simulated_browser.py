"""The browser's double reads what the real one has written."""

from __future__ import annotations

from base64 import b64decode
from typing import Any

import pytest
from doubles import vectors
from doubles.browser import Browser, UndecryptableError

ONE_WAY = [t for t in vectors.load("transcripts") if t["name"] == "one-way"]


@pytest.fixture(params=ONE_WAY, ids=lambda transcript: transcript["name"])
def transcript(request: pytest.FixtureRequest) -> dict[str, Any]:
    transcript: dict[str, Any] = request.param
    return transcript


@pytest.fixture
def responder(transcript: dict[str, Any]) -> Browser:
    prekey = transcript["responderSignedPrekey"]
    secrets = iter([b64decode(transcript["responderSeed"]), b64decode(prekey["secretKey"])])
    browser = Browser(random=lambda _: next(secrets), first_key_id=prekey["keyId"])
    assert browser.upload()["signedPrekey"]["publicKey"] == prekey["publicKey"]
    return browser


def test_it_reads_a_transcript(transcript: dict[str, Any], responder: Browser) -> None:
    for message in transcript["messages"]:
        assert responder.decrypt("initiator", message["wire"]) == message["plaintext"]


def test_it_keeps_no_key_that_was_used(transcript: dict[str, Any], responder: Browser) -> None:
    _, second, *_ = [m["wire"] for m in transcript["messages"]]
    for message in transcript["messages"]:
        responder.decrypt("initiator", message["wire"])
    with pytest.raises(UndecryptableError):
        responder.decrypt("initiator", second)
