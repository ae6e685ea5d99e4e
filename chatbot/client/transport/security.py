"""Which addresses may be talked to, and how: TLS always, except to this very machine."""

from __future__ import annotations

import ipaddress
import ssl
from typing import Final
from urllib.parse import SplitResult, urlsplit, urlunsplit

from chatbot.client.exceptions import ValidationError

_LONGEST_SHOWN: Final = 100
_SECURE: Final = frozenset({"https", "wss"})
_WEBSOCKET_SCHEME: Final = {"http": "ws", "https": "wss"}


def is_loopback(host: str) -> bool:
    """Whether `host` is this machine: localhost, 127.0.0.0/8 or ::1.

    Nothing is resolved: a name that merely points here today may point elsewhere tomorrow.
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_server_url(url: str, *, allow_insecure: bool = False) -> str:
    """Return the backend's http(s) URL without a trailing slash.

    Args:
        url: e.g. `https://chat.example`; a path in front of `/api` is kept.
        allow_insecure: accept clear text to other machines.

    Raises:
        ValidationError: not such a URL, or clear text to another machine.
    """
    parts = _checked(url, ("https", "http"), allow_insecure=allow_insecure)
    return urlunsplit((parts.scheme, parts.netloc, parts.path.rstrip("/"), "", ""))


def check_websocket_url(url: str, *, allow_insecure: bool = False) -> str:
    """Return the socket's ws(s) URL, checked like `check_server_url`."""
    return _checked(url, ("wss", "ws"), allow_insecure=allow_insecure).geturl()


def websocket_url(server_url: str) -> str:
    """Derive the socket's URL from a checked server URL: the same origin, path and `/ws`."""
    scheme, rest = server_url.split("://", 1)
    return f"{_WEBSOCKET_SCHEME[scheme]}://{rest}/ws"


def is_secure(url: str) -> bool:
    """Whether a checked URL means TLS."""
    return url.split("://", 1)[0] in _SECURE


def tls_context() -> ssl.SSLContext:
    """Make a context with the system's authorities. Reads files: call it off the event loop."""
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def check_tls_context(context: ssl.SSLContext) -> ssl.SSLContext:
    """Return a caller's own context (say, with a private authority) if it checks all it should.

    Raises:
        ValidationError: it would accept any certificate, any host name, or TLS below 1.2.
    """
    oldest = context.minimum_version
    if context.verify_mode != ssl.CERT_REQUIRED or not context.check_hostname:
        raise ValidationError("The TLS context must check certificates and host names")
    if oldest == ssl.TLSVersion.MINIMUM_SUPPORTED or oldest < ssl.TLSVersion.TLSv1_2:
        raise ValidationError("The TLS context must refuse everything older than TLS 1.2")
    return context


def _checked(url: str, schemes: tuple[str, str], *, allow_insecure: bool) -> SplitResult:
    try:
        parts = urlsplit(url.strip())
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise ValidationError(f"The server URL cannot be read: {error}") from error
    secure, clear = schemes
    if parts.scheme not in schemes or not host or port == 0:
        raise ValidationError(
            f"{url[:_LONGEST_SHOWN]!r} is no server URL: expected one like {secure}://chat.example"
        )
    if parts.username is not None or parts.query or parts.fragment:
        raise ValidationError("Expected a server URL without user name, query or fragment")
    if parts.scheme == clear and not allow_insecure and not is_loopback(host):
        raise ValidationError(
            f"Refusing to talk to {host} in clear text: use {secure}://, "
            "or allow it (allow_insecure = true, --allow-insecure) if this network is yours alone"
        )
    return parts
