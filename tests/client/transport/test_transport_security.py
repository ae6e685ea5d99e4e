from __future__ import annotations

import ssl

import pytest

from chatbot.client.exceptions import ValidationError
from chatbot.client.transport import security


@pytest.mark.parametrize(
    "host", ["localhost", "LOCALHOST", "127.0.0.1", "127.255.0.9", "::1", "0:0:0:0:0:0:0:1"]
)
def test_this_machine(host: str) -> None:
    assert security.is_loopback(host)


@pytest.mark.parametrize(
    "host",
    ["", "0.0.0.0", "::", "localhost.evil.example", "127.0.0.1.nip.io", "2130706433", "10.0.0.1"],  # noqa: S104 - no address to bind
)
def test_not_this_machine(host: str) -> None:
    assert not security.is_loopback(host)


@pytest.mark.parametrize(
    ("url", "checked"),
    [
        ("https://chat.example", "https://chat.example"),
        (" HTTPS://chat.example:8443/ ", "https://chat.example:8443"),
        ("https://chat.example/base/", "https://chat.example/base"),
        ("http://localhost:8787", "http://localhost:8787"),
        ("http://127.0.0.1", "http://127.0.0.1"),
        ("http://[::1]:80/", "http://[::1]:80"),
    ],
)
def test_good_server_urls(url: str, checked: str) -> None:
    assert security.check_server_url(url) == checked


@pytest.mark.parametrize(
    "url",
    [
        "",
        "chat.example",
        "ftp://chat.example",
        "wss://chat.example",
        "https://",
        "https://:443",
        "https://chat.example:0",
        "https://chat.example:99999",
        "https://chat.example:port",
        "https://[::1",
        "https://me:secret@chat.example",
        "https://chat.example?a=b",
        "https://chat.example#there",
    ],
)
def test_bad_server_urls(url: str) -> None:
    with pytest.raises(ValidationError) as caught:
        security.check_server_url(url, allow_insecure=True)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(
    "url",
    ["http://chat.example", "http://192.168.1.2", "http://127.0.0.1@chat.example", "http://[::2]"],
)
def test_clear_text_leaves_this_machine_only_on_demand(url: str) -> None:
    with pytest.raises(ValidationError):
        security.check_server_url(url)
    if "@" not in url:
        assert security.check_server_url(url, allow_insecure=True) == url


def test_websocket_urls() -> None:
    assert security.websocket_url("https://chat.example/base") == "wss://chat.example/base/ws"
    assert security.websocket_url("http://[::1]:8787") == "ws://[::1]:8787/ws"
    assert security.check_websocket_url("wss://chat.example/ws") == "wss://chat.example/ws"
    for url in ("ws://chat.example/ws", "https://chat.example/ws", "wss://"):
        with pytest.raises(ValidationError):
            security.check_websocket_url(url)


def test_what_is_secure() -> None:
    assert security.is_secure("https://a")
    assert security.is_secure("wss://a")
    assert not security.is_secure("http://a")
    assert not security.is_secure("ws://a")


def test_our_context_checks_certificates_and_names_from_tls_1_2_on() -> None:
    context = security.check_tls_context(security.tls_context())
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_a_context_that_checks_less_is_refused() -> None:
    careless = security.tls_context()
    careless.check_hostname = False
    nameless = security.tls_context()
    nameless.check_hostname = False
    nameless.verify_mode = ssl.CERT_NONE
    old = security.tls_context()
    old.minimum_version = ssl.TLSVersion.MINIMUM_SUPPORTED
    for context in (careless, nameless, old):
        with pytest.raises(ValidationError):
            security.check_tls_context(context)
